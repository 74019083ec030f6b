"""The operator: everything joined, from its start to its end."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Final

import kopf
from kopf._core.engines.peering import Identity

from agentstop.api.meta import GROUP, TASK_LABEL
from agentstop.api.order import CLUSTER_ORDER_PLURAL, ORDER_PLURAL
from agentstop.api.task import KIND, PLURAL
from agentstop.cluster.cache import Cache
from agentstop.cluster.clock import ServerClock
from agentstop.cluster.connection import allow_many_connections, load_configuration
from agentstop.cluster.election import Election, LeaderElectionConfig
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import OrphanKey, TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.leader_guard import LeaderGuard
from agentstop.cluster.object_watcher import ObjectWatcher
from agentstop.cluster.queue import Priority, WorkQueue
from agentstop.cluster.reflector import Reflector, Source
from agentstop.cluster.resources import TASKS
from agentstop.cluster.transport import Transport
from agentstop.controller.definitions import warn_of_others
from agentstop.controller.event_handler import EventHandler, priority_of
from agentstop.controller.events import EventRecorder
from agentstop.controller.family_handler import FamilyHandler
from agentstop.controller.handlers import build_registry
from agentstop.controller.metrics import Metrics
from agentstop.controller.orphans import Orphans, priority_of_orphan
from agentstop.controller.probes import Probes
from agentstop.controller.reconciler import Reconciler, RetryError
from agentstop.controller.reporter import Reporter
from agentstop.controller.resync import INTERVAL_SECONDS, Resync
from agentstop.controller.settings import NoMemories, operator_settings, scope
from agentstop.controller.stalls import Stalls
from agentstop.controller.stop_order_reconciler import StopOrderReconciler
from agentstop.controller.tracing import tracing_from
from agentstop.lifecycle.decision import LIMITS, Limits
from agentstop.workloads.unreadable import told

log = logging.getLogger(__name__)

WORKERS: Final = 8
URGENT_WORKERS: Final = 24
"""Workers that take nothing but stops, so that no amount of other work keeps a stop waiting. A worker waits for the API
server nearly all the time: with few of them, many stops at once get little of a server that others ask, too."""

CRD_POLL_SECONDS: Final = 2.0
MAX_FILL_SECONDS: Final = 20.0
"""After so long work begins though not everything may be known: it may be that some of it can't be."""

FILLING_THRESHOLDS: Final = (100_000, 50, 200)
SETTLED_THRESHOLDS: Final = (1_000, 20, 500)
"""For the garbage collector: what is read at the start stays, and to search it again and again would only take time;
afterwards every stop leaves a few hundred objects, and to save them up would end in one long pause."""

PLURALS: Final = frozenset({PLURAL, ORDER_PLURAL, CLUSTER_ORDER_PLURAL})
NOT_SERVED: Final = f"the API server does not serve all kinds of {GROUP}; install them with: kubectl apply -f crds/"

FINISH_SECONDS: Final = 2.0
"""How long work that has begun may take to end after the operator was asked to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the operator is to run."""

    namespaces: tuple[str, ...] = ()
    """Namespaces to serve; none are all."""
    host: str = "127.0.0.1"
    """Address that the probes and metrics listen on."""
    health_port: int | None = None
    metrics_port: int | None = None
    trust_requested_by: bool = False
    """Whether admission alone can have written who asked for a stop; believed of anybody, it could be a lie."""
    limits: Limits = LIMITS
    seat: LeaderElectionConfig | None = None
    """What is to be held in order to act, where there are several replicas; None for one that acts alone."""


