"""The gateway as a process: everything joined, from its start to its end."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from agentstop.api.task import KIND
from agentstop.cluster import garbage
from agentstop.cluster.connection import allow_many_connections
from agentstop.cluster.gateway import Gateway as ClusterGateway
from agentstop.cluster.reflector import Reflector
from agentstop.gateway import heads
from agentstop.gateway.access import CallerAccess
from agentstop.gateway.app import Application
from agentstop.gateway.audience import Audience, Everybody
from agentstop.gateway.callers import CredentialCallers
from agentstop.gateway.changes import Changes
from agentstop.gateway.dialect import Core, Dialect
from agentstop.gateway.files import WatchedFile
from agentstop.gateway.hooks import NO_HOOKS, read_hooks
from agentstop.gateway.hosts import read_hosts
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.keys import NO_KEYS, read_keys
from agentstop.gateway.meter.config import MeterFile, read_meter
from agentstop.gateway.meter.meter import Meter
from agentstop.gateway.meter.prices import Prices, read_prices
from agentstop.gateway.metrics import Metrics
from agentstop.gateway.order_index import OrderIndex
from agentstop.gateway.problems import why_unread
from agentstop.gateway.registry import DIALECTS
from agentstop.gateway.streams import Streams
from agentstop.gateway.throttle import Throttle
from agentstop.gateway.tls import Certificate

log = logging.getLogger(__name__)

T = TypeVar("T")

FINISH_SECONDS: Final = 9.0
"""So long what has begun may take to be answered after the gateway was asked to end."""


class StartError(Exception):
    """The gateway cannot start as it was told to; the message says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the gateway is to run."""

    host: str = "127.0.0.1"
    port: int = 8090
    namespaces: tuple[str, ...] = ()
    """Namespaces whose tasks it knows; none are all."""
    keys: Path | None = None
    hosts: Path | None = None
    hooks: Path | None = None
    meter: Path | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None
    wait: float = 10.0
    """Seconds that a stop's answer waits for the proof."""
    head_seconds: float = heads.SECONDS
    """So long the head of a request may take; then its connection is closed."""


class Server:
    """One gateway process. `run` returns when it was asked to end, by signal or by `stop`."""

    def __init__(
        self, options: Options, dialects: Sequence[Dialect] = DIALECTS, audience: Audience | None = None
    ) -> None:
        """Without an audience it serves everybody whom its keys and the API server know.

        Raises StartError for files that cannot be read, CertificateError.
        """
        self._options = options
        self._dialects = dialects
        clock = time.monotonic
        # The page is at each host that has no dialect of its own: its buttons need our own API beside it.
        names = [each.name for each in dialects if each.prefix]
        keys = _watched(options.keys, read_keys, NO_KEYS)
        self._hooks = _watched(options.hooks, read_hooks, NO_HOOKS)
        self._meter_file, self._prices = _metering(options.meter)
        no_hosts: Mapping[str, str] = {}
        self._hosts = _watched(options.hosts, partial(read_hosts, dialects=names), no_hosts)
        self._certificate: Certificate | None = None
        if options.certificate is not None and options.certificate_key is not None:
            self._certificate = Certificate(options.certificate, options.certificate_key)
        self._index = TaskIndex({each.name: each.alias for each in dialects if each.alias is not None}, clock)
        self._changes = Changes(self._index, OrderIndex(clock), options.namespaces)
        self._audience = audience or Everybody(CredentialCallers(keys, Throttle(clock), clock))
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ask the gateway to end."""
        self._stopping.set()

    async def run(self) -> None:
        """Run until asked to end. Raises NoConnectionError, StartError."""
        allow_many_connections()
        garbage.begin_to_fill()
        async with AsyncExitStack() as stack:
            own, access = await self._audience.connect(stack)
            self._changes.leave_out(await self._audience.unseen(access, self._changes.sources))
            streams = Streams()
            metrics = Metrics(self._index, streams)
            meter = self._meter(access, metrics)
            core = Core(
                index=self._index,
                changes=self._changes,
                access=access,
                callers=self._audience.callers,
                streams=streams,
                wait=self._options.wait,
                hooks=self._hooks,
                meter=meter,
            )
            application = Application(core, self._dialects, metrics, self._hosts)
            gateway = ClusterGateway(own)
            changes = self._changes
            changes.expect()
            reflectors = [Reflector(gateway, source, changes, changes, changes.reached) for source in changes.sources]
            work = [each.run() for each in reflectors]
            work.append(access.keep_warm())
            if self._certificate is not None:
                work.append(self._certificate.keep_current())
            if meter is not None:
                work.append(meter.run())
            background = [asyncio.create_task(each) for each in work]
            stack.push_async_callback(_cancel, background)
            if meter is not None:
                stack.push_async_callback(meter.flush)
            runner = heads.Runner(
                application.served(*self._audience.guards),
                head_seconds=self._options.head_seconds,
                access_log=None,
                shutdown_timeout=FINISH_SECONDS,
            )
            logging.getLogger("aiohttp.server").addFilter(_is_no_clients_mistake)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await self._listen(runner)
            background.append(asyncio.create_task(self._become_ready(application, reflectors, runner)))
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop)
                stack.callback(loop.remove_signal_handler, number)
            await self._stopping.wait()
            # Whoever waits for a proof is answered now, with the task as it is.
            self._index.close()

    def _meter(self, access: CallerAccess, metrics: Metrics) -> Meter | None:
        if self._meter_file is None:
            return None
        return Meter(self._meter_file, self._prices, self._index, access, metrics.registry)

    async def _listen(self, runner: web.AppRunner) -> None:
        options = self._options
        context = self._certificate.context if self._certificate is not None else None
        try:
            await web.TCPSite(runner, options.host, options.port, ssl_context=context, backlog=1024).start()
        except OSError as error:
            problem = os.strerror(error.errno or 0).lower()
            where = f"{options.host}:{options.port}"
            raise StartError(f"cannot listen on {where}: {problem}; choose another one with --port") from error
        scheme = "https" if context is not None else "http"
        log.info("listening on %s://%s:%d", scheme, options.host, options.port)

    async def _become_ready(
        self, application: Application, reflectors: Sequence[Reflector], runner: web.AppRunner
    ) -> None:
        for source, each in zip(self._changes.sources, reflectors, strict=True):
            if source.kind == KIND:
                await each.listed.wait()
        garbage.settle()
        application.ready = True
        log.info("ready: %d tasks known", len(self._index))
        self._audience.ready(runner.addresses[0][1])


def _watched(path: Path | None, read: Callable[[str], T], nothing: T | None) -> WatchedFile[T] | None:
    if path is None:
        return None
    try:
        return WatchedFile(path, read, nothing)
    except (OSError, ValueError) as error:
        raise StartError(f"{path} cannot be used: {why_unread(error)}") from error


def _metering(path: Path | None) -> tuple[MeterFile | None, WatchedFile[Prices] | None]:
    """Return what the meter's file says, and the prices that it names."""
    if path is None:
        return None, None
    try:
        file = read_meter(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StartError(f"{path} cannot be used: {why_unread(error)}") from error
    # Keys may come later, and go. Without prices all costs nothing, and no budget of money has any effect.
    return file, _watched(file.prices_beside(path), read_prices, None)


def _is_no_clients_mistake(record: logging.LogRecord) -> bool:
    """Whether a line is worth its place in the log: what is no HTTP is answered with 400, and anybody may send it."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError | web.RequestPayloadError))


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
