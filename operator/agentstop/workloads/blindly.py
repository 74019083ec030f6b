"""The end of a workload of which nothing could be made out: by its name, its UID, and as little else as possible."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from agentstop.api.task import StopRequest
from agentstop.lifecycle.observation import Task
from agentstop.words.graces import DEFAULT_GRACE_SECONDS
from agentstop.workloads.controlled.kind import Controlled
from agentstop.workloads.objects import Lister, ObjectRef, PodOnNode
from agentstop.workloads.pods.controls import FROZEN
from agentstop.workloads.pods.node_freezes import thaw_on_node
from agentstop.workloads.pods.reading import read_controller
from agentstop.workloads.pods.record import ENDED_PHASES, STOP_DEADLINE_SECONDS, PodRecord
from agentstop.workloads.pods.termination import MIN_GRACE_SECONDS
from agentstop.workloads.registry import kind_of
from agentstop.workloads.requests import AskNode, Delete, Patch


def target_of(task: Task) -> ObjectRef:
    """Return the object that has to be read, and then ended."""
    kind, ref = kind_of(task), task.spec.workload_ref
    if isinstance(kind, Controlled):
        return kind.stands_for(task)
    return ObjectRef("Pod", task.namespace, task.name if ref is None else ref.name)


def end_blindly(task: Task, ref: ObjectRef, raw: Mapping[str, Any]) -> Delete | Patch | None:
    """Return the request that ends an object as it was just read; None where it is not the task's, or is ending."""
    metadata = raw["metadata"]
    uid, kind = metadata["uid"], kind_of(task)
    if not _is_the_tasks(task, ref, metadata):
        return None
    if isinstance(kind, Controlled):
        return kind.end(ref, uid)
    if "deletionTimestamp" in metadata or (raw.get("status") or {}).get("phase") in ENDED_PHASES:
        return None  # to ask again would take the evidence away
    # What the pod says of itself cannot be read.
    asked = (task.spec.stop or StopRequest()).grace_period_seconds or DEFAULT_GRACE_SECONDS
    return Delete(ref, uid, max(asked, MIN_GRACE_SECONDS))


def frozen_pods(task: Task, lister: Lister) -> Iterator[tuple[ObjectRef, PodOnNode]]:
    """Yield the pods that are frozen for a task, as their nodes were asked, where their names are known."""
    own = target_of(task)
    for (namespace, uid), control in lister.controls.items():
        if (namespace, control.task, control.state) != (task.namespace, task.name, FROZEN):
            continue
        name = own.name if own.kind == "Pod" else _name_of(uid, lister)
        if name is not None:
            yield ObjectRef("Pod", namespace, name), PodOnNode(namespace, uid, control.node)


def _name_of(uid: str, lister: Lister) -> str | None:
    pods = (group.pods[uid].seen for group in lister.groups.values() if uid in group.pods)
    return next((each.name for each in pods if isinstance(each, PodRecord)), None)


def thaw_blindly(
    task: Task, pod: PodOnNode, raw: Mapping[str, Any], lister: Lister, now: datetime
) -> Iterator[AskNode | Delete]:
    """Yield the request that has a frozen pod go on, as it was just read, once its kubelet was told to end it.

    What is frozen takes no SIGTERM: it would be held until SIGKILL. It does not go on before its end was asked for.
    """
    metadata, spec = raw["metadata"], raw.get("spec") or {}
    going = "deletionTimestamp" in metadata or spec.get("activeDeadlineSeconds") == STOP_DEADLINE_SECONDS
    if metadata["uid"] == pod.uid and going:
        yield from thaw_on_node(task, pod, metadata["name"], None, lister, now)


def _is_the_tasks(task: Task, ref: ObjectRef, metadata: Mapping[str, Any]) -> bool:
    known, named = task.status.workload, task.spec.workload_ref
    if known is not None:
        bound = known.bound_to.uid if known.bound_to is not None else None
        return metadata["uid"] in {known.uid, bound}
    owner = read_controller(metadata.get("ownerReferences") or ())
    if named is None:
        return owner is not None and owner.uid == task.uid
    return owner is None or ref.kind != named.kind  # what runs in its place is controlled by it
