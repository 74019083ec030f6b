"""What a change of one task means to its relatives: whom it stops, and who waits for it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from agentstop.api.meta import stalled
from agentstop.cluster.cache import Cache
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.queue import Enqueuer, Priority
from agentstop.lifecycle.family import ancestors, descendants, is_over_budget
from agentstop.lifecycle.observation import Task
from agentstop.timings import TIMINGS, Timings


class FamilyHandler:
    """Listens to the changes of tasks, and has their relatives decided on."""

    def __init__(
        self, cache: Cache, queue: Enqueuer[TaskKey], clock: Callable[[], datetime], timings: Timings = TIMINGS
    ) -> None:
        self._count_seconds = timings.family_count_seconds
        self._cache = cache
        self._queue = queue
        self._clock = clock
        cache.tasks.listen(self.changed)

    def changed(self, key: TaskKey, before: Task | None, after: Task | None) -> None:
        """Take in that a task came, changed or went."""
        task = after or before
        if task is None:
            return
        family_lister = self._cache.tasks.family_lister(key.namespace)
        if _downwards(before) != _downwards(after):
            for each in list(descendants(task, family_lister)):
                below = TaskKey(each.namespace, each.name)
                if self._cache.tasks.ask(below, self._clock()):
                    self._queue.add(below, priority=Priority.MASS)
                elif not each.status.phase.terminal:
                    self._queue.add(below)
        if task.spec.parent_ref is not None and _upwards(before) != _upwards(after):
            for each in ancestors(task, family_lister):
                self._queue.add_after(TaskKey(each.namespace, each.name), self._count_seconds)


def _downwards(task: Task | None) -> Any:
    """Return what of a task matters to those below it."""
    if task is None:
        return None
    status = task.status
    asked = task.spec.stop_requested or task.deleting or task.gone
    grace = task.spec.stop.grace_period_seconds if task.spec.stop is not None else None
    return task.uid, asked, grace, status.stop is not None, status.phase.terminal, is_over_budget(task)


def _upwards(task: Task | None) -> Any:
    """Return what of a task matters to those above it."""
    if task is None:
        return None
    held_up = stalled(task.status.conditions)
    return task.uid, task.status.phase.terminal, held_up.message if held_up is not None else None
