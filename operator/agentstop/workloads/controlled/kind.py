"""Workloads that make pods of their own: what controls the pods is stopped, and the pods are the proof."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from agentstop.api.task import Phase
from agentstop.api.workload_status import MAX_LISTED_PODS, BoundTo, WorkloadStatus
from agentstop.lifecycle.conditions import was_unreachable
from agentstop.lifecycle.decision import MARGIN
from agentstop.lifecycle.effects import Freeze, Start, Terminate, Thaw, WorkloadEffect
from agentstop.lifecycle.observation import NOT_FROZEN, Observation, Presence, Reason, Task
from agentstop.words.graces import DEFAULT_GRACE_SECONDS
from agentstop.workloads.controlled.assisted_termination import (
    UNTRACK_FIRST,
    before_its_controller,
    help_due,
    help_to_end,
)
from agentstop.workloads.controlled.blockers import controller_idle, pods_unknown
from agentstop.workloads.controlled.freeze_state import (
    freeze_on_nodes,
    freeze_state_of_parts,
    thaw_for_the_end,
    thaw_looks,
    thaw_on_nodes,
)
from agentstop.workloads.controlled.kind_spec import KindSpec
from agentstop.workloads.controlled.owned_pods import stale, unlooked
from agentstop.workloads.controlled.pod_owner import (
    PodOwner,
    ending_of_parts,
    finding,
    former,
    kept_pods,
    of_the_stop,
    part_of,
    signaled_at,
    started_again,
)
from agentstop.workloads.controlled.record import OwnerRecord
from agentstop.workloads.controlled.rejections import forbidden, parts_too_large, unread
from agentstop.workloads.controlled.roster import missing, other_pods
from agentstop.workloads.controlled.schedules import said_of, schedule_of, suspension
from agentstop.workloads.objects import CacheEntry, Lister, ObjectRef, WatchTarget
from agentstop.workloads.requests import (
    AccessReview,
    FindPods,
    Get,
    GetPod,
    Lighten,
    ListPods,
    LiveRead,
    Meaning,
    Patch,
    Recall,
    Request,
)

ASK_AGAIN: Final = timedelta(minutes=5)
ASK_AGAIN_SOON: Final = timedelta(seconds=25)
"""How long the answer counts to the question whether we may stop a kind of workload: yes, and no."""


class Controlled:
    """A kind of workload whose pods are made by a controller."""

    def __init__(self, kind_spec: KindSpec) -> None:
        self._kind_spec = kind_spec
        self.read: Final = kind_spec.read

    def watches(self, task: Task, lister: Lister) -> tuple[WatchTarget, ...]:
        """Return the object for as long as it must stay as it is, and its pods until they are gone."""
        if task.status.phase in {Phase.COMPLETED, Phase.FAILED}:
            return ()
        parts = list(self._parts(task, lister))
        refs = dict.fromkeys(self._needed(task, lister))
        over = task.status.phase is Phase.STOPPED and not task.leaves_something
        pods = [] if over else [part.pods for part in parts if part.pods is not None]
        return (*refs, *pods)

    def last_reads(self, task: Task, lister: Lister) -> tuple[Get, ...]:
        """Return the objects that are there.

        Somebody may have started one again since it was seen last, and the event of that be on its way. In the version
        that is known it makes no pods, so that a list of them from then on counts where it has that version still.
        """
        needed = ((ref, lister.entries.get(ref)) for ref in self._needed(task, lister))
        return tuple(Get(ref) for ref, entry in needed if entry is not None and not entry.absent)

    def required_reads(self, task: Task, lister: Lister, now: datetime) -> tuple[LiveRead, ...]:
        """Return what has to be read before the workload's state is known, and what completes the proof."""
        if task.status.phase in {Phase.COMPLETED, Phase.FAILED}:
            return ()
        wanted = [ref for ref in self._needed(task, lister) if _unknown(ref, lister, now)]
        parts = list(self._parts(task, lister))
        asked = task.stop_seen_at is not None or task.status.stop is not None or task.to_be_paused
        to_be_halted = asked and not task.to_be_frozen and not all(part.halted for part in parts)
        if wanted or task.status.phase is Phase.STOPPED or to_be_halted:
            return tuple(Get(ref) for ref in wanted)  # what ends the pods comes before all that is known of them
        required_reads: list[LiveRead] = []
        for part in parts:
            required_reads += [Get(ref, link=True) for ref in part.members.strangers if _unknown(ref, lister, now)]
            suspects = stale(part.group, now, suspect=asked)
            if part.pods is not None:
                required_reads += [
                    GetPod(ObjectRef("Pod", pod.namespace, pod.name), uid, part.pods) for uid, pod in suspects
                ]
                unseen = list(unlooked(part.members, part.group))
                required_reads += [
                    GetPod(ObjectRef("Pod", part.ref.namespace, each.name), each.uid, part.pods)
                    for each in unseen
                    if each.name
                ]
                nameless = tuple(each.uid for each in unseen if not each.name)
                if nameless and part.group.listed_at is not None:
                    required_reads.append(FindPods(part.pods, nameless))
                uids, since = part.members.untraced(part.group, task.resource_version)
                if uids:
                    required_reads.append(Recall(part.pods, uids, since))
                if asked and part.quiet and part.certain_from() <= now and not part.listed_since(part.certain_from()):
                    required_reads += [ListPods(part.pods), *self._again(task)]
                elif not asked and part.gone and part.quiet and not part.listed_since(part.entry.at):
                    required_reads.append(ListPods(part.pods))
            required_reads += part.members.required_reads(part.group, task.status.stop, lister, now)
            if not asked and _unasked(part.ref, lister, now):
                required_reads.append(AccessReview(part.ref, self._kind_spec.scale))
        return tuple(dict.fromkeys(required_reads))

    def observe(self, task: Task, lister: Lister, now: datetime) -> Observation:
        """Return what is seen of the workload."""
        ref = _target(task)
        entry = lister.entries.get(ref)
        known = task.status.workload
        if entry is None:
            return unread(ref, known, lister, now)
        owner = _subject(task, entry)
        if owner is None and known is None:
            message = f"{ref.kind} {ref.name} does not exist in namespace {ref.namespace}; the task waits for it"
            return Observation(presence=Presence.ABSENT, waiting=Reason("WorkloadNotFound", message))
        if owner is not None and known is None:
            refused = self._rejection(ref, owner)
            if refused is not None:
                return Observation(presence=Presence.ABSENT, refused=refused)
        return self._present(task, owner, list(self._parts(task, lister)), lister, now)

    def plan_requests(self, task: Task, effect: WorkloadEffect, lister: Lister, now: datetime) -> tuple[Request, ...]:
        """Return the changes that end the workload, or have it run again."""
        parts = list(self._parts(task, lister))
        there = [part for part in parts if not part.gone]
        match effect:
            case Start():
                body = self._kind_spec.resume(task.status.workload)
                return tuple(
                    self._patch(part, body, Meaning.RESUME, part.owner.resource_version)
                    for part in there
                    if part.owner.halted
                )
            case Terminate():
                meaning = Meaning.PAUSE if effect.pause else Meaning.STOP
                patches = [
                    self._lightened_first(each, self._patch(each, self._kind_spec.halt, meaning), lister, now)
                    for each in there
                    if not each.owner.halted
                ]
                thawing = () if effect.by_nodes else tuple(thaw_for_the_end(task, parts, lister, now))
                if task.status.phase.terminal:
                    return (*patches, *thawing)
                made_by = (suspension(each.ref, each.owner, lister, now) for each in there if effect.schedule)
                schedules = tuple(filter(None, made_by))
                if patches:
                    ahead = tuple(each for part in there for each in before_its_controller(part, effect, lister, now))
                    untracking = tuple(each for each in ahead if isinstance(each, Patch))
                    seen_at = task.stop_seen_at
                    first = untracking and seen_at is not None and now < seen_at + UNTRACK_FIRST
                    return untracking if first else (*patches, *ahead, *schedules)
                heavy = [each for each in there if each.owner.heavy and not each.owner.settled and self._lightens]
                smaller = [
                    Lighten(each.ref, each.owner.uid, now)
                    for each in heavy
                    if lister.rejection(each.ref, Lighten.verb, now) is None
                ]
                helping = (each for part in parts for each in help_to_end(part, effect, lister, now))
                members = ((part.members, part.group) for part in parts if effect.by_nodes)
                killing = (each for pods, group in members for each in pods.kill_on_nodes(task, group, lister, now))
                return (*smaller, *helping, *killing, *thawing, *schedules)
            case Freeze():
                return tuple(freeze_on_nodes(task, parts, lister, now))
            case Thaw():
                return tuple(thaw_on_nodes(task, parts, lister, now))

    @property
    def _lightens(self) -> bool:
        """Whether such objects can be made smaller: of what is scaled we may change the scale alone."""
        return not self._kind_spec.scale

    def _lightened_first(self, part: PodOwner, patch: Patch, lister: Lister, now: datetime) -> Patch | Lighten:
        """Return the change that ends a workload; where that is too large for it, it is made smaller with it."""
        if not self._lightens or lister.too_large(part.ref, now) is None:
            return patch
        if lister.rejection(part.ref, Lighten.verb, now) is not None:
            return patch
        return Lighten(part.ref, part.owner.uid, now, patch.body["spec"])

    def _patch(self, part: PodOwner, body: Mapping[str, Any], meaning: Meaning, version: str | None = None) -> Patch:
        return Patch(part.ref, part.owner.uid, body, meaning, version, scale=self._kind_spec.scale)

    def end(self, ref: ObjectRef, uid: str) -> Patch:
        """Return the change that ends such a workload, whatever it says of itself."""
        return Patch(ref, uid, self._kind_spec.halt, Meaning.STOP, scale=self._kind_spec.scale)

    # What a kind may see differently

    def stands_for(self, task: Task) -> ObjectRef:
        """Return the object that ends with the workload's stop, as far as the task alone tells."""
        return _target(task)

    def _needed(self, task: Task, _lister: Lister) -> Iterator[ObjectRef]:
        """Yield the objects that have to be known."""
        yield _target(task)

    def _again(self, _task: Task) -> tuple[Get, ...]:
        """Return what has to be read anew with the last list of pods."""
        return ()

    def _parts(self, task: Task, lister: Lister) -> Iterator[PodOwner]:
        """Yield the objects that make the pods."""
        entry = lister.entries.get(_target(task))
        if entry is None:
            return
        owner = _subject(task, entry)
        known = task.status.workload
        if owner is None and known is not None:
            entry, owner = former(known.uid, entry)
        if owner is not None:
            yield part_of(task, _target(task), entry, owner, lister)

    def _rejection(self, ref: ObjectRef, owner: OwnerRecord) -> Reason | None:
        if owner.deleting:
            message = f"{ref.kind} {ref.name} is being deleted; nothing is left for a task to stop"
            return Reason("WorkloadBeingDeleted", message)
        return self._kind_spec.refuses(ref, owner)

    def _bound_to(self, _current: PodOwner) -> BoundTo | None:
        """Return what runs in the workload's place, by the part whose pods are the latest."""
        return None

    # What is seen

    def _present(
        self, task: Task, owner: OwnerRecord | None, parts: list[PodOwner], lister: Lister, now: datetime
    ) -> Observation:
        stop, known = task.status.stop, task.status.workload
        proof, blocked = finding(parts, task, lister, now)
        unknown = missing(known, (each.pod.uid for part in parts for each in part.members.seen))
        if unknown and blocked is None:
            proof, blocked = None, pods_unknown(_target(task), unknown)
        halted = all(part.halted for part in parts)
        seen_pods = [part.members for part in parts]
        active = any(each.active for each in seen_pods)
        again = started_again(task, parts)
        blocked = blocked or again
        ended = [of_the_stop(each, stop) for each in seen_pods]
        kills = [each.killed_by for each in ended if each.live or each.killed_by is not None]
        graces = [each.own_grace_seconds for each in seen_pods if each.own_grace_seconds is not None]
        formers = [each.former_grace_seconds for each in seen_pods if each.former_grace_seconds is not None]
        signals = [signaled_at(part) for part in parts]
        times = [moment for moment in signals if moment is not None]
        due = stop.kill_at if stop is not None else None
        if blocked is None and halted and due is not None and due + MARGIN <= now:
            blocked = controller_idle(parts, self._kind_spec.deed)
        elsewhere, goes_on = self._elsewhere(_target(task), owner, lister, now)
        return Observation(
            presence=Presence.PRESENT,
            workload=self._status(task, owner, parts) or known,
            started_at=min((each.started_at for each in seen_pods if each.started_at), default=None),
            last_started_at=max((each.last_started_at for each in seen_pods if each.last_started_at), default=None),
            active=active,
            live=any(each.live for each in seen_pods),
            halted=halted,
            own_grace_seconds=max(graces or formers, default=DEFAULT_GRACE_SECONDS),
            longest_grace_seconds=max(graces, default=None),
            signaled_at=min(times) if times and len(times) == len(parts) else None,
            killed_by=max((kill for kill in kills if kill is not None), default=None) if None not in kills else None,
            soonest_kill=min(filter(None, (each.soonest_kill for each in seen_pods)), default=None),
            ending=ending_of_parts(task, parts, lister, now),
            proof=proof,
            waiting=None if active else self._waiting(task, parts),
            blocked=parts_too_large(parts, lister, now) or blocked or forbidden(_target(task), parts, lister, now),
            elsewhere=elsewhere,
            goes_on=goes_on,
            busy=next(filter(None, (each.busy for each in seen_pods)), None),
            late=next(filter(None, (part.members.late(part.group, lister) for part in parts)), None),
            kept=kept_pods(parts),
            look_again_at=min((at for part in parts for at in _look_again_at(part, lister, now)), default=None),
            freeze_state=freeze_state_of_parts(task, parts, lister, now, unreachable=was_unreachable(task, now))
            if proof is None
            else NOT_FROZEN,
        )

    def _elsewhere(
        self, ref: ObjectRef, owner: OwnerRecord | None, lister: Lister, now: datetime
    ) -> tuple[Reason | None, bool]:
        """Say who controls the object besides, where that may make others like it, and whether it goes on."""
        if owner is None or owner.controller is None:
            return None, True
        if schedule_of(ref, owner.controller) is not None:
            return said_of(ref, owner.uid, owner.controller, lister, now)
        return self._kind_spec.goes_on(ref, owner.controller), True

    def _status(self, task: Task, owner: OwnerRecord | None, parts: list[PodOwner]) -> WorkloadStatus | None:
        before = task.status.workload
        evidence = [each for part in parts for each in part.members.evidence()]
        shown = tuple(evidence[:MAX_LISTED_PODS])
        asked = task.stop_seen_at is not None or task.status.stop is not None
        left = [each for part in parts for each in part.members.left(part.group, asked=asked)]
        others, left_count = other_pods(left, {each.uid for each in shown})
        left_count += missing(before, (each.pod.uid for part in parts for each in part.members.seen))
        count = sum(len(part.members.seen) + len(part.members.vanished) + part.hidden for part in parts)
        if owner is None:
            # What made the pods is gone; they may still be going, and how they end is on record all the same.
            if before is None:
                return None
            changes = {"pods": shown, "other_pods": others or None, "other_pod_count": left_count or None}
            return before.but(pod_count=max(count, before.pod_count), **changes)
        ref = _target(task)
        former = before.replicas if before is not None else None
        held = task.status.phase in {Phase.PAUSING, Phase.PAUSED} and former is not None
        replicas = former if held else owner.replicas or former
        current = next((part for part in parts if part.members.live), parts[-1]) if parts else None
        bound_to = self._bound_to(current) if current is not None else None
        selector = current.pods.selector if current is not None and current.pods is not None else None
        return WorkloadStatus(
            api_version=ref.api_version,
            kind=ref.kind,
            name=ref.name,
            uid=owner.uid,
            pods=shown,
            other_pods=others or None,
            other_pod_count=left_count or None,
            pod_count=max(count, before.pod_count if before is not None else 0),
            replicas=replicas,
            bound_to=bound_to or (before.bound_to if before is not None else None),
            selector=selector or (before.selector if before is not None else None),
        )

    def _waiting(self, task: Task, parts: list[PodOwner]) -> Reason | None:
        for part in parts:
            if part.owner.halted and not task.to_be_paused:
                message = f"{part.ref.kind} {part.ref.name} is {self._kind_spec.deed} by somebody else"
                return Reason("WorkloadHalted", message) if task.status.phase is Phase.PENDING else None
        return None


