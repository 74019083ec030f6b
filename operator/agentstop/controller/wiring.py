"""The parts of an operator, each given the others that it needs."""

import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import kopf
from kubernetes.aio.client import Configuration

from agentstop.api.meta import TASK_LABEL
from agentstop.api.pod_control import CONTROL_KIND
from agentstop.api.task import KIND
from agentstop.api.usage import USAGE_KIND
from agentstop.cluster.cache import Cache
from agentstop.cluster.clock import ServerClock
from agentstop.cluster.election import Election
from agentstop.cluster.family_index import OrphanKey, TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.leader_guard import LeaderGuard
from agentstop.cluster.object_watcher import ObjectWatcher
from agentstop.cluster.queue import Priority, WorkQueue
from agentstop.cluster.reflector import Reflector, Source
from agentstop.cluster.tethers import LeaseKey, TetherIndex
from agentstop.cluster.transport import Transport
from agentstop.controller.control_handler import ControlHandler
from agentstop.controller.event_handler import EventHandler, priority_of
from agentstop.controller.events import EventRecorder
from agentstop.controller.executor import Executor
from agentstop.controller.family_handler import FamilyHandler
from agentstop.controller.fence import FenceKeeper
from agentstop.controller.handlers import build_registry
from agentstop.controller.metrics import Metrics
from agentstop.controller.options import Options
from agentstop.controller.orphans import Orphans, priority_of_orphan
from agentstop.controller.reconciler import Reconciler
from agentstop.controller.reporter import Reporter
from agentstop.controller.resync import Resync
from agentstop.controller.spending import Overspent, Spending
from agentstop.controller.stalls import Stalls
from agentstop.controller.stop_order_handler import StopOrderHandler, priority_of_order
from agentstop.controller.stop_order_reconciler import StopOrderReconciler
from agentstop.controller.tethers import Tethers
from agentstop.controller.tracing import tracing_from
from agentstop.controller.usage_handler import UsageHandler
from agentstop.controller.workers import Workers
from agentstop.lifecycle.orders import OrderKey


