"""The ledger of an order: what became of each task that it meant, kept up with every change of a task."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nsmallest
from typing import Final

from agentstop.api.order import MAX_LISTED, ListedTask, OrderStatus, StoppedCounts
from agentstop.api.task import Phase, Verdict
from agentstop.lifecycle.observation import Task
from agentstop.lifecycle.order_progress import Counts
from agentstop.lifecycle.orders import listed, problem_of

_BUCKETS: Final = {
    Verdict.GRACEFUL: "graceful",
    Verdict.KILLED: "killed",
    Verdict.NOT_STARTED: "not_started",
}
OTHER: Final = "other"
STOPPING: Final = "stopping"


@dataclass(slots=True)
class Ledger:
    """What became of each task that an order meant, kept up with every change of a task."""

    whole: bool = False
    """Whether all is in it: the order was accepted by this process, or an earlier one's counts were taken over."""
    version: str = ""
    """The order's resource version when it was accepted: what a task was like up to then counts."""
    buckets: dict[str, str] = field(default_factory=dict)
    """Where each task stands, by UID: stopping, or how its stop ended."""
    sizes: dict[str, int] = field(default_factory=dict)
    """How many tasks there are in each bucket."""
    found: dict[str, int] = field(default_factory=dict)
    """How many were in it when this process saw them first, where an earlier one had begun."""
    past: dict[str, int] = field(default_factory=dict)
    """The same of tasks that were counted by an earlier process, and are gone."""
    unrecorded: set[str] = field(default_factory=set)
    """UIDs of the tasks that have no record of a stop: nothing but the order asks for it."""
    unsignaled: set[str] = field(default_factory=set)
    """UIDs of the tasks whose SIGTERM is not on its way."""
    stalled: dict[str, ListedTask] = field(default_factory=dict)
    """Tasks whose stop is held up, by UID."""
    finished: set[str] = field(default_factory=set)
    """UIDs of tasks that had ended before the order was accepted."""
    finished_before: int | None = None
    """How many they were, by an earlier process's count."""
    refused: set[str] = field(default_factory=set)
    """UIDs of tasks that were made under the hold, and are still there."""
    refused_before: int = 0
    """How many others were made under it."""
    signaled_at: datetime | None = None
    ended_at: datetime | None = None
    """When the last of those that ended did so."""
    orphans: tuple[ListedTask, ...] = ()
    """Pods that the order means, and that still run though their tasks are gone; they are not counted as tasks."""
    waited: bool = False
    """Whether there were such pods."""

    def wait_for(self, orphans: Iterable[ListedTask]) -> None:
        """Take in which pods run though their tasks are gone: the order is not over before they have ended."""
        self.orphans = tuple(orphans)
        self.waited = self.waited or bool(self.orphans)

    def put(self, task: Task, gone_at: datetime | None = None) -> None:
        """Take in the state of a task, or its last state once it is gone."""
        bucket = _bucket(task)
        if gone_at is not None and bucket == STOPPING:
            bucket = OTHER
            self.ended_at = _later(self.ended_at, gone_at)
        before = self.buckets.get(task.uid)
        if before is not None:
            self.sizes[before] -= 1
        elif not self.whole:
            self.found[bucket] = self.found.get(bucket, 0) + 1
        self.buckets[task.uid] = bucket
        self.sizes[bucket] = self.sizes.get(bucket, 0) + 1
        stop = task.status.stop
        _keep(self.unrecorded, task.uid, bucket == STOPPING and stop is None)
        _keep(self.unsignaled, task.uid, bucket == STOPPING and (stop is None or stop.signaled_at is None))
        if stop is not None:
            self.signaled_at = _later(self.signaled_at, stop.signaled_at)
        self.ended_at = _later(self.ended_at, task.status.finished_at)
        problem = problem_of(task) if bucket == STOPPING else None
        if problem is None and task.unwritable is not None:
            problem = listed(task, task.unwritable)  # how it ended is on record here alone
        if problem is not None:
            self.stalled[task.uid] = problem
        else:
            self.stalled.pop(task.uid, None)

    def remove(self, task: Task) -> None:
        """Take in that a task is gone that was made under the hold; it stays counted."""
        if task.uid in self.refused:
            self.refused.discard(task.uid)
            self.refused_before += 1

    def take_over(self, status: OrderStatus) -> None:
        """Go on from what an earlier process has written: what it has counted and is gone now stays counted."""
        stopped = status.stopped or StoppedCounts()
        missing = max(status.matched - len(self.buckets), 0)
        for bucket in (*_BUCKETS.values(), OTHER):
            self.past[bucket] = min(missing, max(getattr(stopped, bucket) - self.found.get(bucket, 0), 0))
            missing -= self.past[bucket]
        self.past[OTHER] += missing
        self.finished_before = status.already_finished
        self.refused_before += max(status.refused - self.rejections, 0)
        self.whole = True

    def count(self, bucket: str) -> int:
        """Return how many tasks are in a bucket."""
        return self.sizes.get(bucket, 0) + self.past.get(bucket, 0)

    @property
    def rejections(self) -> int:
        """How many tasks were made under the hold."""
        return len(self.refused) + self.refused_before

    def counts(self) -> Counts:
        """Return what is in it now."""
        stalled = (*self.stalled.values(), *self.orphans)
        finished = len(self.finished) if self.finished_before is None else self.finished_before
        return Counts(
            matched=len(self.buckets) + sum(self.past.values()),
            stopping=self.count(STOPPING),
            stopped=StoppedCounts(**{bucket: self.count(bucket) for bucket in (*_BUCKETS.values(), OTHER)}),
            already_finished=finished,
            refused=self.rejections,
            unrecorded=bool(self.unrecorded),
            unsignaled=bool(self.unsignaled),
            orphans=bool(self.orphans),
            stalled=tuple(nsmallest(MAX_LISTED, stalled, key=lambda each: (each.namespace, each.name))),
            stalled_count=len(stalled),
            signaled_at=self.signaled_at,
            ended_at=self.ended_at if not self.waited else None,
        )


def _keep(uids: set[str], uid: str, there: bool) -> None:
    if there:
        uids.add(uid)
    else:
        uids.discard(uid)


def _bucket(task: Task) -> str:
    if not task.status.phase.terminal:
        return STOPPING
    stop = task.status.stop
    verdict = stop.verdict if stop is not None and task.status.phase is Phase.STOPPED else None
    return _BUCKETS.get(verdict, OTHER) if verdict is not None else OTHER


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    moments: Iterable[datetime] = [each for each in (one, other) if each is not None]
    return max(moments, default=None)
