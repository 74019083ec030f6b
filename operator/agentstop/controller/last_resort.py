"""What is done for a task that could not be decided on, whatever went wrong: its stop is carried out all the same."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from agentstop.api.task import AgentTaskStatus, Phase, PodPolicy, StopRequest, StopStatus
from agentstop.cluster.cache import Cache
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.controller.writer import Writer
from agentstop.lifecycle.conditions import conditions, with_accepted
from agentstop.lifecycle.decision import Decision, DecisionInput, Limits, by_person
from agentstop.lifecycle.events import notes_between
from agentstop.lifecycle.facts import Facts
from agentstop.lifecycle.family import family_of
from agentstop.lifecycle.observation import Observation, Presence, Reason, Task
from agentstop.lifecycle.orders import OrderEffect
from agentstop.lifecycle.record import accepted
from agentstop.lifecycle.stopping import ACCEPTED
from agentstop.timings import Timings
from agentstop.workloads.blindly import end_blindly, frozen_pods, target_of, thaw_blindly
from agentstop.workloads.objects import ObjectRef, PodOnNode
from agentstop.workloads.requests import Delete, Get, Patch
from agentstop.workloads.unreadable import told

log = logging.getLogger(__name__)

REASON: Final = "DecisionFailed"

LOGS_GONE: Final = "the operator could not decide on this task, so that it deleted the pod"


class LastResort:
    """Ends what was asked to stop with the least that has to be known, and says so."""

    def __init__(
        self,
        cache: Cache,
        gateway: Gateway,
        writer: Writer,
        facts: Callable[[Task], Facts],
        clock: Callable[[], datetime],
        limits: Limits,
        timings: Timings,
    ) -> None:
        self._facts = facts
        self._limits = limits
        self._timings = timings
        self._cache = cache
        self._gateway = gateway
        self._writer = writer
        self._clock = clock

    async def take(self, key: TaskKey, order_effect: OrderEffect, error: Exception) -> None:
        """Do for a task what can be done though `error` kept anybody from deciding on it."""
        task = self._cache.tasks.get(key)
        if task is None or task.status.phase.terminal:
            return
        now = self._clock()
        stop, manually = task.status.stop, task.status.manually_stopped
        if stop is None:
            stop, manually = self._accepted(key, task, order_effect, now)
        ended = None
        if stop is not None or task.stop_seen_at is not None:
            ended = await self._end(key, task)
            await self._thaw(key, task)
        status = _status(task, stop, error, now).but(manually_stopped=manually)
        asked = (stop.pod_policy if stop is not None else None) or (task.spec.stop or StopRequest()).pod_policy
        if isinstance(ended, Delete) and asked is PodPolicy.KEEP and status.workload is not None:
            status = status.but(workload=status.workload.but(logs_gone=LOGS_GONE))
        decision = Decision(status=status, notes=notes_between(task.status, status))
        try:
            if not task.gone:
                await self._writer.write(key, task, decision)
        except ApiError as failed:
            log.warning("%s: that it cannot be decided on was not written down: %s", key, failed)
            self._writer.remember(key, decision)

    def _accepted(
        self, key: TaskKey, task: Task, order_effect: OrderEffect, now: datetime
    ) -> tuple[StopStatus | None, bool]:
        """Return the record of the stop without a look at the workload, if it can be told, and if it is a person's."""
        try:
            family = family_of(task, self._cache.tasks.family_lister(key.namespace))
            nothing = Observation(presence=Presence.UNKNOWN)
            case = DecisionInput(
                task, nothing, now, family, order_effect, self._limits, self._timings, self._facts(task)
            )
            stop = accepted(case)
            return stop, by_person(case, stop)
        except Exception as error:  # noqa: BLE001  (whatever it is: the workload is ended, if nothing more)
            log.error("%s: who asked for its stop cannot be told: %s", key, told(error))
            return None, False

    async def _end(self, key: TaskKey, task: Task) -> Delete | Patch | None:
        """End the workload by its UID; return the request by which it was, if one was sent."""
        try:
            ref = target_of(task)
            found = await self._gateway.send(Get(ref))
            request = end_blindly(task, ref, found)
            if request is not None:
                await self._gateway.send(request)
                return request
        except ApiError as error:
            if not error.absent:
                log.warning("%s: its workload could not be ended: %s", key, error)
        except Exception as error:  # noqa: BLE001  (that the stop is told of must not fail, too)
            log.error("%s: its workload could not be ended: %s", key, told(error))
        return None

    async def _thaw(self, key: TaskKey, task: Task) -> None:
        """Have go on what is frozen and was told to end: until then it takes no SIGTERM."""
        try:
            frozen = list(frozen_pods(task, self._cache.lister))
        except Exception as error:  # noqa: BLE001  (that the stop is told of must not fail, too)
            log.error("%s: what is frozen of it cannot be told: %s", key, told(error))
            return
        for ref, pod in frozen:
            await self._thaw_one(key, task, ref, pod)

    async def _thaw_one(self, key: TaskKey, task: Task, ref: ObjectRef, pod: PodOnNode) -> None:
        try:
            raw = await self._gateway.send(Get(ref))
            for request in thaw_blindly(task, pod, raw, self._cache.lister, self._clock()):
                await self._gateway.send(request)
        except ApiError as error:
            if not error.absent:
                log.warning("%s: %s could not be thawed for its end: %s", key, ref, error)
        except Exception as error:  # noqa: BLE001  (no other pod is to stay frozen for it)
            log.error("%s: %s could not be thawed for its end: %s", key, ref, told(error))


def _status(task: Task, stop: StopStatus | None, error: Exception, now: datetime) -> AgentTaskStatus:
    word = Reason(REASON, f"The operator could not decide on this task, which is a mistake in it: {told(error)}")
    before = task.status
    phase = Phase.STOPPING if stop is not None else before.phase
    # That nothing of a paused task runs is more than can be said now.
    unsaid = before.reason is None or phase in {Phase.PAUSING, Phase.PAUSED}
    said = word if unsaid else Reason(before.reason or "", before.message or "")
    said = ACCEPTED[stop.source] if stop is not None else said
    return before.but(
        phase=phase,
        stop=stop,
        pause_policy=before.pause_policy if stop is None else None,
        reason=said.reason,
        message=said.message,
        conditions=with_accepted(conditions(phase, said, word, before.conditions, now), before.conditions),
    )
