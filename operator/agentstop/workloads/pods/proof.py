"""Whether the processes of one pod are gone for certain: by its own last state, or by the state of its node."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from agentstop.api.task import PodEvidence, StopStatus
from agentstop.lifecycle.conditions import KUBELET_BUSY as KUBELET_BUSY
from agentstop.lifecycle.conditions import NODE_UNREACHABLE
from agentstop.lifecycle.observation import Proof, Reason
from agentstop.workloads.objects import CacheEntry, Departure, Lister, ObjectRef
from agentstop.workloads.pods.node import SETTLING, SILENCE, NodeRecord
from agentstop.workloads.pods.record import PodRecord, State
from agentstop.workloads.pods.recorded import has_ended, may_be_starting
from agentstop.workloads.requests import Get

STALE: Final = timedelta(seconds=5)
"""How old a reading of a node may be."""

LOOK_EVERY: Final = timedelta(seconds=10)
"""How often a node is read anew that may prove something at any time: its kubelet reports when it likes."""

NODE_DELETED: Final = "NodeDeleted"
"""Reason of what waits for a machine whose Node is gone."""

NODE_UNKNOWN: Final = "NodeUnknown"
"""Reason of what waits for somebody's word, since nobody knows which node could tell."""

UNHEARD: Final = timedelta(seconds=1)
"""A kubelet has pulled nothing yet for a pod that was asked to go so soon after it was bound to the node."""

Finding = tuple[Proof | None, Reason | None]
"""Why no process can be left, if that is proven; and what keeps it from being proven."""


def proof_of(
    pod: PodRecord,
    entry: CacheEntry,
    stop: StopStatus | None,
    lister: Lister,
    now: datetime,
    boot_id: str | None = None,
    *,
    unreachable: bool = False,
) -> Finding:
    """Say what is proven about the processes of a pod that was seen; for `boot_id` see `proof_by_boot`.

    `unreachable` is whether its node had not answered before, by the record.
    """
    if pod.ended and not pod.ran and _is_out_of_service(pod.node, lister):
        return Proof.NODE_FENCED, None  # its phase is the word of who cleans up there, and it may have run
    if pod.ended:
        return (Proof.ENDED if pod.ran else Proof.NEVER_STARTED), None
    if pod.unreadable is not None and not entry.absent:
        message = f"Nothing can be made of what pod {pod.name} says of itself ({pod.unreadable}); delete it"
        return None, Reason("PodUnreadable", message)
    going = entry.absent or pod.deletion_at is not None
    if pod.node is None and may_have_been_bound(pod, entry):
        return None, _node_unknown(pod.name)
    if pod.node is None:
        # The API server binds no pod that is being deleted, so none of its containers can be started any more.
        return (Proof.NEVER_STARTED if going else None), None
    what, due = being_started(pod, entry), _due(pod, entry)
    if what is not None:
        return proof_by_boot(pod.name, what, pod.node, boot_id, due, lister, now, unreachable=unreachable)
    if entry.absent:
        proof, blocked = proof_by_node(pod.node, due, lister, now, unreachable=unreachable)
        if proof is Proof.GONE and pod.taken_at is None and pod.deletion_at is not None:
            return Proof.NEVER_STARTED, None
        return proof, blocked
    node = lister.node(pod.node) if _overdue(pod, stop, now) else None
    if node is None or (isinstance(node.seen, NodeRecord) and node.seen.ready and not node.absent):
        return None, None
    if pod.finalizers and pod.deletion_at is not None and node.absent:
        message = f"Node {pod.node} is gone, and finalizer {pod.finalizers[0]} holds pod {pod.name}"
        return None, Reason("BlockedByFinalizer", message)
    if node.absent and not unreachable:
        message = (
            f"Node {pod.node} was deleted before it had reported the end of pod {pod.name}, and its machine may run on;"
            " Kubernetes removes the pod soon"
        )
        return None, Reason(NODE_DELETED, message)
    return None, _unreachable(pod.node)


def proof_by_node(node: str, due: datetime, lister: Lister, now: datetime, *, unreachable: bool = False) -> Finding:
    """Say what the node's state proves of a pod that is gone, and whose processes are to be ended by `due`.

    The object may have been removed by force, while the kubelet still gives the processes their grace period.
    """
    known = _order_effect(node, due, lister, now, unreachable=unreachable)
    if not isinstance(known, _OrderEffect):
        return known
    if not known.seen.ready:
        return None, _unreachable(node)
    return (Proof.GONE if known.seen.has_ended(due, known.at) else None), None


class _OrderEffect(NamedTuple):
    """A node that is there and not out of service."""

    seen: NodeRecord
    at: datetime
    """When it was read."""