class Wiring:
    """Everything that one operator consists of, joined, and not begun.

    `filled` is whether all that there was at the start is known. What has to be closed is put on `stack`.
    """

    def __init__(
        self, options: Options, configuration: Configuration, filled: Callable[[], bool], stack: AsyncExitStack
    ) -> None:
        self._options = options
        timings = options.timings
        self.cache = Cache(trust_requested_by=options.trust_requested_by)
        self.queue: WorkQueue[TaskKey | OrphanKey] = WorkQueue(self._priority_of, timings=timings)
        self.order_queue: WorkQueue[OrderKey] = WorkQueue(self._priority_of_order, timings.order_rest_seconds, timings)
        self.tether_queue: WorkQueue[LeaseKey] = WorkQueue(timings=timings)
        stalls = Stalls()
        self.cache.tasks.listen(stalls.changed)
        overspent = Overspent(self.cache.tasks, lambda task: self.usages.budget(task))
        self.metrics = Metrics(
            self.cache.tasks.phases, lambda: len(self.queue), lambda: stalls, timings, lambda: overspent
        )
        self.metrics.watch_health.expect(options.namespaces)
        self.clock = ServerClock()
        now = self.clock.now
        self.leader_guard = LeaderGuard()
        event_handler = EventHandler(self.cache, self.queue, self.metrics, now)
        FamilyHandler(self.cache, self.queue, now, timings)
        self.transport = Transport(configuration, self.leader_guard, self.clock, timings=timings)
        stack.push_async_callback(self.transport.close)
        self.gateway = gateway = Gateway(self.transport, timings)
        object_watcher = ObjectWatcher(gateway, event_handler.followed, event_handler.absent, timings)
        stack.push_async_callback(object_watcher.close)
        self.events = EventRecorder(gateway, now, lambda: len(self.queue) > 0, timings)
        tracing = tracing_from(os.environ)
        stack.push_async_callback(tracing.close)
        tether_index = TetherIndex()
        self.tethers = Tethers(self.cache, tether_index, gateway, self.tether_queue, self.queue, now, timings)
        executor = Executor(self.cache, gateway, self.queue, now)
        self.orphans = Orphans(
            self.cache,
            gateway,
            executor,
            self.queue,
            event_handler,
            self.events,
            self.metrics,
            stalls,
            filled,
            now,
            timings,
        )
        self.orders = StopOrderHandler(
            self.cache,
            self.queue,
            self.order_queue,
            gateway,
            now,
            trust_requested_by=options.trust_requested_by,
        )
        self.order_reconciler = StopOrderReconciler(
            self.cache,
            gateway,
            self.order_queue,
            self.queue,
            self.orders,
            filled,
            now,
            orphans=lambda: self.orphans,
            max_grace_seconds=options.limits.max_grace_seconds,
            timings=timings,
        )
        counted = [Source(USAGE_KIND, namespace) for namespace in options.namespaces or ("",)]
        self.usages = UsageHandler(self.cache, self.queue, now, counted, timings)
        self.spending = Spending(
            self.cache.tasks,
            self.usages.store,
            lambda: self.leader_guard.holds,
            self.metrics.task_cost,
            self.metrics.task_tokens,
            self.metrics.task_turns,
        )
        self.orders.tell_of_namespaces(self.usages.namespace)
        self.fence = self._fence_keeper(options.fence)
        self.reconciler = Reconciler(
            self.cache,
            gateway,
            executor,
            self.queue,
            object_watcher,
            Reporter(self.events, self.metrics, tracing),
            self.orders.book,
            self.usages,
            tether_index,
            now,
            limits=options.limits,
            timings=timings,
            fence=self.fence,
        )
        event_handler.forget_with(self.reconciler.forget)
        self.reflectors = [
            Reflector(
                gateway,
                Source(kind, namespace, selector),
                event_handler,
                self.metrics.watch_health,
                timings=timings,
            )
            for namespace in options.namespaces or ("",)
            for kind, selector in ((KIND, ""), ("Pod", TASK_LABEL))
        ]
        patient = replace(timings, reflect_retries_seconds=timings.optional_retries_seconds)
        self.optional_reflectors = [
            Reflector(gateway, each, self.usages, self.usages, self.usages.reached, patient) for each in counted
        ]
        if options.limits.ask_nodes:
            controls = ControlHandler(
                self.cache.controls, self.cache.objects.mark_member_stale, event_handler.enqueue, now
            )
            self.optional_reflectors += [
                Reflector(gateway, Source(CONTROL_KIND, namespace), controls, controls, timings=patient)
                for namespace in options.namespaces or ("",)
            ]
        self.resync = Resync(self.cache, gateway, event_handler, options.namespaces, self._swept)
        self.workers = Workers(self.queue, self._reconcile, lambda result: self.metrics.reconciles.labels(result).inc())
        self.order_workers = Workers(self.order_queue, self._reconcile_order)
        self.tether_workers = Workers(self.tether_queue, self._reconcile_tether)
        self.election = self._election(stack)

    def registry(self) -> kopf.OperatorRegistry:
        """Return kopf's registry with our handlers."""
        return build_registry(
            self.orders, self.metrics, everywhere=not self._options.namespaces, timings=self._options.timings
        )

    def _election(self, stack: AsyncExitStack) -> Election | None:
        if self._options.seat is None:
            return None
        election = Election(
            self.transport,
            self._options.seat,
            self.leader_guard,
            lambda leads: self.lead(leads=leads),
            self.clock.now,
            self._options.timings,
            self.tethers.unanswered,
        )
        self.metrics.leader.set(0)
        stack.push_async_callback(election.release)
        return election

    def _fence_keeper(self, name: str | None) -> FenceKeeper | None:
        if name is None:
            return None
        return FenceKeeper(self.gateway, name, lambda: self.leader_guard.holds, self._options.timings)

    def lead(self, *, leads: bool) -> None:
        """Begin or end to act. What the caches hold is as good as that of the replica that acted before."""
        self.metrics.leader.set(leads)
        self.spending.lead(leads=leads)
        if leads:
            self.orphans.sweep()
            self.tethers.sweep()
            if self.fence is not None:
                self.fence.begin()
        self.order_reconciler.lead(leads=leads)
        for key, task in self.cache.tasks.items() if leads else ():
            self.queue.add(key, priority=priority_of(task))

    def _swept(self) -> None:
        """All that there is is known."""
        self.orphans.sweep()
        if self.fence is not None:
            self.fence.look_again(key for key, _ in self.cache.tasks.items())

    def _priority_of(self, key: TaskKey | OrphanKey) -> Priority:
        if isinstance(key, OrphanKey):
            return priority_of_orphan(key, self.cache.lister)
        return priority_of(self.cache.tasks.get(key))

    def _priority_of_order(self, key: OrderKey) -> Priority:
        return priority_of_order(self.orders.book.order(key))

    async def _reconcile_order(self, key: OrderKey) -> bool:
        leads = self.leader_guard.holds
        if leads:
            await self.order_reconciler.reconcile(key)
        return leads

    async def _reconcile_tether(self, key: LeaseKey) -> bool:
        leads = self.leader_guard.holds
        if leads:
            await self.tethers.reconcile(key)
        return leads

    async def _reconcile(self, key: TaskKey | OrphanKey) -> bool:
        leads = self.leader_guard.holds
        if isinstance(key, OrphanKey):
            await self.orphans.reconcile(key) if leads else self.orphans.observe_only(key)
        elif leads:
            await self.reconciler.reconcile(key)
        else:
            self.reconciler.observe_only(key)
        return leads
