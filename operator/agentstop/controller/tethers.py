"""The Leases that tasks are tethered to: each is read when it would run out, once for all tasks that hang on it."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from agentstop.api.meta import ConditionType, find_condition
from agentstop.cluster.cache import Cache
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.queue import Enqueuer, Priority
from agentstop.cluster.resources import lease_ref
from agentstop.cluster.tethers import LeaseKey, TetherIndex, read_lease
from agentstop.controller.retry import RetryError
from agentstop.lifecycle.observation import Reason, Task
from agentstop.lifecycle.tether import UNREADABLE, Lease, holds, is_lost, lapses_at, tethered
from agentstop.timings import TIMINGS, Timings
from agentstop.words import leases
from agentstop.workloads.requests import GetLease

log = logging.getLogger(__name__)


class Tethers:
    """Reads Leases, and has the tasks decided on to which what was read matters.

    A Lease that is renewed is read no more than once in its time, however many tasks hang on it, and none of them is
    decided on for that. There is no watch: it would bring each renewal of each Lease, those of all nodes among them.
    """

    def __init__(
        self,
        cache: Cache,
        index: TetherIndex,
        gateway: Gateway,
        queue: Enqueuer[LeaseKey],
        tasks: Enqueuer[TaskKey],
        clock: Callable[[], datetime],
        timings: Timings = TIMINGS,
    ) -> None:
        """`queue` is where Leases wait to be read, `tasks` where tasks wait to be decided on."""
        self._cache = cache
        self._index = index
        self._gateway = gateway
        self._queue = queue
        self._tasks = tasks
        self._clock = clock
        self._rest = timedelta(seconds=timings.tether_rest_seconds)
        self._reread = timedelta(seconds=timings.tether_reread_seconds)
        self._wanted: set[LeaseKey] = set()
        self._failed_at: dict[LeaseKey, datetime] = {}
        self._unanswered_at: datetime | None = None
        cache.tasks.listen(self.changed)

    def changed(self, key: TaskKey, before: Task | None, after: Task | None) -> None:
        """Take in that a task came, changed or went."""
        hung, hangs = self._index.changed(key, before, after)
        if hangs is None or after is None:
            return
        lease = self._index.lease(hangs)
        told = before is not None and after.tether_ended != before.tether_ended
        if lease is None or told or (hung != hangs and not holds(lease)):
            self._wanted.add(hangs)
            self._queue.add(hangs)
        elif lease.unreadable is None:
            self._read_at(hangs, lease, lapses_at(after, lease, self._clock()))

    def sweep(self) -> None:
        """Have all Leases looked after; to be called when this process begins to act."""
        for key in self._index.leases():
            self._queue.add(key)

    def unanswered(self) -> None:
        """Take in that the API server gave no answer: whoever renews Leases may not reach it either."""
        self._unanswered_at = self._clock()

    async def reconcile(self, key: LeaseKey) -> None:
        """Read a Lease, if it is time. Raises RetryError where no answer came: that is no reason to stop anything."""
        tasks = self._hanging(key)
        if not tasks:
            self._wanted.discard(key)
            self._failed_at.pop(key, None)
            self._queue.forget(key)
            return
        before, now = self._index.lease(key), self._clock()
        if before is not None:
            due = before.read_at + self._rest if key in self._wanted else self._due(tasks, before, now)
            if due > now:
                self._queue.add_after(key, (due - now).total_seconds())
                return
        self._wanted.discard(key)
        lease = await self._read(key, before)
        self._index.put(key, lease)
        self._tell(key, before, lease)
        self._read_at(key, lease, self._due(self._hanging(key), lease, self._clock()))

    async def _read(self, key: LeaseKey, before: Lease | None) -> Lease:
        raw: JsonObject | None = None
        asked_at = self._clock()
        try:
            raw = await self._gateway.send(GetLease(lease_ref(*key)))
        except ApiError as error:
            if error.code == 403:
                return self._unreadable(key, before, error)
            if not error.absent:
                self._failed_at[key] = self._clock()
                raise RetryError(error) from error
        lease = read_lease(key, raw, before, self._clock())
        if (lease.read_at - asked_at).total_seconds() >= leases.answer_seconds(lease.duration.total_seconds()):
            # An API server that hangs answers in the end, with what was before: whoever renews did not wait so long.
            self._failed_at[key] = lease.read_at
        failures = filter(None, (self._failed_at.get(key), self._unanswered_at))
        return replace(lease, excused_at=max(failures, default=None))

    def _unreadable(self, key: LeaseKey, before: Lease | None, error: ApiError) -> Lease:
        """Return what is known of a Lease that we have no right to read."""
        word = Reason(UNREADABLE, f"The Lease cannot be read, so nothing is stopped for it: {error.message}")
        if before is None or before.unreadable is None:
            log.warning("%s", f"{key} cannot be read: {error}")
        now = self._clock()
        known = before or Lease(name=key.name, read_at=now, duration=timedelta(), renewed_at=now)
        return replace(known, read_at=now, unreadable=word)

    def _tell(self, key: LeaseKey, before: Lease | None, lease: Lease) -> None:
        """Have the tasks decided on for which something has changed."""
        if before is not None and _same(before, lease):
            return
        now = self._clock()
        for each, task in self._hanging(key):
            if is_lost(task, lease, now):
                self._tasks.add(each, priority=Priority.MASS)
            elif _is_news(task, lease, now):
                self._tasks.add(each)

    def _hanging(self, key: LeaseKey) -> list[tuple[TaskKey, Task]]:
        found = ((each, self._cache.tasks.get(each)) for each in self._index.tasks_of(key))
        return [(each, task) for each, task in found if task is not None]

    def _due(self, tasks: list[tuple[TaskKey, Task]], lease: Lease, now: datetime) -> datetime:
        """Return when the Lease is to be read next: when it would run out, or has been waited for long enough."""
        if lease.unreadable is not None:
            return lease.read_at + self._reread
        if holds(lease):
            return max(lease.runs_out_at, lease.read_at + self._rest)
        soonest = min(filter(None, (lapses_at(task, lease, now) for _, task in tasks)), default=now)
        # What is lost is read again only where a task hangs on it all the same: its stop was not accepted yet.
        return soonest if soonest > lease.read_at else lease.read_at + self._reread

    def _read_at(self, key: LeaseKey, lease: Lease, due: datetime | None) -> None:
        if due is not None:
            at = max(due, lease.read_at + self._rest)
            self._queue.add_after(key, (at - self._clock()).total_seconds())


def _same(before: Lease, after: Lease) -> bool:
    """Whether what was read means to no task anything else than before."""
    readable = before.unreadable is None and after.unreadable is None
    return readable and holds(before) and holds(after) and before.holder == after.holder


def _is_news(task: Task, lease: Lease, now: datetime) -> bool:
    """Whether the task's status says something else of its tether than what was read."""
    found, said = find_condition(task.status.conditions, ConditionType.TETHERED), tethered(task, lease, now)
    if found is None or said is None:
        return found is not None or said is not None
    return (found.status, found.reason, found.message) != (str(said[0]), said[1].reason, said[1].message)
