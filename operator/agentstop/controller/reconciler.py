"""One task, one pass, and what comes of it: what was sent is written down, and followed from then on."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from agentstop.cluster.cache import Cache
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.object_watcher import ObjectWatcher
from agentstop.cluster.orders import StopOrderIndex
from agentstop.cluster.queue import Enqueuer
from agentstop.cluster.tethers import TetherIndex
from agentstop.controller.executor import Executor
from agentstop.controller.fence import FenceKeeper
from agentstop.controller.last_resort import LastResort
from agentstop.controller.reporter import Reporter
from agentstop.controller.retry import RetryError
from agentstop.controller.task_pass import Means, TaskPass
from agentstop.controller.usage_handler import UsageHandler
from agentstop.controller.usage_owners import UsageOwners
from agentstop.controller.writer import Writer
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import LIMITS, Decision, Limits
from agentstop.lifecycle.facts import CPUUse, Facts
from agentstop.lifecycle.observation import Observation, Task
from agentstop.lifecycle.orders import FREE
from agentstop.timings import TIMINGS, Timings
from agentstop.workloads.kind import WorkloadKind
from agentstop.workloads.objects import PodsOf
from agentstop.workloads.registry import kind_of, taken


class Reconciler:
    """Brings one task at a time nearer to what is asked of it.

    The effect that ends a workload goes out before anything is written down, and the status is then written once, with
    what the API server answered. A crash between the two loses nothing: the effect leaves its mark on the workload.
    """

    def __init__(
        self,
        cache: Cache,
        gateway: Gateway,
        executor: Executor,
        queue: Enqueuer[TaskKey],
        object_watcher: ObjectWatcher,
        reporter: Reporter,
        orders: StopOrderIndex,
        usages: UsageHandler,
        tethers: TetherIndex,
        clock: Callable[[], datetime],
        *,
        limits: Limits = LIMITS,
        timings: Timings = TIMINGS,
        fence: FenceKeeper | None = None,
    ) -> None:
        self._fence = fence
        self._cache = cache
        self._queue = queue
        self._object_watcher = object_watcher
        self._reporter = reporter
        self._orders = orders
        self._clock = clock

        def facts(task: Task, cpu: CPUUse = CPUUse.UNASKED) -> Facts:
            return replace(usages.facts(task, cpu), lease=tethers.lease_of(task))

        self._owners = UsageOwners(usages.store, gateway)
        self._means = Means(
            cache, gateway, executor, orders, usages, facts, reporter, self._observe, clock, limits, timings
        )
        self._writer = Writer(cache, gateway, queue, reporter, orders.selected_by, clock, timings)
        self._last_resort = LastResort(cache, gateway, self._writer, facts, clock, limits, timings)

    async def reconcile(self, key: TaskKey) -> None:
        """Make one pass over a task. Raises RetryError where it has to be made again.

        Whatever else is raised kept it from being decided on; what was asked to stop is ended all the same, then.
        """
        try:
            await self._reconcile(key)
        except RetryError:
            raise
        except Exception as error:
            task = self._cache.tasks.get(key)
            await self._last_resort.take(key, self._orders.order_effect(task) if task is not None else FREE, error)
            raise

    async def _reconcile(self, key: TaskKey) -> None:
        task = self._cache.tasks.get(key)
        if task is None:
            return
        this = TaskPass(self._means, key, task)
        try:
            decision = await this.decide_and_send()
        finally:
            self._cache.objects.return_template(task.uid)
        task = this.task
        if self._fence is not None:
            self._fence.note(key, decision.fenced)
        self._follow(key, task)
        if this.failures and this.failures[0].code == 0:
            self._writer.remember(key, decision)
            this.check()
        news = decision.status != task.status
        if decision.effects and news and not task.gone and self._queue.has_urgent:
            # Other agents wait to be stopped: that goes before the writing down of what was done for this one.
            self._writer.remember(key, decision)
            self._queue.add(key)
            return
        await self._write(key, task, decision)
        this.check()
        await self._owners.own(task)
        self._follow(key, self._cache.tasks.get(key))
        if decision.wake_at is not None and self._cache.tasks.get(key) is not None:
            self._queue.add_after(key, (decision.wake_at - self._clock()).total_seconds())

    async def _write(self, key: TaskKey, task: Task, decision: Decision) -> None:
        try:
            if task.gone:
                self._finish_gone(key, task, decision)
            elif await self._writer.write(key, task, decision):
                await self._writer.tidy(key, task, decision.afterwards)
        except ApiError as error:
            raise RetryError(error) from error

    def _observe(self, key: TaskKey, task: Task, kind: WorkloadKind, now: datetime) -> Observation:
        rival = self._cache.claims.rival_of(key, task)
        if rival is not None:
            return taken(task, rival)
        self._cache.claims.take(key, task)
        return kind.observe(task, self._cache.lister, now)

    def observe_only(self, key: TaskKey) -> None:
        """Keep what is known of a task up to date while another replica acts; nothing is sent."""
        task = self._cache.tasks.get(key)
        if task is not None and task.gone:
            means, now = self._means, self._clock()
            seen = self._observe(key, task, kind_of(task), now)
            decision = decide(task, seen, now, limits=means.limits, timings=means.timings)
            if decision.status.phase.terminal or not decision.effects:
                self.forget(key)
                return
        self._follow(key, task)

    def _finish_gone(self, key: TaskKey, task: Task, decision: Decision) -> None:
        """Keep a task whose object is gone until what was to be ended has ended."""
        self._writer.remember(key, decision)
        self._cache.tasks.note_gone(key, decision.status)
        if decision.status.phase.terminal or not decision.effects:
            if decision.status.phase.terminal:
                self._reporter.ended(task, decision.status)
            self.forget(key)

    def forget(self, key: TaskKey) -> None:
        """Forget a task that is gone."""
        if self._fence is not None:
            self._fence.forget(key)
        self._follow(key, None)
        self._cache.drop_task(key)
        self._queue.forget(key)

    def _follow(self, key: TaskKey, task: Task | None) -> None:
        """Watch what the task has to do with, for as long as any task needs that."""
        wanted = kind_of(task).watches(task, self._cache.lister) if task is not None else ()
        begun, ended = self._cache.watch(key, wanted)
        for each in begun:
            self._object_watcher.follow(each)
        for each in ended:
            self._object_watcher.unfollow(each)
            if isinstance(each, PodsOf):
                self._cache.forget(each)
