"""From watch events to caches to keys in the queue. Nothing here waits."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from agentstop.api.task import KIND, Phase
from agentstop.cluster.cache import Cache
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.large_objects import NamespacedName
from agentstop.cluster.queue import Enqueuer, Priority
from agentstop.cluster.watching import LISTED
from agentstop.controller.metrics import Metrics
from agentstop.lifecycle.conditions import FREEZING
from agentstop.lifecycle.observation import Task
from agentstop.workloads.asked_freezes import is_asked_to_freeze
from agentstop.workloads.objects import ObjectRef, WatchTarget

log = logging.getLogger(__name__)

DELETED: Final = "DELETED"


class EventHandler:
    """Takes in what the watches bring."""

    def __init__(self, cache: Cache, queue: Enqueuer[TaskKey], metrics: Metrics, clock: Callable[[], datetime]) -> None:
        self._cache = cache
        self._queue = queue
        self._metrics = metrics
        self._clock = clock
        self._forget: Callable[[TaskKey], None] = cache.drop_task
        self._pod_seen: Callable[[ObjectRef], None] = lambda _: None

    def forget_with(self, forget: Callable[[TaskKey], None]) -> None:
        """Have tasks that are gone forgotten by this function."""
        self._forget = forget

    def tell_of_pods(self, seen: Callable[[ObjectRef], None]) -> None:
        """Have this function called with each pod that something is learnt of."""
        self._pod_seen = seen

    def changed(self, kind: str, event: str | None, raw: dict[str, Any]) -> None:
        """Take in what the reflector of tasks or of pods tells of."""
        if kind == KIND:
            self.task(event, raw)
        else:
            metadata = raw["metadata"]
            self.object(ObjectRef(kind, metadata["namespace"], metadata["name"]), event, raw)

    def missing(self, kind: str, name: NamespacedName, uid: str) -> None:
        """Take in that a task or pod went while its watch was blind."""
        if kind != KIND:
            self.object(ObjectRef(kind, *name), DELETED, {"metadata": {}})
            return
        key = TaskKey(*name)
        task = self._cache.tasks.get(key)
        if task is not None and task.uid == uid:
            self.task_is_gone(key)

    def task(self, kind: str | None, raw: dict[str, Any]) -> None:
        """Take in the event of a task."""
        metadata = raw["metadata"]
        key = TaskKey(metadata["namespace"], metadata["name"])
        self._metrics.heard(KIND)
        try:
            taken = self._cache.tasks.put(raw, self._clock())
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            self._cache.tasks.unreadable.add(key)
            log.error("%s cannot be read, and is left alone: %s: %s", key, where, problem["msg"])
            return
        if kind == DELETED:
            current = self._cache.tasks.get(key)
            if current is not None and current.uid == metadata["uid"]:
                self.task_is_gone(key)
        elif taken is not None:
            self.enqueue(taken)

    def task_is_gone(self, key: TaskKey) -> None:
        """Take in that a task object is gone.

        A stop that was asked for before is still carried out, and what it has frozen goes on. Any other pod that we
        made is an orphan from now on, unless the garbage collector takes it.
        """
        task = self._cache.tasks.get(key)
        if task is None:
            return
        may_be_frozen = task.may_have_frozen or is_asked_to_freeze(task, self._cache.lister)
        if not task.status.phase.terminal and (task.stop_seen_at is not None or may_be_frozen):
            self._cache.tasks.mark_gone(key)
            self.enqueue(key)
        else:
            self._forget(key)

    def followed(self, target: WatchTarget, kind: str, raw: dict[str, Any]) -> None:
        """Take in what the watch of one object, or of the pods of a workload, brought."""
        if isinstance(target, ObjectRef):
            self.object(target, kind, raw)
            return
        self._metrics.heard("Pod")
        if kind == LISTED:
            self._cache.objects.list_pods(target, raw["items"], self._clock())
        else:
            self._cache.objects.see_member(target, raw, self._clock(), deleted=kind == DELETED)
        for key in self._cache.keys_of(target):
            self.enqueue(key)

    def object(self, ref: ObjectRef, kind: str | None, raw: dict[str, Any]) -> None:
        """Take in the event of an object that a task stands for."""
        self._metrics.heard(ref.kind)
        if kind == DELETED and (ref.kind != "Pod" or raw["metadata"].get("deletionGracePeriodSeconds") == 0):
            self._cache.objects.see_absent(ref, self._clock(), raw)
        elif kind == DELETED:
            # A watch by label says the same of an object that is there, but lost its label: nobody gets away so, not
            # even in the middle of its grace period. What is really deleted comes with a grace period of 0 left.
            self._cache.objects.mark_stale(ref)
        else:
            self._cache.objects.see(ref, raw, self._clock())
        if ref.kind == "Pod":
            self._pod_seen(ref)
        self._enqueue_all(ref, gone=kind == DELETED)

    def absent(self, ref: ObjectRef) -> None:
        """Take in that an object does not exist."""
        self._cache.objects.see_absent(ref, self._clock())
        self._enqueue_all(ref, gone=True)

    def _enqueue_all(self, ref: ObjectRef, *, gone: bool) -> None:
        keys = self._cache.keys_of(ref)
        for key in keys:
            self.enqueue(key)
        if gone and not keys:
            self._cache.forget(ref)

    def mark_stale(self, ref: ObjectRef) -> None:
        """Have an object looked at live before anything is decided."""
        self._cache.objects.mark_stale(ref)

    def enqueue(self, key: TaskKey) -> None:
        """Have a decision made on the task; one that is to be stopped comes before all others."""
        task = self._cache.tasks.get(key)
        if task is not None:
            self._queue.add(key, priority=priority_of(task))


def priority_of(task: Task | None) -> Priority:
    """Return how soon a task has its turn: whether somebody waits for an agent to get SIGTERM, or to be frozen."""
    if task is None or task.status.phase.terminal:
        return Priority.NORMAL
    if task.stop_seen_at is None:
        return Priority.MASS if _is_to_freeze(task) else Priority.NORMAL
    if task.status.stop is not None and task.status.stop.signaled_at is not None:
        return Priority.NORMAL
    return Priority.STOP if task.spec.stop_requested or task.deleting else Priority.MASS


def _is_to_freeze(task: Task) -> bool:
    """Whether a task is being frozen, or is to be by its own spec."""
    phase = task.status.phase
    if phase is Phase.PAUSING:
        return task.status.reason == FREEZING
    return task.to_be_frozen and phase is Phase.RUNNING
