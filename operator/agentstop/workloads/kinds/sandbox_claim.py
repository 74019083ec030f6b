"""Claims of agent-sandbox: what is suspended is the Sandbox that runs in their place."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from agentstop.api.workload_status import BoundTo
from agentstop.lifecycle.observation import Reason, Task
from agentstop.workloads.controlled.kind import Controlled
from agentstop.workloads.controlled.pod_owner import NO_GROUP, PodOwner, former, part_of, pods_of
from agentstop.workloads.controlled.record import OwnerRecord, identity
from agentstop.workloads.controlled.roster import known_pods
from agentstop.workloads.kinds.sandbox import SANDBOX_API, SANDBOX_SPEC
from agentstop.workloads.objects import CacheEntry, Lister, ObjectRef
from agentstop.workloads.requests import Get

CLAIM_API: Final = "extensions.agents.x-k8s.io/v1beta1"
CLAIMED_ANNOTATION: Final = "agents.x-k8s.io/sandbox-name"


def read_claim(raw: Mapping[str, Any]) -> OwnerRecord:
    """Return the record of a SandboxClaim (extensions.agents.x-k8s.io/v1beta1): it runs nothing itself."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    assigned = (metadata.get("annotations") or {}).get(CLAIMED_ANNOTATION)
    bound_to = (status.get("sandbox") or {}).get("name") or assigned or metadata["name"]
    return OwnerRecord(**identity(raw), bound_to=bound_to)


class _Claim(Controlled):
    """A claim runs in the Sandbox that it is bound to; it may be bound to another one at any time."""

    def stands_for(self, task: Task) -> ObjectRef:
        """Return the Sandbox on record; without one, that of the claim's name, which is what it gets without a pool."""
        known = task.status.workload
        bound = known.bound_to if known is not None else None
        name = bound.name if bound is not None else super().stands_for(task).name
        return ObjectRef("Sandbox", task.namespace, name, SANDBOX_API)

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


CLAIM: Final = _Claim(replace(SANDBOX_SPEC, read=read_claim))
