"""One process of the operator in the world: its real caches, intake, decisions and loop, on a queue of the world."""

from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from agentstop.api.task import KIND
from agentstop.cluster.cache import Cache, TaskKey
from agentstop.cluster.errors import ApiError
from agentstop.cluster.followers import Followers
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.queue import KeyedQueue
from agentstop.controller.events import EventPoster
from agentstop.controller.intake import Intake
from agentstop.controller.metrics import Metrics
from agentstop.controller.reconciler import Reconciler, RetryError
from agentstop.controller.recorder import Recorder
from agentstop.controller.resync import Resync
from agentstop.lifecycle.events import Note
from agentstop.lifecycle.seen import Task
from agentstop.workloads.objects import ObjectRef

from .clock import Clock
from .gateway import ModelGateway
from .server import NAMESPACE, Change, Server, labelled

METRICS = Metrics({}, lambda: 0, lambda: ())
RETRY = timedelta(seconds=2)

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
        self.waiting: dict[TaskKey, bool] = {}
        self.due: dict[TaskKey, datetime] = {}

    @property
    def has_urgent(self) -> bool:
        return any(self.waiting.values())

    def add(self, key: TaskKey, *, urgent: bool = False) -> None:
        self.waiting[key] = self.waiting.get(key, False) or urgent

    def add_after(self, key: TaskKey, seconds: float) -> None:
        due = self._clock.now + timedelta(seconds=max(seconds, 0.0))
        self.due[key] = min(self.due.get(key, due), due)

    def retry(self, key: TaskKey) -> None:
        self.add_after(key, RETRY.total_seconds())

    def succeeded(self, key: TaskKey) -> None:
        """Failures are not counted here."""

    def forget(self, key: TaskKey) -> None:
        self.due.pop(key, None)

    def take(self) -> TaskKey | None:
        for key in [key for key, due in self.due.items() if due <= self._clock.now]:
            del self.due[key]
            self.add(key, urgent=True)
        for urgent in (True, False):
            for key, is_urgent in self.waiting.items():
                if is_urgent is urgent:
                    del self.waiting[key]
                    return key
        return None


class ModelFollowers:
    """Watches of single objects, as positions in the history."""

    def __init__(self) -> None:
        self.positions: dict[ObjectRef, int | None] = {}

    def follow(self, ref: ObjectRef) -> None:
        self.positions.setdefault(ref, None)

    def unfollow(self, ref: ObjectRef) -> None:
        self.positions.pop(ref, None)


class ModelEvents:
    """Takes the notes about tasks."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str]] = []

    def post(self, task: Task, note: Note) -> None:
        self.notes.append((task.uid, note.reason))


class Process:
    """The operator from its start to its crash."""

    def __init__(self, server: Server, clock: Clock, gateway: ModelGateway) -> None:
        self._server = server
        self._clock = clock
        self.gateway = gateway
        self.cache = Cache()
        self.queue = ModelQueue(clock)
        self.followers = ModelFollowers()
        self.events = ModelEvents()
        queue = cast("KeyedQueue[TaskKey]", self.queue)
        self.intake = Intake(self.cache, queue, METRICS, clock)
        self.reconciler = Reconciler(
            self.cache,
            cast("Gateway", gateway),
            queue,
            cast("Followers", self.followers),
            Recorder(cast("EventPoster", self.events), METRICS),
            clock,
        )
        self.intake.forget_with(self.reconciler.forget)
        self.resync = Resync(self.cache, cast("Gateway", gateway), self.intake, (NAMESPACE,))
        self.at_work_on: Task | None = None
        self._positions: dict[str, int | None] = {KIND: None, "Pod": None}

    # Watches

    def watch(self, kind: str, most: int | None = None) -> None:
        """Take in what a watch brings; None of it was lost."""
        position = self._positions[kind]
        if position is None:
            for ref, raw in list(self._server.objects.items()):
                if ref.kind == kind and (kind == KIND or labelled(raw)):
                    self._take_in(ref, None, raw)
            self._positions[kind] = len(self._server.history)
            return
        while position < len(self._server.history) and most != 0:
            change = self._server.history[position]
            position += 1
            seen = _as_watched(change) if kind == "Pod" else (change.kind, change.after)
            if change.ref.kind == kind and seen is not None:
                self._take_in(change.ref, *seen)
                most = None if most is None else most - 1
        self._positions[kind] = position

    def follow(self) -> None:
        """Take in what the watches of single objects bring; each begins with the object as it is."""
        for ref, position in list(self.followers.positions.items()):
            if position is None:
                raw = self._server.objects.get(ref)
                if raw is not None:
                    self._take_in(ref, "ADDED", raw)
                else:
                    self.intake.absent(ref)
            else:
                for change in self._server.history[position:]:
                    if change.ref == ref:
                        self._take_in(ref, change.kind, change.after)
            if ref in self.followers.positions:
                self.followers.positions[ref] = len(self._server.history)

    def blink(self) -> None:
        """All watches break, and begin anew with lists."""
        self._positions = dict.fromkeys(self._positions)
        self.followers.positions = dict.fromkeys(self.followers.positions)

    def _take_in(self, ref: ObjectRef, kind: str | None, raw: dict[str, Any]) -> None:
        if ref.kind == KIND:
            self.intake.task(kind, raw)
        else:
            self.intake.object(ref, kind, raw)

    def look_again(self) -> None:
        """Make the slow second look."""
        try:
            done_at_once(self.resync.run_once())
        except ApiError:
            return

    # Work

    def work(self, most: int) -> int:
        """Make at most so many passes, and return how many it were."""
        passes = 0
        while passes < most:
            key = self.queue.take()
            if key is None:
                break
            passes += 1
            self.at_work_on = self.cache.task(key)
            try:
                done_at_once(self.reconciler.reconcile(key))
            except RetryError:
                self.queue.retry(key)
            finally:
                self.at_work_on = None
        return passes


def _as_watched(change: Change) -> tuple[str, dict[str, Any]] | None:
    """Return what a watch with the operator's label selector shows of a change, if anything.

    An object that loses its label is shown as DELETED, in the state before.
    Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
    """
    was, is_now = labelled(change.before), labelled(change.after)
    if change.kind == "DELETED":
        return ("DELETED", change.after) if was else None
    if is_now:
        return ("MODIFIED" if was else "ADDED"), change.after
    if was and change.before is not None:
        version = change.after["metadata"]["resourceVersion"]
        return "DELETED", {**change.before, "metadata": {**change.before["metadata"], "resourceVersion": version}}
    return None
