"""Writing down what was decided on a task, and what concerns the task object itself."""

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from typing import Final

from agentstop.cluster.cache import Cache
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.queue import Enqueuer
from agentstop.cluster.resources import task_ref
from agentstop.controller.object_writer import ObjectWriter, OwnObject, overtaken
from agentstop.controller.reporter import Reporter
from agentstop.lifecycle.conditions import conditions, with_accepted
from agentstop.lifecycle.decision import Decision
from agentstop.lifecycle.effects import ObjectEffect, PauseTask
from agentstop.lifecycle.observation import Reason, Task
from agentstop.timings import TIMINGS, Timings
from agentstop.workloads.objects import ObjectRef

log = logging.getLogger(__name__)

FINAL_CODES: Final = frozenset({400, 403, 422})
"""HTTP codes that say that this status will not be taken, by validation, admission or for lack of rights."""


class Writer:
    """Writes statuses. What the API server does not take is remembered, told of, and counts until it can be written.

    `wanted` says which labels of tasks matter to orders that are in force.
    """

    def __init__(
        self,
        cache: Cache,
        gateway: Gateway,
        queue: Enqueuer[TaskKey],
        reporter: Reporter,
        wanted: Callable[[], Collection[str]],
        clock: Callable[[], datetime],
        timings: Timings = TIMINGS,
    ) -> None:
        self._timings = timings
        self._cache = cache
        self._gateway = gateway
        self._queue = queue
        self._reporter = reporter
        self._wanted = wanted
        self._clock = clock
        self._objects = ObjectWriter(
            gateway, self._take_in, lambda ref: cache.tasks.mark_gone(TaskKey(ref.namespace, ref.name))
        )
        self._smallest: dict[str, str] = {}
        """Resource version, by UID, of a task that could not be made any smaller."""

    def remember(self, key: TaskKey, decision: Decision) -> None:
        """Keep the record of an accepted stop until it can be written."""
        if decision.status.stop is not None and not decision.status.phase.terminal:
            self._cache.tasks.accept(key, decision.status)

    async def write(self, key: TaskKey, task: Task, decision: Decision) -> bool:
        """Write the status if it changed; return whether it stands there."""
        if decision.status == task.status and task.unwritable is None:
            return True
        try:
            answer = await self._objects.write_status(_own(task), decision.status.wire())
        except ApiError as error:
            if error.too_large or error.code in FINAL_CODES:
                await self._keep(key, task, decision, error)
                return False
            if not overtaken(error):
                raise
            self.remember(key, decision)
            await self._objects.read_again(_own(task).ref)
            self._queue.retry(key)
            return False
        self._cache.tasks.written(task.uid)
        self._smallest.pop(task.uid, None)
        self._take_in(answer)
        self._reporter.wrote(task, decision)
        return True

    async def _keep(self, key: TaskKey, task: Task, decision: Decision, error: ApiError) -> None:
        """Keep a status that the API server does not take, and make room for it where a stop is to be written down."""
        known = self._smallest.get(task.uid) == task.resource_version
        if error.too_large and decision.status.stop is not None and not known and await self._lighten(key, task):
            self.remember(key, decision)
            self._queue.add(key)
            return
        word = _why(task, error)
        status = decision.status
        if not status.phase.terminal:
            said = Reason(status.reason or word.reason, status.message or word.message)
            held_up = conditions(status.phase, said, word, status.conditions, self._clock())
            status = status.but(conditions=with_accepted(held_up, status.conditions))
        if task.unwritable is None or task.unwritable.reason != word.reason:
            log.warning("%s: %s", key, word.message)
            self._reporter.wrote(task, replace(decision, status=status))
            self._reporter.unwritable(task, word)
        self._cache.tasks.stand_in(key, status, word)
        timings, ended = self._timings, status.phase.terminal
        self._queue.add_after(key, timings.ended_status_retry_seconds if ended else timings.status_retry_seconds)

    async def _lighten(self, key: TaskKey, task: Task) -> bool:
        """Take the bulk off a task; return whether it became smaller."""
        try:
            answer = await self._gateway.lighten_task(task.namespace, task.name, task.uid, self._wanted())
        except ApiError as error:
            log.warning("%s could not be made smaller: %s", key, error)
            if error.code != 0:
                self._smallest[task.uid] = task.resource_version
            return False
        self._take_in(answer)
        return True

    async def tidy(self, key: TaskKey, task: Task, effects: tuple[ObjectEffect, ...]) -> None:
        """Carry out what concerns the task object itself."""

        def current() -> OwnObject | None:
            known = self._cache.tasks.get(key)
            return _own(known) if known is not None and known.uid == task.uid else None

        if not await self._objects.tidy(current, effects):
            self._queue.retry(key)
        elif PauseTask() in effects:
            self._queue.add(key)  # its own event brings nothing new

    def _gone(self, ref: ObjectRef) -> None:
        self._cache.tasks.mark_gone(TaskKey(ref.namespace, ref.name))

    def _take_in(self, raw: JsonObject) -> None:
        self._cache.tasks.put_answer(raw, self._clock())


def _why(task: Task, error: ApiError) -> Reason:
    if error.too_large:
        message = (
            f"AgentTask {task.name} is so large that its status cannot be written ({error.message});"
            " take labels and annotations off it"
        )
        return Reason("TaskTooLarge", message)
    return Reason("StatusNotWritable", f"The status of AgentTask {task.name} cannot be written: {error.message}")


def _own(task: Task) -> OwnObject:
    return OwnObject(task_ref(task.namespace, task.name), task.uid, task.resource_version)
