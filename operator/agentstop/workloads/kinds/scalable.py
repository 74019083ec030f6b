"""Whatever can be scaled: it is scaled to 0, and what it may have left behind is followed."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from agentstop.api.meta import parse_number
from agentstop.api.workload_status import WorkloadStatus
from agentstop.lifecycle.observation import Reason, Task
from agentstop.workloads.controlled.kind import Controlled
from agentstop.workloads.controlled.kind_spec import KindSpec, made_by_another
from agentstop.workloads.controlled.pod_owner import PodOwner, orphaned_controllers, part_of
from agentstop.workloads.controlled.record import OwnerRecord, identity, is_current, stop_accepted_at
from agentstop.workloads.objects import Lister, ObjectRef


def read_scaled(raw: Mapping[str, Any]) -> OwnerRecord:
    """Return the record of an object that can be scaled; the answer of its scale subresource stands under `scale`.

    Source: https://kubernetes.io/docs/reference/kubernetes-api/autoscaling-resources/scale-v1/
    """
    metadata, scale = raw["metadata"], raw.get("scale") or {}
    replicas = parse_number(scale.get("spec", {}).get("replicas"))
    running = parse_number((scale.get("status") or {}).get("replicas"))
    status = raw.get("status") or {}
    current = status.get("observedGeneration") is None or is_current(status, metadata)
    return OwnerRecord(
        **identity(raw),
        halted=replicas == 0,
        settled=current and running == 0,
        selector=(scale.get("status") or {}).get("selector") or None,
        replicas=replicas,
        running=running,
        marked_at=stop_accepted_at(metadata, "replicas"),
    )


def _former_number(workload: WorkloadStatus | None) -> Mapping[str, Any]:
    former = workload.replicas if workload is not None else None
    return {"spec": {"replicas": former or 1}}


def _controlled_by_another(ref: ObjectRef, owner: OwnerRecord) -> Reason | None:
    if owner.controller is None:
        return None
    other = f"{owner.controller.kind} {owner.controller.name}"
    message = f"{ref.kind} {ref.name} is controlled by {other}, which would undo it; point workloadRef at {other}"
    return Reason("WorkloadHasController", message)


class _Scaled(Controlled):
    """What can be scaled may leave a controller behind that goes on making its pods: an orphaned ReplicaSet."""

    def _needed(self, task: Task, lister: Lister) -> Iterator[ObjectRef]:
        yield from super()._needed(task, lister)
        for part in super()._parts(task, lister):
            yield from orphaned_controllers(part, lister)

    def _parts(self, task: Task, lister: Lister) -> Iterator[PodOwner]:
        for part in super()._parts(task, lister):
            left = [_heir(task, part, ref, uid, lister) for ref, uid in orphaned_controllers(part, lister).items()]
            theirs = {each.pod.uid for heir in left if heir is not None for each in heir.members.seen}
            own = tuple(each for each in part.members.seen if each.pod.uid not in theirs)
            yield replace(part, members=replace(part.members, seen=own))
            yield from filter(None, left)


def _heir(task: Task, former: PodOwner, ref: ObjectRef, uid: str, lister: Lister) -> PodOwner | None:
    entry = lister.entries.get(ref)
    owner = entry.seen if entry is not None else None
    if entry is None or not isinstance(owner, OwnerRecord) or owner.uid != uid:
        return None
    # It is looked for by the selector of what left it behind: its own one finds no other pods of its own.
    owner = replace(owner, selector=former.pods.selector if former.pods is not None else None)
    elsewhere = {each.uid for each in former.members.vanished} | {each.pod.uid for each in former.members.seen}
    return part_of(task, ref, entry, owner, lister, elsewhere=elsewhere)


SCALED: Final = _Scaled(
    KindSpec(
        read=read_scaled,
        halt={"spec": {"replicas": 0}},
        resume=_former_number,
        deed="scaled to 0",
        scale=True,
        goes_on=made_by_another,
        refuses=_controlled_by_another,
    )
)
"""Whatever has a scale subresource: Deployment, StatefulSet, ReplicaSet, and custom kinds."""