def _look_again_at(part: PodOwner, lister: Lister, now: datetime) -> Iterator[datetime]:
    moments = (
        part.certain_from() if part.quiet else help_due(part),
        part.members.look_again_at(part.group, lister, now),
    )
    yield from (at for at in moments if at is not None and at > now)
    yield from thaw_looks(part, lister, now)


def _target(task: Task) -> ObjectRef:
    ref = task.spec.workload_ref
    assert ref is not None  # noqa: S101  (tasks with a template are the pod module's)
    return ObjectRef(ref.kind, task.namespace, ref.name, ref.api_version)


def _subject(task: Task, entry: CacheEntry) -> OwnerRecord | None:
    """Return the object that is the task's: once its UID is on record, no other of the same name is."""
    owner = entry.seen
    if not isinstance(owner, OwnerRecord):
        return None
    known = task.status.workload
    if known is not None:
        return owner if owner.uid == known.uid else None
    return None if entry.absent or task.status.phase.terminal else owner


def _unknown(ref: ObjectRef, lister: Lister, now: datetime) -> bool:
    entry = lister.entries.get(ref)
    if entry is None:
        return lister.rejection(ref, Get.verb, now) is None
    return entry.stale


def _unasked(ref: ObjectRef, lister: Lister, now: datetime) -> bool:
    right = lister.right(ref)
    return right is None or right.at + (ASK_AGAIN if right.word is None else ASK_AGAIN_SOON) <= now
