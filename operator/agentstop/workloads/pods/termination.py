"""How a pod is ended: in place by the kubelet's own deadline, or by deletion; never by force, and never frozen."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from agentstop.api.task import PodPolicy
from agentstop.api.workload_status import PodEvidence
from agentstop.lifecycle.effects import Terminate
from agentstop.lifecycle.observation import Reason, Task
from agentstop.workloads.lightening import TOO_LARGE
from agentstop.workloads.objects import CacheEntry, Lister, ObjectRef
from agentstop.workloads.pods.node_freezes import is_frozen, may_be_frozen, thaw
from agentstop.workloads.pods.node_kills import may_answer
from agentstop.workloads.pods.record import STOP_DEADLINE_SECONDS, PodRecord
from agentstop.workloads.requests import AskNode, Delete, Lighten, Meaning, Patch

MIN_GRACE_SECONDS: Final = 1
"""Grace 0 would remove the object without waiting for the kubelet, and with it the proof.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination-forced
"""

IN_PLACE_AFTER: Final = timedelta(seconds=1)
"""When a kubelet has begun for certain with a pod that was stopped in place: it looks for such work once a second.

What is frozen is thawed only then, so that SIGTERM is there before it runs a single instruction.
Source: syncCh in https://github.com/kubernetes/kubernetes/blob/v1.36.2/pkg/kubelet/kubelet.go
"""


def deletion(ref: ObjectRef, pod: PodRecord, grace_seconds: int | None) -> Delete:
    """Return the deletion of a pod; of one without a node only as long as it has none.

    The API server gives a pod without a node no grace period, and keeps to that if the pod is bound in this very
    moment: it would be gone by force, and nobody could tell whether a kubelet had begun with it.
    Source: CheckGracefulDelete in https://github.com/kubernetes/kubernetes/blob/v1.36.2/pkg/registry/core/pod/strategy.go
    """
    return Delete(ref, pod.uid, grace_seconds, resource_version=pod.resource_version if pod.node is None else None)


def too_large(pod: PodRecord, lister: Lister, now: datetime) -> Reason | None:
    """Say so where a pod is too large to be ended, or for its node to say that it has ended."""
    rejection = lister.too_large(ObjectRef("Pod", pod.namespace, pod.name), now)
    if rejection is None or pod.ended:
        return None
    message = (
        f"Pod {pod.name} is so large that nothing can be added to it, neither what ends it nor how it ended"
        f" ({rejection.message}); take off it what makes it large, or delete its node"
    )
    return Reason("PodTooLarge", message)


def lightened_first(
    ref: ObjectRef, pod: PodRecord, request: Patch | Delete | None, lister: Lister, now: datetime, keep: str = ""
) -> Patch | Delete | Lighten | None:
    """Return the request that ends a pod, or the one that has to come before it where the pod is too large for it.

    The kubelet cannot write into such a pod how its containers ended, so that it becomes smaller even if it is being
    ended already. `keep` is the label selector by which a pod is found.
    """
    rejection = lister.rejection(ref, Lighten.verb, now)
    refused = lister.too_large(ref, now)
    going = pod.deletion_at is not None or pod.stopped_in_place_at is not None
    wanted = refused is not None or (pod.heavy and going and not pod.ended)
    if pod.ended and request is None:
        return None
    if rejection is not None or not wanted:
        return request
    spec = request.body.get("spec", {}) if isinstance(request, Patch) else {}
    return Lighten(ref, pod.uid, now, spec, tuple(part.partition("=")[0] for part in keep.split(",") if "=" in part))


def terminate_pod(
    ref: ObjectRef, pod: PodRecord, halt: Terminate, lister: Lister, now: datetime
) -> Patch | Delete | Lighten | None:
    """Return the one request that brings the pod's end nearer, or None where nothing does.

    What is too large to be ended is made smaller in the same request where it is ended in place, and before it is
    deleted otherwise.
    """
    return lightened_first(ref, pod, _terminate_pod(ref, pod, halt, lister, now), lister, now)


def _terminate_pod(
    ref: ObjectRef, pod: PodRecord, halt: Terminate, lister: Lister, now: datetime
) -> Patch | Delete | None:
    """Return the one request that brings the pod's end nearer, or None where nothing does.

    In place, by the kubelet's own deadline, wherever that gives the grace period that was asked for: the pod object
    stays, and with it logs and exit codes. By deletion where no container of the pod was ever started: there are no
    logs to keep, and only a deletion has the kubelet give up waiting for a volume or an image. So, too, where the grace
    period is another one than the pod's own, and where the API server refuses the change. A kubelet does not shorten a
    grace period that is running: a shorter one must be the first that it hears.
    """
    if pod.ended:
        tidy = halt.policy is PodPolicy.DELETE and pod.deletion_at is None
        return Delete(ref, pod.uid, None, ends_processes=False) if tidy else None
    if pod.deletion_at is not None:
        return _sooner(ref, pod, halt, now)
    asked = halt.grace_seconds
    if pod.stopped_in_place_at is not None:
        shorter = asked is not None and asked < pod.grace_seconds
        over = halt.kill_at is not None and halt.kill_at <= now
        if over and halt.by_nodes and may_answer(pod.on_node, lister, now):
            return None  # its node kills it in place, so that its logs stay
        return Delete(ref, pod.uid, MIN_GRACE_SECONDS) if shorter and over else None
    own = asked is None or asked == pod.grace_seconds
    own = own or (halt.by_nodes and is_frozen(pod.on_node, lister))  # its node answers, and kills it in place
    in_place = halt.policy is PodPolicy.KEEP and pod.taken_at is not None and pod.ran and own
    rejection = lister.rejection(ref, Patch.verb, now)
    if in_place and (rejection is None or rejection.reason == TOO_LARGE):
        return Patch(ref, pod.uid, {"spec": {"activeDeadlineSeconds": STOP_DEADLINE_SECONDS}}, Meaning.STOP)
    if asked is None and pod.grace_seconds >= MIN_GRACE_SECONDS:
        return deletion(ref, pod, None)
    return deletion(ref, pod, max(asked or 0, MIN_GRACE_SECONDS))


def _sooner(ref: ObjectRef, pod: PodRecord, halt: Terminate, now: datetime) -> Delete | None:
    """Shorten the grace period of a pod that is being deleted, where the stop asks for less than is left."""
    assert pod.deletion_at is not None  # noqa: S101  (the caller has checked it; this tells the type checker)
    if halt.grace_seconds is None:
        return None
    kill_at = halt.kill_at or now + timedelta(seconds=halt.grace_seconds)
    left = max(MIN_GRACE_SECONDS, ceil((kill_at - now).total_seconds()))
    if left >= pod.deletion_grace_seconds or kill_at + timedelta(seconds=1) >= pod.deletion_at:
        return None
    return Delete(ref, pod.uid, left)


def thaw_to_end(
    task: Task, pod: PodRecord, entry: CacheEntry, known: PodEvidence | None, lister: Lister, now: datetime
) -> Iterator[AskNode | Delete]:
    """Yield the request that has a frozen pod go on which is being ended, once its kubelet has begun with that."""
    due = _thaw_due(pod, entry)
    if due is not None and due <= now:
        yield from thaw(task, pod, known, lister, now)


def thaw_look_at(
    pod: PodRecord, entry: CacheEntry, known: PodEvidence | None, lister: Lister, now: datetime
) -> datetime | None:
    """Return when a frozen pod that is being ended is to be looked at again, to be thawed."""
    due = _thaw_due(pod, entry)
    wanted = due is not None and due > now and may_be_frozen(pod.on_node, known, lister, now)
    return due if wanted else None


def _thaw_due(pod: PodRecord, entry: CacheEntry) -> datetime | None:
    """Return when a pod that is being ended is to go on, if it is frozen; None where nobody ends it.

    What is unreadable does not say that it is to go: there only the API server's answer tells.
    """
    if pod.ends_in_place and pod.stopped_in_place_at is not None:
        return (entry.signaled_at or pod.stopped_in_place_at) + IN_PLACE_AFTER
    return pod.asked_to_go_at or entry.signaled_at
