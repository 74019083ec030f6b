"""What the cluster asks the operator: is it alive, is it ready, what are its numbers."""

import asyncio
import os
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder


class PortInUseError(Exception):
    """A port that was asked for is taken; the message names it."""


class Probes:
    """Serves /healthz and /readyz on one port, and /metrics on another one or the same."""

    def __init__(
        self, alive: Callable[[], str | None], ready: Callable[[], str | None], metrics: CollectorRegistry
    ) -> None:
        self._alive = alive
        self._ready = ready
        self._metrics = metrics
        self._runners: list[web.AppRunner] = []

    async def start(self, host: str, health_port: int | None, metrics_port: int | None) -> None:
        """Listen. Raises PortInUseError where a port is taken."""
        routes: dict[int, list[web.RouteDef]] = {}
        if health_port is not None:
            routes.setdefault(health_port, []).extend(
                [web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)]
            )
        if metrics_port is not None:
            routes.setdefault(metrics_port, []).append(web.get("/metrics", self._numbers))
        for port, handlers in routes.items():
            app = web.Application()
            app.add_routes(handlers)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
            await runner.setup()
            self._runners.append(runner)
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as error:
                problem = os.strerror(error.errno or 0).lower()
                raise PortInUseError(f"cannot listen on {host}:{port}: {problem}; choose another port") from error

    async def stop(self) -> None:
        """Stop listening."""
        for runner in self._runners:
            await runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return _answer(self._alive())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(self._ready())

    async def _numbers(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        # Thousands of namespaces take tens of milliseconds, which no stop is to wait for.
        body = await asyncio.to_thread(encode, self._metrics)
        return web.Response(body=body, headers={"Content-Type": content_type})


def _answer(problem: str | None) -> web.Response:
    return web.Response(status=503 if problem else 200, text=f"{problem or 'ok'}\n")