def _order_effect(
    node: str, due: datetime, lister: Lister, now: datetime, *, unreachable: bool
) -> _OrderEffect | Finding:
    """Return a node that has to tell of what runs on it; or what is proven, or not, where it can't.

    That it was deleted or declared out of service counts at once where it had not answered before. Else its kubelet may
    live, and gives what it runs its time.
    """
    if lister.rejection(ObjectRef("Node", "", node), Get.verb, now) is not None:
        return None, _unreadable(node)
    entry = lister.node(node)
    if entry is None:
        return None, None
    seen = entry.seen
    if entry.absent or (isinstance(seen, NodeRecord) and seen.out_of_service):
        return (Proof.NODE_FENCED if unreachable or due + SETTLING <= now else None), None
    if not isinstance(seen, NodeRecord):
        return None, _unreachable(node)  # whatever it is: it proves nothing
    return _OrderEffect(seen, entry.at)


def proof_by_boot(
    pod: str,
    what: str,
    node: str,
    boot_id: str | None,
    due: datetime,
    lister: Lister,
    now: datetime,
    *,
    unreachable: bool = False,
) -> Finding:
    """Say what is proven of a pod that went while its kubelet may have been starting `what` of it.

    Such a kubelet does not hear of a removal by force before the start is done: until then it pulls, waits or runs a
    hook, and starts the container all the same. That the node answers proves nothing, however long; nor does it that
    somebody deleted the Node object. Only the end of the machine does, or its reboot (another boot ID than `boot_id`,
    the one on record).
    Source: https://github.com/kubernetes/kubernetes/issues/116032
    """
    if is_deleted(node, lister) and not unreachable:
        message = (
            f"Node {node} was deleted while its kubelet may have been starting {what} of pod {pod}, which may run on or"
            f" be started yet; shut the machine down, then boot it, or make a Node {node} with taint"
            " node.kubernetes.io/out-of-service"
        )
        return None, Reason(NODE_DELETED, message)
    known = _order_effect(node, due, lister, now, unreachable=unreachable)
    if not isinstance(known, _OrderEffect):
        return known
    if boot_id is not None and known.seen.boot_id is not None and known.seen.boot_id != boot_id:
        return Proof.GONE, None
    if not known.seen.ready:
        return None, _unreachable(node)
    message = (
        f"Pod {pod} went while the kubelet of node {node} may have been starting {what}, which may run on or be started"
        f" yet; end it there, and reboot node {node}, or shut it down and taint it with"
        " node.kubernetes.io/out-of-service"
    )
    return None, Reason(KUBELET_BUSY, message)


def being_started(pod: PodRecord, entry: CacheEntry) -> str | None:
    """Return what a kubelet may be starting of a pod that is gone, in words, if there is anything.

    That may be one that runs by the last that is known, where its image is pulled, or a hook runs, at each start. That
    its kubelet had reported nothing of a pod says no more than that: it begins with one while its first report is on
    the way, which takes long on a node that starts many.
    """
    if not entry.absent or pod.ended or pod.node is None or pod.unreadable is not None:
        return None
    if pod.taken_at is not None:
        which = pod.starting or pod.restarting(unseen=may_have_changed(entry))
        return f"container {which.name}" if which is not None else None
    asked_at = pod.deletion_requested_at or entry.at
    return "its containers" if pod.bound_at is None or pod.bound_at + UNHEARD < asked_at else None


def may_have_changed(entry: CacheEntry) -> bool:
    """Whether a pod may go, or went, in another state than the one in which it was seen last."""
    return not entry.absent or entry.departure is not Departure.SEEN


def may_have_been_bound(pod: PodRecord, entry: CacheEntry) -> bool:
    """Whether a pod that had no node yet may have been bound before it went, to nobody knows which node."""
    unbound = pod.node is None and pod.deletion_at is None and not pod.ended
    return unbound and entry.absent and entry.departure is not Departure.SEEN


def untraced(pod: PodRecord | None, on_record: PodEvidence | None, entry: CacheEntry) -> bool:
    """Whether it has to be asked in which state a pod went: no time proves its end by the last that is known of it."""
    if not entry.absent or entry.departure is not Departure.UNSEEN:
        return False
    if pod is not None:
        return may_have_been_bound(pod, entry) or being_started(pod, entry) is not None
    if on_record is None or has_ended(on_record):
        return False
    return on_record.node is None or may_be_starting(on_record) is not None


