"""The operator: everything joined, from its start to its end."""

import asyncio
import gc
import logging
import resource
import signal
from collections import Counter
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import kopf

from agentstop.api.meta import GROUP, ConditionType
from agentstop.api.order import CLUSTER_ORDER_PLURAL, ORDER_PLURAL
from agentstop.api.task import PLURAL, Phase
from agentstop.cluster.cache import Cache
from agentstop.cluster.connection import load_configuration
from agentstop.cluster.errors import ApiError
from agentstop.cluster.families import TaskKey
from agentstop.cluster.followers import Followers
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.queue import KeyedQueue
from agentstop.cluster.resources import TASKS
from agentstop.controller.events import EventPoster
from agentstop.controller.handlers import build_registry
from agentstop.controller.intake import Intake, lane_of
from agentstop.controller.kinship import Kinship
from agentstop.controller.metrics import Metrics
from agentstop.controller.order_keeper import OrderKeeper
from agentstop.controller.probes import Probes
from agentstop.controller.reconciler import Reconciler, RetryError
from agentstop.controller.recorder import Recorder
from agentstop.controller.resync import INTERVAL_SECONDS, Resync
from agentstop.controller.settings import NoMemories, operator_settings, scope

log = logging.getLogger(__name__)

WORKERS: Final = 8
URGENT_WORKERS: Final = 4
"""Workers that take nothing but stops, so that no amount of other work keeps a stop waiting."""

CRD_POLL_SECONDS: Final = 2.0
FILL_POLL_SECONDS: Final = 0.1
FILL_POLLS: Final = 100
"""After so many polls without progress, what is waited for is listed anew: some of it may be gone."""

FILLING_THRESHOLDS: Final = (100_000, 50, 200)
SETTLED_THRESHOLDS: Final = (1_000, 20, 500)
"""For the garbage collector: what is read at the start stays, and to search it again and again would only take time;
afterwards every stop leaves a few hundred objects, and to save them up would end in one long pause."""

PLURALS: Final = frozenset({PLURAL, ORDER_PLURAL, CLUSTER_ORDER_PLURAL})
NOT_SERVED: Final = f"the API server does not serve all kinds of {GROUP}; install them with: kubectl apply -f crds/"

MOST_FILES: Final = 65_536

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


def utc_now() -> datetime:
    """Return the moment that it is."""
    return datetime.now(UTC)


