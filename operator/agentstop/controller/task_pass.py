"""One pass over a task: look, decide, send, and decide again on the answers."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agentstop.api.task import Phase
from agentstop.cluster.cache import Cache
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.orders import StopOrderIndex
from agentstop.controller.executor import Executor, Pass
from agentstop.controller.processors import look
from agentstop.controller.reporter import Reporter
from agentstop.controller.retry import RetryError
from agentstop.controller.usage_handler import UsageHandler
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import Decision, Limits
from agentstop.lifecycle.facts import CPUUse, Facts
from agentstop.lifecycle.family import MAX_GENERATIONS, family_of, unknown_ancestor
from agentstop.lifecycle.observation import Observation, Task
from agentstop.timings import Timings
from agentstop.workloads.kind import WorkloadKind
from agentstop.workloads.registry import kind_of
from agentstop.workloads.requests import Request

ROUNDS: Final = 8
"""How often one pass decides anew on the answers to what it sent; what is sent once is not sent again in it, so that
this bound is only reached by a mistake."""

ENDED_BY_ITSELF: Final = frozenset({Phase.COMPLETED, Phase.FAILED})

Observe = Callable[[TaskKey, Task, WorkloadKind, datetime], Observation]


@dataclass(frozen=True, slots=True)
class Means:
    """What passes over tasks are made with."""

    cache: Cache
    gateway: Gateway
    executor: Executor
    orders: StopOrderIndex
    usages: UsageHandler
    facts: Callable[[Task, CPUUse], Facts]
    reporter: Reporter
    observe: Observe
    clock: Callable[[], datetime]
    limits: Limits
    timings: Timings


class TaskPass(Pass):
    """One pass over one task. `task` is what was decided on last: the newest one, since a stop may come meanwhile."""

    def __init__(self, means: Means, key: TaskKey, task: Task) -> None:
        super().__init__(means.executor)
        self._means = means
        self._key = key
        self._kind = kind_of(task)
        self._listed: set[str] = set()
        """Names of the tasks whose children were read in this pass."""
        self._cpu_use = CPUUse.UNASKED
        self.task = task

    async def decide_and_send(self) -> Decision:
        """Decide, and send what the decision asks for, until it asks for nothing that was not sent already.

        Raises RetryError where what has to be known first cannot be read.
        """
        means, kind = self._means, self._kind
        told = False
        await self._know_ancestors()
        for _ in range(ROUNDS):
            now = means.clock()
            if await self.send_new(kind.required_reads(self.task, means.cache.lister, now)):
                self.check()
                continue
            self.task = task = means.cache.tasks.get(self._key) or self.task
            default = means.usages.default_budgets.budget(task.namespace)
            family = family_of(task, means.cache.tasks.family_lister(task.namespace), default)
            seen, order_effect = means.observe(self._key, task, kind, now), means.orders.order_effect(task)
            facts = means.facts(task, self._cpu_use)
            decision = decide(task, seen, now, family, order_effect, means.limits, means.timings, facts)
            if decision.in_doubt and self._cpu_use is CPUUse.UNASKED:
                await self._look_at_processors(task, now)
                continue
            phase = decision.status.phase
            quiet = phase in {Phase.STOPPED, Phase.PAUSED} and phase is not task.status.phase
            if quiet and await self.send_new(kind.last_reads(task, means.cache.lister)):
                self.check()
                continue
            confirms = phase is Phase.STOPPED and not task.status.phase.terminal
            if confirms and family.children is not None and await self._list_children():
                continue
            if not await self.send_new(self._requests(decision, now)):
                break
            if task.status.phase.terminal and not told:
                means.reporter.tell(task, decision)
                told = True
        return decision

    async def _look_at_processors(self, task: Task, now: datetime) -> None:
        """Look whether a task that seems to be idle uses a processor, once in a pass."""
        usages = self._means.usages
        self._cpu_use = await look(self._means.gateway, [task, *usages.relatives(task)])
        if self._cpu_use is CPUUse.BUSY:
            usages.note_busy(task, now)

    def _requests(self, decision: Decision, now: datetime) -> list[Request]:
        task, lister = self.task, self._means.cache.lister
        return [each for effect in decision.effects for each in self._kind.plan_requests(task, effect, lister, now)]

    async def _know_ancestors(self) -> None:
        """Read the tasks above this one that are not known yet. Raises RetryError where that is not possible."""
        means, namespace = self._means, self._key.namespace
        family_lister = means.cache.tasks.family_lister(namespace)
        for _ in range(MAX_GENERATIONS + 1):
            name = unknown_ancestor(self.task, family_lister)
            if name is None:
                return
            try:
                means.executor.take_in_task(await means.gateway.get_task(namespace, name))
            except ApiError as error:
                if not error.absent:
                    raise RetryError(error) from error
                means.cache.tasks.miss(TaskKey(namespace, name))

    async def _list_children(self) -> bool:
        """Read the children live, once in a pass, before it is said that all have ended; return whether it was done.

        The children of those, too, that ended by themselves: only what was stopped has waited for its own.
        """
        means, namespace = self._means, self._key.namespace
        before = len(self._listed)
        names = [self._key.name]
        family_lister = means.cache.tasks.family_lister(namespace)
        while new := [name for name in names if name not in self._listed]:
            for name in new:
                self._listed.add(name)
                try:
                    async for child in means.gateway.list_children(namespace, name):
                        means.executor.take_in_task(child)
                except ApiError as error:
                    raise RetryError(error) from error
                names += [each.name for each in family_lister.children(name) if each.status.phase in ENDED_BY_ITSELF]
        return len(self._listed) > before
