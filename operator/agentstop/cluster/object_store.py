"""What is known of the objects that tasks stand for: the newest state of each, and what the API server refused."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from agentstop.cluster.resources import pod_of, read_record, reader_of
from agentstop.workloads.controlled.record import OwnerRecord, read_owner
from agentstop.workloads.objects import (
    Boot,
    CacheEntry,
    ControlRecord,
    Departure,
    Lister,
    ObjectRef,
    PodGroup,
    PodsOf,
    Rejection,
    Right,
    Schedule,
    WatchTarget,
    version_order,
)
from agentstop.workloads.pods.node import NodeRecord
from agentstop.workloads.pods.record import PodRecord

log = logging.getLogger(__name__)

MAX_BOOTS: Final = 8
"""So many boots of a node are remembered."""

MAX_GONE: Final = 256
"""So many pods of one workload are remembered after they are gone."""


def is_newer(version: str, than: str) -> bool:
    """Whether a resource version is newer than another one of the same kind of object."""
    return version_order(version) > version_order(than)


class ObjectStore:
    """The newest known state of pods, nodes and workloads."""

    def __init__(self, controls: Mapping[tuple[str, str], ControlRecord] | None = None) -> None:
        """`controls` is what the nodes were asked for, which another part of the cache keeps up to date."""
        self._entries: dict[ObjectRef, CacheEntry] = {}
        self._rejections: dict[tuple[WatchTarget, str], Rejection] = {}
        self._groups: dict[PodsOf, PodGroup] = {}
        self._members: dict[str, PodsOf] = {}
        self._rights: dict[tuple[str, str, str], Right] = {}
        self._templates: dict[str, Mapping[str, Any]] = {}
        self._schedules: dict[str, Schedule] = {}
        self.lister = Lister(
            self._entries,
            self._rejections,
            self._groups,
            self._rights,
            self._templates,
            self._schedules,
            controls if controls is not None else {},
        )
        """What workload modules may look at; always current."""

    # Single objects

    def knows(self, ref: ObjectRef) -> bool:
        """Whether anything is known of an object."""
        return ref in self._entries

    def is_there(self, ref: ObjectRef, uid: str | None = None) -> bool:
        """Whether the object with this UID, or any of this name, exists, as far as is known."""
        known = self._entries.get(ref)
        return known is not None and not known.absent and known.seen is not None and uid in {None, known.seen.uid}

    def see(
        self, ref: ObjectRef, raw: Mapping[str, Any], now: datetime, *, signal: bool | None = None, link: bool = False
    ) -> None:
        """Take in the state of an object.

        `signal` is true where it is the answer to a change that ends its processes, and false where the change has
        them started again; `link` says that only its own controller matters.
        """
        pods = self._members.get(raw["metadata"]["uid"])
        if pods is not None and ref not in self._entries:
            self._put_member(pods, pod_of(raw), now)
            return
        known = self._entries.get(ref)
        seen = read_record(read_owner if link else reader_of(ref), raw)
        signaled_at = None
        since = now
        version_at = None
        before = known.seen if known is not None else None
        if (
            known is not None
            and isinstance(seen, PodRecord | OwnerRecord)
            and isinstance(before, PodRecord | OwnerRecord)
        ):
            newer = is_newer(seen.resource_version, before.resource_version)
            if seen.uid == before.uid:
                signaled_at = known.signaled_at
                since = known.since or known.at
                if known.absent and not known.stale:
                    return  # what is gone does not come back: this event was overtaken by another one
                version_at = None if newer else known.version_at or known.at
                seen = _following(seen, before) if newer else before
            elif not newer:
                return  # an older object of that name
        if isinstance(seen, OwnerRecord) and not seen.halted:
            signaled_at = None  # whoever has started it again: an earlier halt says nothing about the next one
        if signal and signaled_at is None and not (isinstance(seen, PodRecord) and seen.ended):
            # A pod that had ended before the change came was not ended by it.
            signaled_at = now
        elif signal is False:
            signaled_at = None
        boots = _boots(seen, known.boots if known is not None else (), now)
        self._entries[ref] = CacheEntry(
            seen=seen, at=now, version_at=version_at, since=since, signaled_at=signaled_at, boots=boots
        )

    def see_absent(self, ref: ObjectRef, now: datetime, last: Mapping[str, Any] | None = None) -> None:
        """Note that there is no such object; `last` is its last state, where the watch brought it."""
        known = self._entries.get(ref)
        if last is not None:
            if known is not None and known.seen is not None and known.seen.uid != last["metadata"]["uid"]:
                return  # an older object of that name: what is known is about its successor
            before = known.seen if known is not None else None
            # What is known by its scale shows nothing of it any more in its last state.
            seen = before if isinstance(before, OwnerRecord) else _following(read_record(reader_of(ref), last), before)
            signaled_at = known.signaled_at if known is not None else None
            self._entries[ref] = CacheEntry(
                seen=seen, absent=True, departure=Departure.SEEN, at=now, signaled_at=signaled_at
            )
        elif known is None:
            self._entries[ref] = CacheEntry(seen=None, absent=True, at=now)
        elif known.stale or not known.absent:
            self._entries[ref] = replace(known, absent=True, at=now, stale=False)

    def forget(self, watch: WatchTarget) -> None:
        """Forget an object, or pods, that no task has to do with any more."""
        if isinstance(watch, PodsOf):
            group = self._groups.pop(watch, PodGroup())
            for uid in group.pods:
                self._members.pop(uid, None)
        else:
            known = self._entries.pop(watch, None)
            if known is not None and known.seen is not None:
                self._schedules.pop(known.seen.uid, None)
        for place in [place for place in self._rejections if place[0] == watch]:
            del self._rejections[place]

    def mark_stale(self, ref: ObjectRef) -> None:
        """Have an object looked at live before anything is decided on it."""
        known = self._entries.get(ref)
        if known is not None:
            self._entries[ref] = replace(known, stale=True)

    # Pods of workloads that make their own

    def list_pods(self, pods: PodsOf, items: Iterable[PodRecord], now: datetime) -> None:
        """Take in all pods that a selector finds. Those that it found before may only have lost their labels."""
        group = self._groups.setdefault(pods, PodGroup())
        found = {self._put_member(pods, item, now, shown=True) for item in items}
        for uid, entry in group.pods.items():
            if uid not in found and not entry.absent:
                group.pods[uid] = replace(entry, stale=True, unlisted=True)
        group.listed_at = now

    def see_member(self, pods: PodsOf, raw: Mapping[str, Any], now: datetime, *, deleted: bool = False) -> None:
        """Take in the state of one of the pods; `deleted` where the watch does not show it any more.

        A watch by labels says so of a pod that only lost one, too; what is really deleted has no grace period left.
        """
        gone = deleted and raw["metadata"].get("deletionGracePeriodSeconds") == 0
        uid = self._put_member(pods, pod_of(raw), now, last=gone, shown=True)
        group = self._groups[pods]
        if gone:
            group.pods[uid] = replace(group.pods[uid], absent=True, departure=Departure.SEEN, at=now, stale=False)
        elif deleted:
            group.pods[uid] = replace(group.pods[uid], stale=True, unlisted=True)

    def find_member(self, pods: PodsOf, seen: PodRecord, now: datetime) -> None:
        """Take in one of the pods that was read by itself: its labels may not lead to it any more."""
        self._put_member(pods, seen, now)

    def mark_member_stale(self, uid: str) -> None:
        """Have one of the pods looked at live, if it is there by all that is known."""
        pods = self._members.get(uid)
        entry = self._groups[pods].pods.get(uid) if pods is not None else None
        if pods is not None and entry is not None and not entry.absent:
            self._groups[pods].pods[uid] = replace(entry, stale=True)

    def mark_deleted(self, ref: ObjectRef, uid: str, now: datetime) -> None:
        """Note that there is no object of this name with this UID."""
        pods = self._members.get(uid)
        group = self._groups.get(pods) if pods is not None else None
        if group is not None and uid in group.pods:
            group.pods[uid] = replace(group.pods[uid], absent=True, at=now, stale=False)
        else:
            self.see_absent(ref, now)

    def mark_pod_deleted(self, pods: PodsOf, uid: str, now: datetime) -> None:
        """Note that a pod of a group is not there any more, read by its name."""
        group = self._groups.setdefault(pods, PodGroup())
        known = group.pods.get(uid)
        last = known.seen if known is not None else None
        group.pods[uid] = CacheEntry(seen=last, absent=True, at=now)
        self._members[uid] = pods

    def recalled(
        self, target: WatchTarget, uids: Iterable[str], last: Iterable[Mapping[str, Any]], now: datetime
    ) -> None:
        """Take in the states in which pods went, as far as the API server remembers them.

        What is known by its name may be another one by now than the one that was asked for, of which nothing was said.
        """
        for raw in last:
            if isinstance(target, PodsOf):
                self.see_member(target, raw, now, deleted=True)
            else:
                self.see_absent(target, now, raw)
        if isinstance(target, PodsOf):
            pods = self._groups.setdefault(target, PodGroup()).pods
            pods |= {uid: _forgotten(pods[uid]) for uid in uids if uid in pods}
        elif target in self._entries and self._is_of(target, uids):
            self._entries[target] = _forgotten(self._entries[target])

    def _is_of(self, ref: ObjectRef, uids: Iterable[str]) -> bool:
        """Whether what is known of a name is about one of these objects, or about none that was ever seen."""
        seen = self._entries[ref].seen
        return seen is None or seen.uid in uids

    def _put_member(
        self, pods: PodsOf, seen: PodRecord, now: datetime, *, last: bool = False, shown: bool = False
    ) -> str:
        """Take in one of the pods; what is gone does not come back, but for the `last` state that it was in.

        `shown` is whether its labels lead to it.
        """
        group = self._groups.setdefault(pods, PodGroup())
        known = group.pods.get(seen.uid)
        before = known.seen if known is not None else None
        if known is not None and isinstance(before, PodRecord):
            if known.absent and not known.stale and not last:
                return seen.uid
            newer = is_newer(seen.resource_version, before.resource_version)
            # Whose it is was decided when it was made: to take its owner reference off changes nothing.
            if newer:
                controller = before.controller or seen.controller
                let_go = controller is not None and seen.controller is None
                seen = replace(seen.following(before), controller=controller, let_go=let_go)
            else:
                seen = before
        unlisted = not shown and (known is None or known.unlisted)
        group.pods[seen.uid] = CacheEntry(seen=seen, at=now, unlisted=unlisted)
        self._members[seen.uid] = pods
        if len(group.pods) > MAX_GONE:
            self._drop_gone(group)
        return seen.uid

    def _drop_gone(self, group: PodGroup) -> None:
        for uid, entry in list(group.pods.items()):
            if entry.absent and isinstance(entry.seen, PodRecord) and entry.seen.ended:
                del group.pods[uid]
                self._members.pop(uid, None)

    # Templates

    def lend_template(self, uid: str, template: Mapping[str, Any]) -> None:
        """Keep a task's template while its pod is being made: thousands of them would be most of our memory."""
        self._templates[uid] = template

    def return_template(self, uid: str) -> None:
        """Forget it again."""
        self._templates.pop(uid, None)

    # CronJobs

    def note_schedule(self, job: str, became: Schedule) -> None:
        """Remember what became of the CronJob that was to be suspended with the Job of this UID."""
        self._schedules[job] = became

    # Refusals

    def refuse(self, watch: WatchTarget, verb: str, rejection: Rejection) -> None:
        """Remember that the API server refuses a verb on an object."""
        self._rejections[watch, verb] = rejection

    def note_right(self, ref: ObjectRef, right: Right) -> None:
        """Remember whether we may stop workloads of this kind in this namespace."""
        self._rights[ref.api_version, ref.kind, ref.namespace] = right

    def allow(self, watch: WatchTarget, verb: str) -> None:
        """Forget that the API server refused a verb on an object."""
        self._rejections.pop((watch, verb), None)


def _forgotten(entry: CacheEntry) -> CacheEntry:
    """Return what is known of an object that went unseen, and of which the API server does not remember how."""
    unseen = entry.absent and entry.departure is Departure.UNSEEN
    return replace(entry, departure=Departure.FORGOTTEN) if unseen else entry


def _boots(seen: object, before: tuple[Boot, ...], now: datetime) -> tuple[Boot, ...]:
    """Return the boots of a node that are known, with the one that it is in by now."""
    if not isinstance(seen, NodeRecord) or seen.boot_id is None:
        return before
    others = before[:-1] if before and before[-1].boot_id == seen.boot_id else before
    return (*others, Boot(seen.boot_id, now))[-MAX_BOOTS:]


def _following(seen: PodRecord | NodeRecord | OwnerRecord, before: object) -> PodRecord | NodeRecord | OwnerRecord:
    """Return a record, knowing an earlier one of the same object."""
    return seen.following(before) if isinstance(seen, PodRecord) and isinstance(before, PodRecord) else seen
