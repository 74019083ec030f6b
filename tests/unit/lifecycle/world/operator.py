"""One process of the operator in the world: its real caches, intake, decisions and loop, on a queue of the world."""

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from agentstop.api.order import ORDER_KIND
from agentstop.api.pod_control import CONTROL_KIND
from agentstop.api.task import KIND
from agentstop.api.usage import USAGE_KIND
from agentstop.cluster.cache import Cache
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import OrphanKey, TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.object_watcher import ObjectWatcher
from agentstop.cluster.orders import StopOrderIndex, key_of
from agentstop.cluster.queue import Priority, WorkQueue
from agentstop.cluster.reflector import Source
from agentstop.cluster.resources import pod_of
from agentstop.cluster.tethers import TetherIndex
from agentstop.cluster.watching import LISTED
from agentstop.controller.control_handler import ControlHandler
from agentstop.controller.event_handler import EventHandler
from agentstop.controller.events import EventRecorder
from agentstop.controller.executor import Executor
from agentstop.controller.family_handler import FamilyHandler
from agentstop.controller.metrics import Metrics
from agentstop.controller.orphans import Orphans
from agentstop.controller.reconciler import Reconciler
from agentstop.controller.reporter import Reporter
from agentstop.controller.resync import Resync
from agentstop.controller.retry import RetryError
from agentstop.controller.stalls import Stalls
from agentstop.controller.usage_handler import UsageHandler
from agentstop.lifecycle.decision import LIMITS, Limits
from agentstop.lifecycle.events import Note
from agentstop.lifecycle.observation import Observation, Task
from agentstop.workloads.kind import WorkloadKind
from agentstop.workloads.objects import ObjectRef, PodsOf, WatchTarget

from .clock import Clock
from .gateway import ModelGateway
from .server import NAMESPACE, Change, Raw, Server, labelled, selects

METRICS = Metrics({}, lambda: 0, lambda: ())
RETRY = timedelta(seconds=2)
USAGES = Source(USAGE_KIND, NAMESPACE)

Result = TypeVar("Result")


