"""The operator's process, from its start to its end."""

import asyncio
import logging
import signal
from contextlib import AsyncExitStack, suppress
from typing import Final

from agentstop.cluster import garbage
from agentstop.cluster.connection import allow_many_connections, load_configuration
from agentstop.cluster.errors import ApiError
from agentstop.controller.definitions import warn_of_others
from agentstop.controller.kopf_runner import KopfRunner
from agentstop.controller.options import Options
from agentstop.controller.probes import Probes
from agentstop.controller.wiring import Wiring

log = logging.getLogger(__name__)

WORKERS: Final = 8
URGENT_WORKERS: Final = 24
"""Workers that take nothing but stops, so that no amount of other work keeps a stop waiting. A worker waits for the API
server nearly all the time: with few of them, many stops at once get little of a server that others ask, too."""


class Operator:
    """One operator process. `run` returns when it was asked to end, by signal or by `stop`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._stopping = asyncio.Event()
        self._filled = asyncio.Event()
        self._background: list[asyncio.Task[None]] = []
        self._reflecting = False

    def stop(self) -> None:
        """Ask the operator to end."""
        self._stopping.set()

    async def run(self) -> None:
        """Run until asked to end.

        Raises NoConnectionError without a usable configuration, PortInUseError where a port is taken.
        """
        allow_many_connections()
        garbage.begin_to_fill()
        async with AsyncExitStack() as stack:
            wiring = Wiring(self._options, await load_configuration(), self._filled.is_set, stack)
            probes = Probes(self._dead, lambda: self._unready(wiring), wiring.metrics.registry)
            stack.push_async_callback(probes.stop)
            await probes.start(self._options.host, self._options.health_port, self._options.metrics_port)
            stack.push_async_callback(_cancel, self._background)
            self._begin(wiring)
            self._catch_signals()
            if self._options.namespaces:
                log.warning("ClusterStopOrders are left to an operator of all namespaces; this one serves only some")
            await self._runner(wiring).run()
            await self._finish(wiring)

    def _begin(self, wiring: Wiring) -> None:
        if wiring.election is not None:
            self._background.append(asyncio.create_task(wiring.election.run(), name="election"))
        if wiring.fence is not None:
            self._background.append(asyncio.create_task(wiring.fence.run(), name="fence"))
        self._background += [
            asyncio.create_task(wiring.transport.keep_warm(), name="warmth"),
            asyncio.create_task(wiring.events.run(), name="events"),
            asyncio.create_task(self._keep_in_step(wiring), name="resync"),
            *wiring.workers.start(URGENT_WORKERS, urgent_only=True),
            *wiring.order_workers.start(URGENT_WORKERS, urgent_only=True),
            *wiring.order_workers.start(WORKERS, urgent_only=False),
            *wiring.tether_workers.start(WORKERS, urgent_only=False),
            asyncio.create_task(self._work(wiring), name="beginning"),
        ]

    async def _work(self, wiring: Wiring) -> None:
        """Begin with what is no stop, once all is known: a task whose pod is not known yet would be asked for it."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._filled.wait(), self._options.timings.fill_seconds)
        await asyncio.gather(*wiring.workers.start(WORKERS, urgent_only=False))

    def _runner(self, wiring: Wiring) -> KopfRunner:
        async def prepare() -> None:
            await self._learn(wiring)
            self._reflect(wiring)

        namespaces, stopping = self._options.namespaces, self._stopping
        return KopfRunner(
            wiring.gateway,
            wiring.registry,
            namespaces,
            stopping,
            prepare=prepare,
            begun=self._catch_signals,
            timings=self._options.timings,
        )

    def _reflect(self, wiring: Wiring) -> None:
        """Begin to reflect, if that has not begun yet; reflectors go on by themselves, whatever happens to kopf."""
        if not self._reflecting:
            self._reflecting = True
            reflectors = (*wiring.reflectors, *wiring.optional_reflectors)
            self._background += [asyncio.create_task(each.run(), name="reflector") for each in reflectors]

    async def _learn(self, wiring: Wiring) -> None:
        """Read the orders before the tasks: nothing may start that one of them holds.

        Where that is refused, single stops must work all the same.
        """
        try:
            await wiring.orders.learn(self._options.namespaces)
        except ApiError as error:
            if not error.refused:
                raise
            log.error("stop orders cannot be read, and have no effect: %s", error)

    def _catch_signals(self) -> None:
        """End on SIGTERM and SIGINT; kopf puts its own handlers first, which do not bear a second signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)

    async def _finish(self, wiring: Wiring) -> None:
        """Let what is being worked on come to its end, for a moment."""
        wiring.queue.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(wiring.queue.idle(), self._options.timings.finish_seconds)

    async def _keep_in_step(self, wiring: Wiring) -> None:
        """Wait until the caches are filled, and compare them with the cluster from time to time."""
        for each in wiring.reflectors:
            await each.listed.wait()
        await wiring.usages.settled.wait()
        self._settle(wiring)
        look = warn_of_others(wiring.gateway)
        while True:
            try:
                await look
            except Exception as error:  # noqa: BLE001  (this must not end: it is what finds out all else)
                log.warning("the second look at the cluster did not come about: %s", error)
            await asyncio.sleep(self._options.timings.resync_seconds)
            look = wiring.resync.run_once()

    def _settle(self, wiring: Wiring) -> None:
        """All that was there at the start is known: take it off the garbage collector's rounds."""
        garbage.settle()
        self._filled.set()
        wiring.orphans.sweep()
        log.info("ready: %d tasks known", sum(wiring.cache.tasks.phases.values()))

    def _dead(self) -> str | None:
        ended = [task.get_name() for task in self._background if task.done()]
        return f"{', '.join(ended)} ended" if ended and not self._stopping.is_set() else None

    def _unready(self, wiring: Wiring) -> str | None:
        if not self._filled.is_set():
            return "the caches are not filled yet"
        awaited = wiring.metrics.watch_health.awaited()
        if awaited:
            return f"the watch of {awaited} has not begun yet"
        return wiring.metrics.watch_health.blind()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
