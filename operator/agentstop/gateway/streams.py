"""Answers that go on: server-sent events, to as many clients as we have room for.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from agentstop.gateway.errors import GatewayError, UnavailableError

log = logging.getLogger(__name__)

MAX_STREAMS: Final = 4000
"""So many streams are open at once, each with a connection, a buffer and a task of the loop."""

RETRY_SECONDS: Final = 5
WRITE_SECONDS: Final = 20.0
"""So long may it take until a client has taken what was sent: after that it is taken for gone."""

BEAT_SECONDS: Final = 15.0
"""How often something is sent to a client, so that neither side takes a quiet stream for dead."""


_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # a proxy that collects what it passes on would hold events back
}


class _HeadOnlyError(Exception):
    """Only the head of the answer was asked for: there is nothing to go on with."""


class EventStream:
    """One stream to one client. Raises ConnectionError once the client is gone."""

    def __init__(self, response: web.StreamResponse, *, head_only: bool = False) -> None:
        self.response = response
        self._head_only = head_only

    async def send(self, data: str, *, kind: str | None = None, event_id: str | None = None) -> None:
        """Send one event; `kind` is its type, and `event_id` what a client gives as Last-Event-ID to go on after it."""
        lines = [f"event: {kind}"] if kind is not None else []
        lines += [f"id: {event_id}"] if event_id is not None else []
        lines += [f"data: {line}" for line in data.splitlines() or [""]]
        await self._write("\n".join(lines) + "\n\n")

    async def beat(self, event_id: str | None = None) -> None:
        """Send a comment, which clients pass over; `event_id` as with an event."""
        await self._write(f"id: {event_id}\n\n" if event_id is not None else ":\n\n")

    async def _write(self, text: str) -> None:
        if self._head_only:
            raise _HeadOnlyError
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self.response.write(text.encode())
        except TimeoutError:
            raise ConnectionResetError("the client takes nothing any more") from None


class Streams:
    """All streams of the process."""

    def __init__(self, limit: int = MAX_STREAMS) -> None:
        self._limit = limit
        self.open_ones = 0
        """How many there are."""

    @asynccontextmanager
    async def open(self, request: web.BaseRequest) -> AsyncIterator[EventStream]:
        """Begin a stream, which ends with the block; what ends it early goes no further than this.

        Raises UnavailableError where there are too many.
        """
        if self.open_ones >= self._limit:
            raise UnavailableError("too many streams are open", retry_after=RETRY_SECONDS)
        self.open_ones += 1
        try:
            response = web.StreamResponse(headers=_HEADERS)
            await response.prepare(request)
            try:
                yield EventStream(response, head_only=request.method == "HEAD")
            except _HeadOnlyError:
                pass
            except GatewayError as error:
                # The answer has begun: all that can be said is that there is no more.
                log.info("a stream ends: %s", error)
            except ConnectionError:
                log.debug("a client left its stream")
                if request.transport is not None:
                    request.transport.abort()
        finally:
            self.open_ones -= 1