def proof_on_record(
    evidence: PodEvidence, due: datetime, lister: Lister, now: datetime, *, unreachable: bool = False
) -> Finding:
    """Say what is proven of a pod that is on record, has not ended by it, and went while nobody looked.

    `due` is when the processes are to be ended that its node had started.
    """
    if evidence.node is None:
        return None, _node_unknown(evidence.name or evidence.uid)
    what = may_be_starting(evidence)
    if what is None:
        return proof_by_node(evidence.node, due, lister, now, unreachable=unreachable)
    return proof_by_boot(
        evidence.name or evidence.uid,
        what,
        evidence.node,
        evidence.boot_id,
        due,
        lister,
        now,
        unreachable=unreachable,
    )


def awaits_boot(pod: PodRecord, entry: CacheEntry) -> bool:
    """Whether a reboot of its node may be what proves a pod's end.

    The boot ID counts from the moment at which it was asked to go: a kubelet that is started later starts no container
    of such a pod.
    """
    if entry.absent:
        return being_started(pod, entry) is not None
    return pod.starting is not None and pod.asked_to_go_at is not None


def is_deleted(node: str | None, lister: Lister) -> bool:
    """Whether there is no Node of this name any more, by the last look."""
    entry = lister.node(node) if node is not None else None
    return entry is not None and entry.absent


def _is_out_of_service(node: str | None, lister: Lister) -> bool:
    entry = lister.node(node) if node is not None else None
    return entry is not None and isinstance(entry.seen, NodeRecord) and entry.seen.out_of_service


def may_live_on(pod: PodRecord, entry: CacheEntry, lister: Lister) -> bool:
    """Whether processes of a pod that is gone may go on for longer than anybody gave them: nothing has ended then."""
    if not entry.absent or pod.ended:
        return False
    # A node that was deleted may be registered again before it is looked at.
    return being_started(pod, entry) is not None or pod.collected or is_deleted(pod.node, lister)


def late_reason(pod: PodRecord, entry: CacheEntry, lister: Lister) -> Reason | None:
    """Say what the proof of a pod's end waits for, where its last state tells."""
    if pod.ended or pod.node is None:
        return None
    if entry.absent and is_deleted(pod.node, lister):
        return _counts_later(pod.name, pod.node, _due(pod, entry))
    if entry.absent:
        message = (
            f"Pod {pod.name} was removed before its end was reported; node {pod.node} has to answer for a while yet, by"
            " when its kubelet has ended what it should not run"
        )
        return Reason("AwaitingNode", message)
    return busy_reason(pod, entry) or _not_taken_down(pod) or _failing_probe(pod)


def busy_reason(pod: PodRecord, entry: CacheEntry) -> Reason | None:
    """Say so where the kubelet is starting a container: it acts on nothing that ends the pod before that is done."""
    if entry.absent or pod.node is None or pod.starting is None:
        return None
    message = (
        f"The kubelet of node {pod.node} is still starting container {pod.starting.name}: it pulls the image, waits for"
        f" a volume or runs the start hook, and only then ends it; see kubectl describe pod {pod.name}"
    )
    return Reason(KUBELET_BUSY, message)


def went_unseen(evidence: PodEvidence, due: datetime, lister: Lister) -> Reason | None:
    """Say what the proof of a pod's end waits for that is on record and went while nobody looked."""
    if evidence.node is None or has_ended(evidence):
        return None
    if is_deleted(evidence.node, lister):
        return _counts_later(evidence.name or evidence.uid, evidence.node, due)
    name, until = evidence.name or evidence.uid, due + SETTLING + SILENCE
    message = (
        f"Pod {name} went while no operator looked, so that nobody saw its end; node {evidence.node} has to answer"
        f" until {until:%H:%M:%S} UTC, by when its kubelet has ended what it should not run"
    )
    return Reason("AwaitingNode", message)


def _counts_later(pod: str, node: str, due: datetime) -> Reason:
    message = (
        f"Node {node} was deleted, and pod {pod} with it, while its machine may run on; that counts from"
        f" {due + SETTLING:%H:%M:%S} UTC, by when its kubelet has ended what it should not run"
    )
    return Reason(NODE_DELETED, message)


def look_again_at(pod: PodRecord, entry: CacheEntry, lister: Lister, now: datetime) -> datetime | None:
    """Return from when on the deletion of its node counts for a pod that is gone, if that is yet to come."""
    if not entry.absent or pod.ended or not is_deleted(pod.node, lister):
        return None
    counts_from = _due(pod, entry) + SETTLING
    return counts_from if counts_from > now else None


def next_look(due: datetime, now: datetime) -> datetime | None:
    """Return when a node is to be read again that may prove the end of what had to end by `due`.

    That is at the earliest moment at which it can, from time to time then, and at the moment from which on it does.
    """
    earliest, latest = due + SETTLING, due + SETTLING + SILENCE
    if now < earliest:
        return earliest
    return min(now + LOOK_EVERY, latest) if now < latest else None


