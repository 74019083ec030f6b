"""The kinds of workloads whose pods are made by a controller."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from agentstop.api.task import BoundTo, WorkloadStatus
from agentstop.lifecycle.observation import Reason, Task
from agentstop.workloads.controlled.kind import Controlled, KindSpec
from agentstop.workloads.controlled.pod_owner import NO_GROUP, PodOwner, former, orphaned_controllers, part_of, pods_of
from agentstop.workloads.controlled.record import OwnerRecord
from agentstop.workloads.controlled.roster import known_pods
from agentstop.workloads.objects import CacheEntry, Lister, ObjectRef
from agentstop.workloads.pods.record import Controller
from agentstop.workloads.requests import Get

SANDBOX_API: Final = "agents.x-k8s.io/v1beta1"
CLAIM_API: Final = "extensions.agents.x-k8s.io/v1beta1"


def _former_number(workload: WorkloadStatus | None) -> Mapping[str, Any]:
    former = workload.replicas if workload is not None else None
    return {"spec": {"replicas": former or 1}}


def _controlled_by_another(ref: ObjectRef, owner: OwnerRecord) -> Reason | None:
    if owner.controller is None:
        return None
    other = f"{owner.controller.kind} {owner.controller.name}"
    message = f"{ref.kind} {ref.name} is controlled by {other}, which would undo it; point workloadRef at {other}"
    return Reason("WorkloadHasController", message)


def _unclaimed(ref: ObjectRef, owner: OwnerRecord) -> Reason | None:
    if owner.controller is None or owner.controller.kind != "SandboxWarmPool":
        return None
    pool = owner.controller.name
    message = (
        f"Sandbox {ref.name} waits in warm pool {pool}, and nobody has claimed it; point workloadRef at a SandboxClaim"
    )
    return Reason("SandboxUnclaimed", message)


def _made_by_another(ref: ObjectRef, controller: Controller) -> Reason:
    other = f"{controller.kind} {controller.name}"
    message = f"{ref.kind} {ref.name} is controlled by {other}, which may make another one; stop {other} as well"
    return Reason("WorkloadTakenOver", message)


JOB: Final = Controlled(
    KindSpec(
        halt={"spec": {"suspend": True}},
        resume=lambda _: {"spec": {"suspend": False}},
        deed="suspended",
        goes_on=_made_by_another,
    )
)


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
        halt={"spec": {"replicas": 0}},
        resume=_former_number,
        deed="scaled to 0",
        scale=True,
        goes_on=_made_by_another,
        refuses=_controlled_by_another,
    )
)
"""Whatever has a scale subresource: Deployment, StatefulSet, ReplicaSet, and custom kinds."""

_SANDBOX: Final = KindSpec(
    halt={"spec": {"operatingMode": "Suspended"}},
    resume=lambda _: {"spec": {"operatingMode": "Running"}},
    deed="suspended",
    refuses=_unclaimed,
)

SANDBOX: Final = Controlled(_SANDBOX)


class _Claim(Controlled):
    """A claim runs in the Sandbox that it is bound to; it may be bound to another one at any time."""

    def _needed(self, task: Task, lister: Lister) -> Iterator[ObjectRef]:
        yield from super()._needed(task, lister)
        yield from self._sandboxes(task, lister)

    def _again(self, task: Task) -> tuple[Get, ...]:
        return tuple(Get(ref) for ref in super()._needed(task, Lister()))

    def _parts(self, task: Task, lister: Lister) -> Iterator[PodOwner]:
        claim = next((part for part in super()._parts(task, lister)), None)
        bound = task.status.workload.bound_to if task.status.workload is not None else None
        sandboxes: list[tuple[ObjectRef, CacheEntry, OwnerRecord]] = []
        for ref in self._sandboxes(task, lister):
            entry = lister.entries.get(ref)
            if entry is None:
                continue
            owner = entry.seen if isinstance(entry.seen, OwnerRecord) else None
            if bound is not None and ref.name == bound.name and (owner is None or owner.uid != bound.uid):
                sandboxes.append((ref, *former(bound.uid, entry)))
            if owner is None:
                continue
            recorded = bound is not None and owner.uid == bound.uid
            held = claim is not None and owner.controller is not None and owner.controller.uid == claim.owner.uid
            if recorded or (held and not entry.absent):
                sandboxes.append((ref, entry, owner))
        # Each pod on record is one Sandbox's; of which nobody can tell it any more, the first one's.
        listed = {each.uid for each in known_pods(task.status.workload)}
        groups = [pods_of(task, ref, owner) for ref, _, owner in sandboxes]
        found = [set(lister.groups.get(each, NO_GROUP).pods) if each is not None else set() for each in groups]
        for number, (ref, entry, owner) in enumerate(sandboxes):
            elsewhere = listed - found[number] if number else set[str]().union(*found[1:])
            yield part_of(task, ref, entry, owner, lister, elsewhere=elsewhere)

    def _bound_to(self, current: PodOwner) -> BoundTo | None:
        return BoundTo(api_version=SANDBOX_API, kind="Sandbox", name=current.ref.name, uid=current.owner.uid)

    def _waiting(self, task: Task, parts: list[PodOwner]) -> Reason | None:
        if parts:
            return super()._waiting(task, parts)
        ref = task.spec.workload_ref
        name = ref.name if ref is not None else task.name
        return Reason("ClaimNotBound", f"SandboxClaim {name} is not bound to a Sandbox yet")

    def _sandboxes(self, task: Task, lister: Lister) -> Iterator[ObjectRef]:
        """Yield the Sandbox on record, and the one that the claim names now where that is another."""
        names: dict[str, None] = {}
        known = task.status.workload
        if known is not None and known.bound_to is not None:
            names[known.bound_to.name] = None
        for part in super()._parts(task, lister):
            if part.owner.bound_to:
                names[part.owner.bound_to] = None
        for name in names:
            yield ObjectRef("Sandbox", task.namespace, name, SANDBOX_API)


CLAIM: Final = _Claim(_SANDBOX)