class Operator:
    """One operator process. `run` returns when it was asked to end, by signal or by `stop`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        gc.set_threshold(*FILLING_THRESHOLDS)
        self._stopping = asyncio.Event()
        self._known = asyncio.Event()
        self._said: dict[TaskKey | OrphanKey, str] = {}
        self._background: list[asyncio.Task[None]] = []
        self._reflecting: list[asyncio.Task[None]] = []
        self._cache = Cache(trust_requested_by=options.trust_requested_by)
        self._queue: WorkQueue[TaskKey | OrphanKey] = WorkQueue(self._priority_of)
        self._stalls = Stalls()
        self._cache.listen(self._stalls.changed)
        self._metrics = Metrics(self._cache.phases, lambda: len(self._queue), lambda: self._stalls)
        self._metrics.watch_health.expect(options.namespaces)
        self._clock = ServerClock()
        self._leader_guard = LeaderGuard()
        self._event_handler = EventHandler(self._cache, self._queue, self._metrics, self._clock.now)
        self._orphans: Orphans
        FamilyHandler(self._cache, self._queue, self._clock.now)

    def stop(self) -> None:
        """Ask the operator to end."""
        self._stopping.set()

    async def run(self) -> None:
        """Run until asked to end.

        Raises NoConnectionError without a usable configuration, PortInUseError where a port is taken.
        """
        allow_many_connections()
        async with AsyncExitStack() as stack:
            transport = Transport(await load_configuration(), self._leader_guard, self._clock)
            stack.push_async_callback(transport.close)
            gateway = Gateway(transport)
            probes = Probes(self._dead, self._unready, self._metrics.registry)
            stack.push_async_callback(probes.stop)
            await probes.start(self._options.host, self._options.health_port, self._options.metrics_port)
            object_watcher = ObjectWatcher(gateway, self._event_handler.followed, self._event_handler.absent)
            stack.push_async_callback(object_watcher.close)
            now = self._clock.now
            events = EventRecorder(gateway, now, lambda: len(self._queue) > 0)
            tracing = tracing_from(os.environ)
            stack.push_async_callback(tracing.close)
            reporter = Reporter(events, self._metrics, tracing)
            self._orphans = Orphans(
                self._cache,
                gateway,
                self._queue,
                self._event_handler,
                events,
                self._metrics,
                self._stalls,
                self._known.is_set,
                now,
            )
            orders = StopOrderReconciler(
                self._cache,
                self._queue,
                gateway,
                self._leader_guard,
                self._known.is_set,
                now,
                trust_requested_by=self._options.trust_requested_by,
                orphans=lambda: self._orphans,
                max_grace_seconds=self._options.limits.max_grace_seconds,
            )
            stack.push_async_callback(orders.close)
            reconciler = Reconciler(
                self._cache,
                gateway,
                self._queue,
                object_watcher,
                reporter,
                orders.book,
                now,
                limits=self._options.limits,
            )
            self._event_handler.forget_with(reconciler.forget)
            reflectors = self._reflectors(gateway)
            resync = Resync(self._cache, gateway, self._event_handler, self._options.namespaces, self._orphans.sweep)
            if self._options.seat is not None:
                election = Election(
                    transport,
                    self._options.seat,
                    self._leader_guard,
                    lambda leads: self._lead(orders, leads=leads),
                    now,
                )
                self._metrics.leader.set(0)
                stack.push_async_callback(election.release)
                self._background.append(asyncio.create_task(election.run(), name="election"))
            self._background += [
                asyncio.create_task(transport.keep_warm(), name="warmth"),
                asyncio.create_task(events.run(), name="events"),
                asyncio.create_task(self._keep_in_step(gateway, reflectors, resync), name="resync"),
                *self._workers(reconciler, URGENT_WORKERS, urgent_only=True),
                asyncio.create_task(self._begin(reconciler), name="beginning"),
            ]
            stack.push_async_callback(_cancel, self._background)
            self._catch_signals()
            await self._watch(gateway, orders, reflectors)
            await self._finish()

    def _reflectors(self, gateway: Gateway) -> list[Reflector]:
        return [
            Reflector(gateway, Source(kind, namespace, selector), self._event_handler, self._metrics.watch_health)
            for namespace in self._options.namespaces or ("",)
            for kind, selector in ((KIND, ""), ("Pod", TASK_LABEL))
        ]

    def _workers(self, reconciler: Reconciler, number: int, *, urgent_only: bool) -> list[asyncio.Task[None]]:
        work = (self._work(reconciler, urgent_only=urgent_only) for _ in range(number))
        return [asyncio.create_task(each, name="worker") for each in work]

    async def _begin(self, reconciler: Reconciler) -> None:
        """Begin with what is no stop, once all is known: a task whose pod is not known yet would be asked for it."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._known.wait(), MAX_FILL_SECONDS)
        await asyncio.gather(*self._workers(reconciler, WORKERS, urgent_only=False))

    def _lead(self, orders: StopOrderReconciler, *, leads: bool) -> None:
        """Begin or end to act. What the caches hold is as good as that of the replica that acted before."""
        self._metrics.leader.set(leads)
        if leads:
            self._orphans.sweep()
        orders.lead(leads=leads)
        for key, task in self._cache.tasks() if leads else ():
            self._queue.add(key, priority=priority_of(task))

    async def _watch(self, gateway: Gateway, orders: StopOrderReconciler, reflectors: Sequence[Reflector]) -> None:
        """Watch, once the orders are known: nothing may start that one of them holds.

        kopf is run anew whenever it gives up: an operator that watches nothing is worse than one that tries.
        """
        if self._options.namespaces:
            log.warning("ClusterStopOrders are left to an operator of all namespaces; this one serves only some")
        while not self._stopping.is_set():
            if not await self._wait_for_crd(gateway):
                return
            try:
                await self._learn(orders)
                self._reflect(reflectors)
                await self._run_kopf(orders)
            except Exception as error:  # noqa: BLE001  (kopf passes on whatever ended one of its watches)
                log.error("the watches broke off and are begun anew: %s", error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), CRD_POLL_SECONDS)

    def _reflect(self, reflectors: Sequence[Reflector]) -> None:
        """Begin to reflect, if that has not begun yet; reflectors go on by themselves, whatever happens to kopf."""
        if not self._reflecting:
            self._reflecting = [asyncio.create_task(each.run(), name="reflector") for each in reflectors]
            self._background += self._reflecting

    async def _learn(self, orders: StopOrderReconciler) -> None:
        """Read the orders before the tasks. Where that is refused, single stops must work all the same."""
        try:
            await orders.learn(self._options.namespaces)
        except ApiError as error:
            if not error.refused:
                raise
            log.error("stop orders cannot be read, and have no effect: %s", error)

    async def _run_kopf(self, orders: StopOrderReconciler) -> None:
        """Run kopf until it ends or the operator is asked to.

        It is cancelled rather than asked: asked, it waits five seconds for tasks that it did not start. Cancelled in
        the middle of its start it can take as long, and is not waited for.
        """
        watches = asyncio.create_task(self._kopf(orders), name="kopf")
        asked = asyncio.create_task(self._stopping.wait(), name="stop")
        try:
            await asyncio.wait((watches, asked), return_when=asyncio.FIRST_COMPLETED)
            if watches.done():
                await watches
                self.stop()  # kopf ends without an error only when a signal reached its own handler
        finally:
            asked.cancel()
            if self._stopping.is_set():
                # A scan of the API that is cut off in the middle of a request would call that an error.
                logging.getLogger("kopf").setLevel(logging.CRITICAL)
            watches.cancel()
            await asyncio.wait((watches,), timeout=FINISH_SECONDS / 2)

    async def _kopf(self, orders: StopOrderReconciler) -> None:
        """Run kopf's tasks. It puts signal handlers of its own in place at the end of the first step."""
        others = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=build_registry(orders, self._metrics, everywhere=not self._options.namespaces),
            settings=operator_settings(),
            memories=NoMemories(),
            # Its own way to a name asks for the user's, which not every user in a pod has.
            identity=Identity("agentstop"),
            **scope(self._options.namespaces),
        )
        self._catch_signals()
        await kopf.run_tasks(tasks, ignored=others)

    def _catch_signals(self) -> None:
        """End on SIGTERM and SIGINT; kopf puts its own handlers first, which do not bear a second signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)

    async def _wait_for_crd(self, gateway: Gateway) -> bool:
        """Wait until the API server serves our kinds; return whether it does, as against being asked to end."""
        said = ""
        while not self._stopping.is_set():
            try:
                served = {each["name"] for each in (await gateway.call("GET", TASKS)).get("resources", ())}
                if served >= PLURALS:
                    return True
                problem = NOT_SERVED
            except ApiError as error:
                problem = NOT_SERVED if error.code == 404 else str(error)
            if problem != said:
                log.warning("waiting: %s", problem)
                said = problem
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), CRD_POLL_SECONDS)
        return False

    async def _finish(self) -> None:
        """Let what is being worked on come to its end, for a moment."""
        self._queue.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._queue.idle(), FINISH_SECONDS)

    async def _work(self, reconciler: Reconciler, *, urgent_only: bool) -> None:
        said = self._said
        while True:
            key = await self._queue.get(urgent_only=urgent_only)
            try:
                await self._pass(reconciler, key)
            except RetryError as error:
                self._metrics.reconciles.labels("retry").inc()
                if said.get(key) != str(error) and not error.expected:
                    said[key] = str(error)
                    log.warning("%s is tried again: %s", key, error)
                self._queue.retry(key)
            except Exception as error:
                self._metrics.reconciles.labels("error").inc()
                text = told(error)
                if said.get(key) != text:
                    said[key] = text
                    log.exception("%s could not be decided on, and is tried again", key)
                self._queue.retry(key)
            else:
                self._queue.succeeded(key)
                said.pop(key, None)
            finally:
                self._queue.done(key)
            # A pass that sends nothing waits for nothing: without this a long queue would hold up every watch event.
            await asyncio.sleep(0)

    def _priority_of(self, key: TaskKey | OrphanKey) -> Priority:
        if isinstance(key, OrphanKey):
            return priority_of_orphan(key, self._cache.lister)
        return priority_of(self._cache.task(key))

    async def _pass(self, reconciler: Reconciler, key: TaskKey | OrphanKey) -> None:
        leads = self._leader_guard.holds
        if isinstance(key, OrphanKey):
            await self._orphans.reconcile(key, reconciler.send_new) if leads else self._orphans.observe_only(key)
        elif leads:
            await reconciler.reconcile(key)
        else:
            reconciler.observe_only(key)
        if leads:
            self._metrics.reconciles.labels("success").inc()

    async def _keep_in_step(self, gateway: Gateway, reflectors: Sequence[Reflector], resync: Resync) -> None:
        """Wait until the caches are filled, and compare them with the cluster from time to time."""
        for each in reflectors:
            await each.listed.wait()
        self._settle()
        look = warn_of_others(gateway)
        while True:
            try:
                await look
            except Exception as error:  # noqa: BLE001  (this must not end: it is what finds out all else)
                log.warning("the second look at the cluster did not come about: %s", error)
            await asyncio.sleep(INTERVAL_SECONDS)
            look = resync.run_once()

    def _settle(self) -> None:
        """All that was there at the start is known: take it off the garbage collector's rounds."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*SETTLED_THRESHOLDS)
        self._known.set()
        self._orphans.sweep()
        log.info("ready: %d tasks known", sum(self._cache.phases.values()))

    def _dead(self) -> str | None:
        ended = [task.get_name() for task in self._background if task.done()]
        return f"{', '.join(ended)} ended" if ended and not self._stopping.is_set() else None

    def _unready(self) -> str | None:
        if not self._known.is_set():
            return "the caches are not filled yet"
        awaited = self._metrics.watch_health.awaited()
        if awaited:
            return f"the watch of {awaited} has not begun yet"
        return self._metrics.watch_health.blind()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