def done_at_once(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("Result", stop.value)
    raise AssertionError("something waited in a world where nothing does")


class ModelQueue:
    """The queue's interface on the world's clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.waiting: dict[TaskKey | OrphanKey, Priority] = {}
        self.due: dict[TaskKey | OrphanKey, datetime] = {}

    @property
    def has_urgent(self) -> bool:
        return any(priority is not Priority.NORMAL for priority in self.waiting.values())

    def add(self, key: TaskKey | OrphanKey, *, priority: Priority = Priority.NORMAL) -> None:
        self.waiting[key] = min(self.waiting.get(key, priority), priority)

    def add_after(self, key: TaskKey | OrphanKey, seconds: float) -> None:
        due = self._clock.now + timedelta(seconds=max(seconds, 0.0))
        self.due[key] = min(self.due.get(key, due), due)

    def retry(self, key: TaskKey | OrphanKey) -> None:
        self.add_after(key, RETRY.total_seconds())

    def succeeded(self, key: TaskKey | OrphanKey) -> None:
        """Failures are not counted here."""

    def forget(self, key: TaskKey | OrphanKey) -> None:
        self.due.pop(key, None)

    def take(self) -> TaskKey | OrphanKey | None:
        for key in [key for key, due in self.due.items() if due <= self._clock.now]:
            del self.due[key]
            self.add(key, priority=Priority.STOP)
        for wanted in Priority:
            for key, priority in self.waiting.items():
                if priority is wanted:
                    del self.waiting[key]
                    return key
        return None


class ModelFollowers:
    """Watches of single objects and of the pods of workloads, as positions in the history."""

    def __init__(self) -> None:
        self.positions: dict[WatchTarget, int | None] = {}

    def follow(self, ref: WatchTarget) -> None:
        self.positions.setdefault(ref, None)

    def unfollow(self, ref: WatchTarget) -> None:
        self.positions.pop(ref, None)


class ModelEvents:
    """Takes the notes about tasks."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str]] = []

    def post(self, task: Task, note: Note) -> None:
        self.notes.append((task.uid, note.reason))


class MistakeError(Exception):
    """What a mistake in the operator raises."""


class _Mistaken(Reconciler):
    """Fails to make anything of what is seen, as often as its process is told to."""

    process: "Process"

    def _observe(self, key: TaskKey, task: Task, kind: WorkloadKind, now: datetime) -> Observation:
        if self.process.mistakes:
            self.process.mistakes -= 1
            raise MistakeError("nobody thought of this")
        return super()._observe(key, task, kind, now)


class Process:
    """The operator from its start to its crash."""

    def __init__(self, server: Server, clock: Clock, gateway: ModelGateway, limits: Limits = LIMITS) -> None:
        self._server = server
        self._clock = clock
        self.gateway = gateway
        self.cache = Cache(trust_requested_by=True)
        self.queue = ModelQueue(clock)
        self.object_watcher = ModelFollowers()
        self.events = ModelEvents()
        queue = cast("WorkQueue[TaskKey | OrphanKey]", self.queue)
        self.event_handler = EventHandler(self.cache, queue, METRICS, clock)
        self.usages = UsageHandler(self.cache, queue, clock, [USAGES])
        self.orders = StopOrderIndex(lambda _: None)
        self.mistakes = 0
        """So many of the next decisions fail, for a mistake in the operator."""
        executor = Executor(self.cache, cast("Gateway", gateway), queue, clock)
        self.reconciler = _Mistaken(
            self.cache,
            cast("Gateway", gateway),
            executor,
            queue,
            cast("ObjectWatcher", self.object_watcher),
            Reporter(cast("EventRecorder", self.events), METRICS),
            self.orders,
            self.usages,
            TetherIndex(),
            clock,
            limits=limits,
        )
        doubt = self.cache.objects.mark_member_stale
        self.controls = ControlHandler(self.cache.controls, doubt, self.event_handler.enqueue, clock)
        self.reconciler.process = self
        FamilyHandler(self.cache, queue, clock)
        self.orphans = Orphans(
            self.cache,
            cast("Gateway", gateway),
            executor,
            queue,
            self.event_handler,
            cast("EventRecorder", self.events),
            METRICS,
            Stalls(),
            lambda: self._listed == {KIND, "Pod"},
            clock,
        )
        self.event_handler.forget_with(self.reconciler.forget)
        self.resync = Resync(self.cache, cast("Gateway", gateway), self.event_handler, (NAMESPACE,), self.orphans.sweep)
        self._key: TaskKey | OrphanKey | None = None
        self._listed: set[str] = set()
        self._positions: dict[str, int | None] = dict.fromkeys((KIND, "Pod", USAGE_KIND, CONTROL_KIND, ORDER_KIND))
        self.watch(ORDER_KIND)  # orders are read before any task is decided on

    # Watches

    def watch(self, kind: str, most: int | None = None) -> None:
        """Take in what a watch brings; None of it was lost."""
        position = self._positions[kind]
        if position is None:
            for order in self.orders.orders() if kind == ORDER_KIND else ():
                self.orders.drop(order.key)
            for ref, raw in list(self._server.objects.items()):
                if ref.kind == kind and (kind != "Pod" or labelled(raw)):
                    self._take_in(ref, None, raw)
            self._positions[kind] = len(self._server.history)
            if kind == USAGE_KIND:
                self.usages.reached(USAGES, "")
            if kind in {USAGE_KIND, CONTROL_KIND, ORDER_KIND}:
                return
            self._listed.add(kind)
            self.orphans.sweep()
            return
        while position < len(self._server.history) and most != 0:
            change = self._server.history[position]
            position += 1
            seen = as_watched(change, labelled) if kind == "Pod" else (change.kind, change.after)
            if change.ref.kind == kind and seen is not None:
                self._take_in(change.ref, *seen)
                most = None if most is None else most - 1
        self._positions[kind] = position

    def follow(self) -> None:
        """Take in what the watches of single objects, and of pods of workloads, bring."""
        for target, position in list(self.object_watcher.positions.items()):
            if position is None:
                self._begin(target)
            else:
                for change in self._server.history[position:]:
                    self._go_on(target, change)
            if target in self.object_watcher.positions:
                self.object_watcher.positions[target] = len(self._server.history)

    def _begin(self, target: WatchTarget) -> None:
        """A watch begins with what there is."""
        if isinstance(target, PodsOf):
            self.event_handler.followed(
                target, LISTED, {"items": [pod_of(each) for each in self._server.selected(target)]}
            )
        elif target in self._server.objects:
            self.event_handler.followed(target, "ADDED", self._server.objects[target])
        else:
            self.event_handler.absent(target)

    def _go_on(self, target: WatchTarget, change: Change) -> None:
        if change.ref == target:
            self.event_handler.followed(target, change.kind, change.after)
        elif isinstance(target, PodsOf) and change.ref.kind == "Pod":
            seen = as_watched(change, lambda raw: selects(target, raw))
            if seen is not None:
                self.event_handler.followed(target, *seen)

    def blink(self) -> None:
        """All watches break, and begin anew with lists."""
        self._positions = dict.fromkeys(self._positions)
        self.object_watcher.positions = dict.fromkeys(self.object_watcher.positions)

    def _order(self, kind: str | None, raw: dict[str, Any]) -> None:
        """Take in an order, and have all tasks decided on, as a pass over it does."""
        if kind == "DELETED":
            self.orders.drop(key_of(raw))
        else:
            self.orders.put(raw)
        for key in dict(self.cache.tasks.items()):
            self.event_handler.enqueue(key)

    def _take_in(self, ref: ObjectRef, kind: str | None, raw: dict[str, Any]) -> None:
        if ref.kind == CONTROL_KIND:
            self.controls.changed(CONTROL_KIND, kind, raw)
        elif ref.kind == ORDER_KIND:
            self._order(kind, raw)
        elif ref.kind == USAGE_KIND:
            self.usages.changed(USAGE_KIND, kind, raw)
        elif ref.kind == KIND:
            self.event_handler.task(kind, raw)
        else:
            self.event_handler.object(ref, kind, raw)

    def look_again(self) -> None:
        """Make the slow second look."""
        try:
            done_at_once(self.resync.run_once())
        except ApiError:
            return

    # Work

    def mistaken(self, count: int) -> None:
        """Have so many of the next decisions fail."""
        self.mistakes = count

    def task_at_work(self) -> Task | None:
        """Return the task that is being worked on, as this process knows it now."""
        return self.cache.tasks.get(self._key) if isinstance(self._key, TaskKey) else None

    def orphan_at_work(self) -> OrphanKey | None:
        """Return the pod of no task that is being worked on, if it is one."""
        return self._key if isinstance(self._key, OrphanKey) else None

    def work(self, most: int) -> int:
        """Make at most so many passes, and return how many it were."""
        passes = 0
        while passes < most:
            key = self.queue.take()
            if key is None:
                break
            passes += 1
            self._key = key
            try:
                if isinstance(key, OrphanKey):
                    done_at_once(self.orphans.reconcile(key))
                else:
                    done_at_once(self.reconciler.reconcile(key))
            except (RetryError, MistakeError):
                self.queue.retry(key)
            finally:
                self._key = None
        return passes


def as_watched(change: Change, selected: Callable[[Raw | None], bool]) -> tuple[str, dict[str, Any]] | None:
    """Return what a watch with a label selector shows of a change, if anything.

    An object that loses its label is shown as DELETED, in the state before.
    Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
    """
    was, is_now = selected(change.before), selected(change.after)
    if change.kind == "DELETED":
        return ("DELETED", change.after) if was else None
    if is_now:
        return ("MODIFIED" if was else "ADDED"), change.after
    if was and change.before is not None:
        version = change.after["metadata"]["resourceVersion"]
        return "DELETED", {**change.before, "metadata": {**change.before["metadata"], "resourceVersion": version}}
    return None