def _not_taken_down(pod: PodRecord) -> Reason | None:
    """Say so where no container is left, but the node has not finished with the pod: its sandbox or network holds it.

    Source: the Event FailedKillPod, as in https://github.com/projectcalico/calico/issues/7220
    """
    if not pod.containers or any(container.state is not State.TERMINATED for container in pod.containers):
        return None
    message = (
        f"All containers of pod {pod.name} have ended, but node {pod.node} has not taken the pod down yet, often for"
        f" its network; see kubectl describe pod {pod.name}"
    )
    return Reason("FailedKillPod", message)


def _failing_probe(pod: PodRecord) -> Reason | None:
    """Say so where a container may have been ended for a probe already, with a longer grace period that runs first."""
    given = pod.deletion_grace_seconds if pod.stopped_in_place_at is None else pod.grace_seconds
    for container in pod.containers:
        if container.state is State.RUNNING and container.probe_grace_seconds > given:
            message = (
                f"The kubelet of node {pod.node} may be ending container {container.name} for a probe that failed: that"
                f" leaves it {container.probe_grace_seconds} s, and no stop shortens that; see kubectl describe pod"
                f" {pod.name}"
            )
            return Reason(KUBELET_BUSY, message)
    return None


def boot_id_of(node: str | None, known: PodEvidence | None, since: datetime, lister: Lister) -> str | None:
    """Return the boot ID to keep on record for a pod: the one that is, or what its node said first after `since`.

    What was read before tells nothing: the node may have been rebooted, and have started the pod anew.
    """
    if known is not None and known.boot_id is not None:
        return known.boot_id
    entry = lister.node(node) if node is not None else None
    boots = entry.boots if entry is not None else ()
    return next((boot.boot_id for boot in boots if boot.read_at >= since), None)


def node_in_question(
    pod: PodRecord, entry: CacheEntry, stop: StopStatus | None, now: datetime, boot_id: str | None = None
) -> str | None:
    """Return the node whose state decides about a pod, if the pod alone does not tell.

    That is also one whose boot ID may be needed, and is not known: its object can be deleted before the pod goes.
    """
    if pod.ended or pod.node is None:
        return None
    wanted = boot_id is None and awaits_boot(pod, entry)
    return pod.node if entry.absent or wanted or _overdue(pod, stop, now) else None


def _overdue(pod: PodRecord, stop: StopStatus | None, now: datetime) -> bool:
    """Whether its processes should have got SIGKILL by now."""
    kill_at = pod.killed_by
    if stop is not None:
        kill_at = stop.kill_at or stop.accepted_at + timedelta(seconds=pod.grace_seconds)
    return kill_at is not None and kill_at <= now


def look_at_node(name: str, since: datetime | None, lister: Lister, now: datetime) -> Get | None:
    """Return the look that a node needs before it counts: where none is known, or only one that is old.

    `since` is the moment that the reading has to be later than, if there is one.
    """
    seen = lister.node(name)
    stale = seen is None or seen.at + STALE <= now or (since is not None and seen.at < since)
    return Get(ObjectRef("Node", "", name)) if stale else None


def _due(pod: PodRecord, entry: CacheEntry) -> datetime:
    """Return when the kubelet ends the processes of a pod that is gone, however it went.

    Removal by force shortens no grace period that runs: neither a longer one of a deletion before, nor that of a probe.
    A kubelet that was busy with a start when the pod was asked to go may have begun as late as at its removal.
    """
    told_at = pod.asked_to_go_at or entry.at
    if pod.may_have_started_since(told_at):
        told_at = max(told_at, entry.at)
    due = told_at + timedelta(seconds=pod.longest_grace_seconds)
    return max(due, pod.killed_by or due)


def _node_unknown(pod: str) -> Reason:
    message = (
        f"Pod {pod} went while nobody looked, and had no node by the last that is known of it: it may have been bound"
        " since, and its containers may run or be started yet, on nobody knows which node; look for them on the nodes,"
        " and set spec.stop.onUnconfirmed to MarkStopped once there are none"
    )
    return Reason(NODE_UNKNOWN, message)


def _unreadable(node: str) -> Reason:
    message = f"The pod is gone, and node {node} may not be read, so nobody knows whether the processes still run"
    return Reason("NodeReadForbidden", message)


def _unreachable(node: str) -> Reason:
    message = (
        f"Node {node} does not answer, so nobody knows whether the processes still run; bring it back,"
        " delete it, or taint it with node.kubernetes.io/out-of-service once it is shut down"
    )
    return Reason(NODE_UNREACHABLE, message)