class Operator:
    """One operator process. `run` returns when it was asked to end, by signal or by `stop`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        gc.set_threshold(*FILLING_THRESHOLDS)
        self._stopping = asyncio.Event()
        self._filled = False
        self._said: dict[TaskKey, str] = {}
        self._background: list[asyncio.Task[None]] = []
        self._cache = Cache(trust_requested_by=options.trust_requested_by)
        self._queue: KeyedQueue[TaskKey] = KeyedQueue(lambda key: lane_of(self._cache.task(key)))
        self._metrics = Metrics(self._cache.phases, lambda: len(self._queue), self._stalled)
        self._intake = Intake(self._cache, self._queue, self._metrics, utc_now)
        Kinship(self._cache, self._queue, utc_now)

    def stop(self) -> None:
        """Ask the operator to end."""
        self._stopping.set()

    async def run(self) -> None:
        """Run until asked to end.

        Raises NoConnectionError without a usable configuration, PortInUseError where a port is taken.
        """
        _allow_many_connections()
        async with AsyncExitStack() as stack:
            gateway = Gateway(await load_configuration())
            stack.push_async_callback(gateway.close)
            probes = Probes(self._dead, self._unready, self._metrics.registry)
            stack.push_async_callback(probes.stop)
            await probes.start(self._options.host, self._options.health_port, self._options.metrics_port)
            followers = Followers(gateway, self._intake.followed, self._intake.absent)
            stack.push_async_callback(followers.close)
            events = EventPoster(gateway, utc_now, lambda: len(self._queue) > 0)
            recorder = Recorder(events, self._metrics)
            orders = OrderKeeper(
                self._cache,
                self._queue,
                gateway,
                lambda: self._filled,
                utc_now,
                trust_requested_by=self._options.trust_requested_by,
            )
            stack.push_async_callback(orders.close)
            reconciler = Reconciler(self._cache, gateway, self._queue, followers, recorder, orders.book, utc_now)
            self._intake.forget_with(reconciler.forget)
            resync = Resync(self._cache, gateway, self._intake, self._options.namespaces)
            self._background = [
                asyncio.create_task(gateway.keep_warm(), name="warmth"),
                asyncio.create_task(events.run(), name="events"),
                asyncio.create_task(self._keep_in_step(resync), name="resync"),
                *(
                    asyncio.create_task(
                        self._work(reconciler, urgent_only=number < URGENT_WORKERS), name=f"worker {number}"
                    )
                    for number in range(WORKERS + URGENT_WORKERS)
                ),
            ]
            stack.push_async_callback(_cancel, self._background)
            self._catch_signals()
            await self._watch(gateway, orders)
            await self._finish()

    async def _watch(self, gateway: Gateway, orders: OrderKeeper) -> None:
        """Run kopf, anew whenever it gives up: an operator that watches nothing is worse than one that tries."""
        if self._options.namespaces:
            log.warning("ClusterStopOrders are left to an operator of all namespaces; this one serves only some")
        while not self._stopping.is_set():
            if not await self._wait_for_crd(gateway):
                return
            try:
                await self._learn(orders)
                await self._run_kopf(orders)
            except Exception as error:  # noqa: BLE001  (kopf passes on whatever ended one of its watches)
                log.error("the watches broke off and are begun anew: %s", error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), CRD_POLL_SECONDS)

    async def _learn(self, orders: OrderKeeper) -> None:
        """Read the orders before the tasks. Where that is refused, single stops must work all the same."""
        try:
            await orders.learn(self._options.namespaces)
        except ApiError as error:
            if not error.refused:
                raise
            log.error("stop orders cannot be read, and have no effect: %s", error)

    async def _run_kopf(self, orders: OrderKeeper) -> None:
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

    async def _kopf(self, orders: OrderKeeper) -> None:
        """Run kopf's tasks. It puts signal handlers of its own in place at the end of the first step."""
        others = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=build_registry(self._intake, orders, everywhere=not self._options.namespaces),
            settings=operator_settings(),
            memories=NoMemories(),
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
                await reconciler.reconcile(key)
            except RetryError as error:
                self._metrics.reconciles.labels("retry").inc()
                if said.get(key) != str(error) and not error.expected:
                    said[key] = str(error)
                    log.warning("%s is tried again: %s", key, error)
                self._queue.retry(key)
            except Exception:
                self._metrics.reconciles.labels("error").inc()
                log.exception("%s could not be decided on, and is tried again", key)
                self._queue.retry(key)
            else:
                self._metrics.reconciles.labels("success").inc()
                self._queue.succeeded(key)
                said.pop(key, None)
            finally:
                self._queue.done(key)
            # A pass that sends nothing waits for nothing: without this a long queue would hold up every watch event.
            await asyncio.sleep(0)

    async def _keep_in_step(self, resync: Resync) -> None:
        """Find out when the caches are filled, and compare them with the cluster from time to time."""
        while not await self._filled_by(resync):
            pass
        self._settle()
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            try:
                await resync.run_once()
            except ApiError as error:
                log.warning("the second look at the cluster did not come about: %s", error)

    async def _filled_by(self, resync: Resync) -> bool:
        """Wait until the watches have brought all that exists now; return false if they stand still."""
        try:
            awaited = await resync.listed()
        except ApiError as error:
            log.debug("the cluster cannot be listed yet: %s", error)
            await asyncio.sleep(CRD_POLL_SECONDS)
            return False
        patience, known = FILL_POLLS, 0
        while awaited and patience:
            while awaited and resync.knows(awaited[-1]):
                awaited.pop()
            patience = FILL_POLLS if self._cache.size > known else patience - 1
            known = self._cache.size
            await asyncio.sleep(FILL_POLL_SECONDS)
        return not awaited

    def _settle(self) -> None:
        """All that was there at the start is known: take it off the garbage collector's rounds."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*SETTLED_THRESHOLDS)
        self._filled = True
        log.info("ready: %d tasks known", sum(self._cache.phases.values()))

    def _dead(self) -> str | None:
        ended = [task.get_name() for task in self._background if task.done()]
        return f"{', '.join(ended)} ended" if ended and not self._stopping.is_set() else None

    def _unready(self) -> str | None:
        return None if self._filled else "the caches are not filled yet"

    def _stalled(self) -> Iterable[tuple[str, int]]:
        reasons: Counter[str] = Counter()
        for _, task in self._cache.tasks():
            if task.status.phase is Phase.STOPPING:
                reasons.update(
                    each.reason
                    for each in task.status.conditions
                    if each.type == ConditionType.STALLED and each.status == "True"
                )
        return reasons.items()


def _allow_many_connections() -> None:
    """Use as many files as the system allows: followed pods take a connection each, and stops must find one free."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MOST_FILES)), hard))


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
