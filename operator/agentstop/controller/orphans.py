"""Pods that no task stands for are found and ended, however their tasks went, and whoever was there to see it."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from agentstop.api.order import ListedTask
from agentstop.api.task import OnUnconfirmed
from agentstop.api.workload_status import WorkloadStatus
from agentstop.cluster.cache import Cache
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import OrphanKey, TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.queue import Priority, WorkQueue
from agentstop.controller.event_handler import EventHandler
from agentstop.controller.events import EventRecorder
from agentstop.controller.executor import Executor, Pass
from agentstop.controller.metrics import Metrics
from agentstop.controller.retry import RetryError
from agentstop.controller.stalls import Stalls
from agentstop.controller.task_pass import ROUNDS
from agentstop.lifecycle.decision import MARGIN, NOT_CONFIRMED
from agentstop.lifecycle.events import Action, Note, Severity
from agentstop.lifecycle.observation import Observation, Reason, Task
from agentstop.timings import TIMINGS, Timings
from agentstop.workloads.kinds.pod import POD
from agentstop.workloads.objects import Lister, ObjectRef
from agentstop.workloads.pods.orphans import (
    ORPHANED,
    ending_of_orphan,
    given_up,
    has_given_up_on,
    is_orphan,
    reason_of_orphan,
    stand_in,
    with_way_out,
)
from agentstop.workloads.pods.record import PodRecord

log = logging.getLogger(__name__)


def priority_of_orphan(key: OrphanKey, lister: Lister) -> Priority:
    """Return how soon an orphan has its turn: with the stops of many, until it was asked to end."""
    entry = lister.entries.get(ObjectRef("Pod", key.namespace, key.name))
    pod = entry.seen if entry is not None else None
    runs = isinstance(pod, PodRecord) and pod.deletion_at is None and pod.stopped_in_place_at is None
    return Priority.MASS if runs else Priority.NORMAL


class UnservedError(Exception):
    """The API server does not serve tasks, so that nobody knows whether there is one."""


@dataclass(slots=True)
class _Orphan:
    """What is known of one of them."""

    since: datetime
    """When it was noticed."""
    task: str
    """What its label says."""
    asked: bool = False
    """Whether anything was sent that ends it."""
    ended: bool = False
    """Whether it was said that it is ended."""
    stalled: tuple[str, datetime] | None = None
    """What holds up its end, and since when."""
    workload: WorkloadStatus | None = None
    """What was seen of it last."""


class Orphans:
    """Has every pod ended that bears our label and is the pod of no task.

    What the caches say is only a reason to look: a pod is ended once the API server has said that there is no task of
    that name, or that it is another one.
    """

    def __init__(
        self,
        cache: Cache,
        gateway: Gateway,
        executor: Executor,
        queue: WorkQueue[TaskKey | OrphanKey],
        event_handler: EventHandler,
        events: EventRecorder,
        metrics: Metrics,
        stalls: Stalls,
        filled: Callable[[], bool],
        clock: Callable[[], datetime],
        timings: Timings = TIMINGS,
    ) -> None:
        self._timings = timings
        self._cache = cache
        self._gateway = gateway
        self._executor = executor
        self._queue = queue
        self._event_handler = event_handler
        self._events = events
        self._metrics = metrics
        self._stalls = stalls
        self._filled = filled
        self._clock = clock
        self._known: dict[OrphanKey, _Orphan] = {}
        self._given_up: set[OrphanKey] = set()
        event_handler.tell_of_pods(self.seen)
        cache.tasks.listen(self._changed)

    def __iter__(self) -> Iterator[ListedTask]:
        """Yield those that have not ended, by the task that they were of."""
        for key, orphan in self._known.items():
            reason = orphan.stalled[0] if orphan.stalled is not None else ORPHANED
            message = f"AgentTask {orphan.task} is gone, and its pod {key.name} has not ended"
            yield ListedTask(namespace=key.namespace, name=orphan.task, reason=reason, message=message)

    # What comes in

    def seen(self, ref: ObjectRef) -> None:
        """Take in that something is known of a pod."""
        pod = self._pod(ref)
        if pod is None or not self._filled():
            return
        key = OrphanKey(pod.namespace, pod.name, pod.uid)
        if key in self._known:
            self._queue.add(key, priority=priority_of_orphan(key, self._cache.lister))
        elif key not in self._given_up and is_orphan(pod, *self._claimants(pod)):
            self._known[key] = _Orphan(self._clock(), pod.task or "")
            self._cache.keep(ref)
            self._queue.add_after(key, self._timings.orphan_settling.total_seconds())
            self._metrics.orphans.set(len(self._known))

    def sweep(self) -> None:
        """Look for orphans among all pods that are known."""
        for ref in [ref for ref in self._cache.lister.entries if ref.kind == "Pod"]:
            self.seen(ref)

    def _changed(self, key: TaskKey, before: Task | None, after: Task | None) -> None:
        """Take in that a task came, changed or went: its pod may be of no task from now on."""
        if before is None or (after is not None and after.uid == before.uid and not after.status.phase.terminal):
            return
        adopted = before.spec.workload_ref
        ref = ObjectRef("Pod", key.namespace, key.name if adopted is None else adopted.name)
        pod = self._pod(ref)
        if pod is not None and self._cache.lister.entries[ref].absent and has_given_up_on(before, pod):
            self._given_up.add(OrphanKey(pod.namespace, pod.name, pod.uid))
        self.seen(ref)

    def _pod(self, ref: ObjectRef) -> PodRecord | None:
        entry = self._cache.lister.entries.get(ref)
        return entry.seen if entry is not None and isinstance(entry.seen, PodRecord) else None

    def _claimants(self, pod: PodRecord) -> tuple[Task | None, list[Task]]:
        """Return the task that the label of a pod names, and those that point at the pod."""
        keys = self._cache.keys_of(ObjectRef("Pod", pod.namespace, pod.name))
        tasks = [task for task in map(self._cache.tasks.get, keys) if task is not None]
        return self._namesake(pod), tasks

    def _namesake(self, pod: PodRecord) -> Task | None:
        return self._cache.tasks.get(TaskKey(pod.namespace, pod.task)) if pod.task is not None else None

    # Work on one of them

    async def reconcile(self, key: OrphanKey) -> None:
        """Bring an orphan nearer to its end. Raises RetryError where that has to be tried again."""
        orphan = self._known.get(key)
        if orphan is None:
            return
        early = orphan.since + self._timings.orphan_settling - self._clock()
        if early > timedelta():
            self._queue.add_after(key, early.total_seconds())
            return
        try:
            over = await self._end(key, orphan)
        except UnservedError:
            self._queue.add_after(key, self._timings.orphan_unserved.total_seconds())
            return
        if over:
            self._let_go(key)
        else:
            self._queue.add_after(key, self._timings.overdue_recheck.total_seconds())

    async def _end(self, key: OrphanKey, orphan: _Orphan) -> bool:
        """Do what ends an orphan; return whether that is over, or it is none."""
        ref = ObjectRef("Pod", key.namespace, key.name)
        this = Pass(self._executor)
        proven = False
        for _ in range(ROUNDS):
            pod = self._pod(ref)
            if pod is None or pod.uid != key.uid or not is_orphan(pod, *self._claimants(pod)):
                return True
            if not proven:
                await self._look_for_task(TaskKey(pod.namespace, pod.task or ""))
                proven = True
                continue
            task, lister, now = stand_in(pod, orphan.workload, orphan.stalled), self._cache.lister, self._clock()
            new = await this.send_new(POD.required_reads(task, lister, now))
            if not new:
                seen = POD.observe(task, lister, now)
                orphan.workload = seen.workload
                if seen.proof is not None:
                    return True
                if self._is_given_up(ref, pod, seen):
                    self._given_up.add(key)
                    self._say(key, pod, given_up(pod))
                    return True
                halt = ending_of_orphan(pod, self._namesake(pod))
                new = await this.send_new(POD.plan_requests(task, halt, lister, now))
                orphan.asked = orphan.asked or new
                if not new:
                    self._tell(key, orphan, pod, seen)
                    break
            this.check()
        return False

    def _is_given_up(self, ref: ObjectRef, pod: PodRecord, seen: Observation) -> bool:
        """Whether the task of its name that there is by now says that the end of what is gone needs no proof."""
        task, entry = self._namesake(pod), self._cache.lister.entries[ref]
        if task is None or task.gone or not task.spec.stop_requested or not entry.absent:
            return False
        due = max(entry.at + timedelta(seconds=seen.own_grace_seconds), seen.killed_by or entry.at)
        stop = task.spec.stop
        marked = stop is not None and stop.on_unconfirmed is OnUnconfirmed.MARK_STOPPED
        return marked and due + MARGIN <= self._clock()

    async def _look_for_task(self, key: TaskKey) -> None:
        """Have the caches say what the API server says of a task."""
        known = self._cache.tasks.get(key)
        try:
            raw = await self._gateway.get_task(*key)
        except ApiError as error:
            if error.code == 404 and not error.absent:
                raise UnservedError from error
            if not error.absent:
                raise RetryError(error) from error
            if known is not None and not known.gone and self._cache.tasks.get(key) is known:
                self._event_handler.task_is_gone(key)  # its event was missed, or is on its way
        else:
            self._event_handler.task("MODIFIED", raw)
            if self._cache.tasks.get(key) is None:
                raise UnservedError  # it is there, and cannot be read

    def _tell(self, key: OrphanKey, orphan: _Orphan, pod: PodRecord, seen: Observation) -> None:
        """Say what is done about an orphan, once for each thing that there is to say."""
        if orphan.asked and seen.halted and not orphan.ended:
            orphan.ended = True
            self._metrics.orphans_ended.inc()
            self._say(key, pod, reason_of_orphan(pod))
        now = self._clock()
        overdue = seen.killed_by is not None and seen.killed_by + MARGIN <= now
        problem = seen.blocked or ((seen.late or NOT_CONFIRMED) if overdue else None)
        if problem is None:
            orphan.stalled = None
        elif orphan.stalled is None or orphan.stalled[0] != problem.reason:
            orphan.stalled = problem.reason, now
            gone = self._cache.lister.entries[ObjectRef("Pod", key.namespace, key.name)].absent
            self._say(key, pod, with_way_out(problem, pod) if gone else problem)
        self._stalls.put(key, orphan.stalled)

    def _say(self, key: OrphanKey, pod: PodRecord, word: Reason) -> None:
        self._events.post(pod, Note(Severity.WARNING, word.reason, Action.STOP, word.message))
        log.warning("%s: %s: %s", key, word.reason, word.message)

    def observe_only(self, key: OrphanKey) -> None:
        """Forget an orphan that is none any more, while another replica acts."""
        pod = self._pod(ObjectRef("Pod", key.namespace, key.name))
        if pod is None or pod.uid != key.uid or not is_orphan(pod, *self._claimants(pod)):
            self._let_go(key)

    def _let_go(self, key: OrphanKey) -> None:
        self._known.pop(key, None)
        self._stalls.put(key, None)
        self._cache.let_go(ObjectRef("Pod", key.namespace, key.name))
        self._queue.forget(key)
        self._metrics.orphans.set(len(self._known))
