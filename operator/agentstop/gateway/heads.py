"""A time limit for clients that send the head of a request byte by byte, or never.

aiohttp has none of its own: its keep-alive timer alone ends such a connection, after an hour, and that one has to be
long, since a proxy keeps connections for its next request.

aiohttp has no interface for one either. This stands on four names that aiohttp keeps to itself: `_request_count` and
`_waiter` of a connection's handler, `_kwargs` of its server, and `_make_server` of its runner. The tests tell when an
upgrade takes one away or gives it another meaning.
"""

import asyncio
from typing import Any, Final

from aiohttp import web

SECONDS: Final = 20.0
"""So long a head may take: the first one from the beginning of its connection, each further one from its first byte."""


class _Handler(web.RequestHandler):
    """One connection."""

    __slots__ = ("_head_seconds", "_head_timer")

    def __init__(self, manager: web.Server, *, head_seconds: float, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._begin()

    def data_received(self, data: bytes) -> None:
        heads = self._request_count
        super().data_received(data)
        if self._request_count > heads:
            self._end()
        elif data and self._head_timer is None and self._waiter is not None:
            # No request is being worked on, so these are bytes of no body: they begin a head.
            self._begin()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end()
        super().connection_lost(exc)

    def _begin(self) -> None:
        self._head_timer = asyncio.get_running_loop().call_later(self._head_seconds, self.force_close)

    def _end(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Server(web.Server):
    """Makes a handler for each connection."""

    def __init__(self, server: web.Server, head_seconds: float) -> None:
        super().__init__(server.request_handler, request_factory=server.request_factory, **server._kwargs)
        self._head_seconds = head_seconds

    def __call__(self) -> web.RequestHandler:
        return _Handler(self, loop=asyncio.get_running_loop(), head_seconds=self._head_seconds, **self._kwargs)


class Runner(web.AppRunner):
    """Runs an application whose clients have so many seconds for a request's head. Then their connection is closed."""

    __slots__ = ("_head_seconds",)

    def __init__(self, app: web.Application, *, head_seconds: float = SECONDS, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self._head_seconds = head_seconds

    async def _make_server(self) -> web.Server:
        return _Server(await super()._make_server(), self._head_seconds)
