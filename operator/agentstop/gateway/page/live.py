"""Pages that stay as things are: what has changed of a page is sent, and that it may be old is said at once."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Generic, TypeVar, cast

from aiohttp import web

from agentstop.gateway.dialect import Call
from agentstop.gateway.errors import (
    ForbiddenError,
    NotFoundError,
    TooManyRequestsError,
    UnavailableError,
)
from agentstop.gateway.page.rendering import epoch
from agentstop.gateway.page.view import Shown, View
from agentstop.gateway.streams import EventStream

BEAT_SECONDS: Final = 4.0
"""How often a quiet page is told that it is still live. A page that has heard nothing for ten seconds says so."""

LEAST_SECONDS: Final = 0.25
"""A page is made anew so often at most."""

SHARE: Final = 0.25
"""All pages together are to take this part of the process' time at most: then each is made anew less often."""

QUIET_SECONDS: Final = 10.0
"""A page is made anew so often at least: rights may have changed, and what is told by how long ago it was."""


LOOK_SECONDS: Final = 1.0
"""How often is looked at who looks, and at whether the cluster is seen."""

T = TypeVar("T")


@dataclass(slots=True)
class _Sent:
    """What the client has."""

    parts: dict[str, str] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)


async def follow(call: Call, view: View) -> web.StreamResponse:
    """Answer with the changes of a page, for as long as somebody looks at it."""
    woken = asyncio.Event()
    core = call.core

    def wake(*_: object) -> None:
        woken.set()

    # Listened is first: what changes while the page is made for the first time has it made again.
    ends = (core.index.listen(wake), core.changes.orders.listen(wake))
    try:
        shown = await view.show()  # so that whoever may not see it is answered with the status that says so
        async with core.streams.open(call.request) as stream:
            await _Following(call, view, stream, woken).run(shown)
        return stream.response
    finally:
        for end in ends:
            end()


def pause_after(seconds: float, pages: int) -> float:
    """Return how long a page is left as it is, by the seconds that it took to make it and the number of open pages."""
    return min(max(LEAST_SECONDS, seconds * pages / SHARE), QUIET_SECONDS)


class Timed(Generic[T]):
    """An awaitable, and how long its own steps took: what it waits for meanwhile is not counted."""

    def __init__(self, work: Awaitable[T], clock: Callable[[], float] = time.thread_time) -> None:
        self._work = work
        self._clock = clock
        self.seconds = 0.0

    def __await__(self) -> Generator[Any, Any, T]:
        """Do the work, and count."""
        steps = self._work.__await__()
        step: Callable[[], Any] = partial(next, steps)
        while True:
            begun = self._clock()
            try:
                awaited = step()
            except StopIteration as end:
                return cast("T", end.value)
            finally:
                self.seconds += self._clock() - begun
            try:
                yield awaited
                step = partial(next, steps)
            except BaseException as error:  # noqa: BLE001  # it is the work's to end by it
                step = partial(_throw, steps, error)


def _throw(steps: Generator[Any, Any, Any], error: BaseException) -> Any:
    return steps.throw(error)


class _Following:
    """One page that somebody looks at."""

    def __init__(self, call: Call, view: View, stream: EventStream, woken: asyncio.Event) -> None:
        self._call = call
        self._view = view
        self._stream = stream
        self._woken = woken
        self._sent = _Sent()
        self._stale = False
        """Whether the client was told that it sees what is old."""
        self._refusals = 0
        """How often in a row the page could not be made."""
        self._earliest = self._latest = float("-inf")
        """When the page is made next, by the loop's clock: once something has changed, and where nothing has."""

    async def run(self, shown: Shown) -> None:
        """Send until the client leaves or the gateway ends. Raises GatewayError where the caller is nobody any more."""
        clock = asyncio.get_running_loop().time
        await self._send(shown)
        spoken = clock()
        self._next(LEAST_SECONDS, self._period)
        while not self._call.core.index.closing.is_set():
            # Whoever logs out, or whose key is taken out of the file, sees nothing from then on.
            self._call.identify()
            if await self._renew(clock()):
                spoken = clock()
            elif clock() >= spoken + BEAT_SECONDS:
                await self._stream.send("{}", kind="beat")
                spoken = clock()
            await self._sleep(min(self._due, spoken + BEAT_SECONDS) - clock())

    @property
    def _period(self) -> float:
        return min(self._view.period, QUIET_SECONDS)

    @property
    def _due(self) -> float:
        return self._earliest if self._woken.is_set() else max(self._earliest, self._latest)

    def _next(self, earliest: float, latest: float) -> None:
        now = asyncio.get_running_loop().time()
        self._earliest, self._latest = now + earliest, now + latest

    async def _sleep(self, seconds: float) -> None:
        """Wait until something may have to be sent: for so long, but look each second at who looks and what is seen."""
        left = max(min(seconds, LOOK_SECONDS), 0.01)
        if self._woken.is_set():
            await asyncio.sleep(left)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), left)

    async def _renew(self, now: float) -> bool:
        """Send what has changed, or that it is not known; whether anything was sent."""
        core = self._call.core
        problem = core.index.problem or core.changes.orders.problem
        if problem is not None:
            # Once the cluster is seen again, the page is made at once. What the API server asked for still counts.
            self._latest = now + LEAST_SECONDS
            self._earliest = max(self._earliest, self._latest)
            return await self._say_stale(problem)
        if now < self._due:
            return False
        self._woken.clear()
        making = Timed(self._view.show())
        try:
            shown = await making
        except (UnavailableError, TooManyRequestsError) as error:
            self._refusals += 1
            wait = error.retry_after or min(LEAST_SECONDS * 2**self._refusals, QUIET_SECONDS)
            self._next(wait, wait)
            return await self._say_stale(error.message)
        except (NotFoundError, ForbiddenError) as error:
            await self._stream.send(json.dumps({"problem": error.message}), kind="gone")
            raise
        self._refusals = 0
        self._next(pause_after(making.seconds, core.streams.open_ones), self._period)
        return await self._send(shown)

    async def _say_stale(self, problem: str) -> bool:
        if self._stale:
            return False
        self._stale = True
        await self._stream.send(json.dumps({"problem": problem}), kind="stale")
        return True

    async def _send(self, shown: Shown) -> bool:
        """Send what the client does not have yet; an empty patch where it was told that it sees what is old."""
        changed = _changed(self._sent, shown)
        if changed is None and not self._stale:
            return False
        self._stale = False
        patch = changed or {"parts": []}
        await self._stream.send(json.dumps({"now": epoch(datetime.now(UTC)), **patch}), kind="patch")
        return True


def _changed(sent: _Sent, shown: Shown) -> Mapping[str, Any] | None:
    """Return what the client does not have yet, and take down that it has it; None where that is nothing."""
    first = not sent.parts
    everything = {**shown.parts, **(shown.rows or {})}
    parts = {name: each for name, each in everything.items() if sent.parts.get(name) != each.mark}
    rows = None if shown.rows is None else list(shown.rows)
    moved = rows is not None and rows != sent.rows
    sent.parts = {name: each.mark for name, each in everything.items()}
    if not (parts or moved or first):
        return None
    found: dict[str, Any] = {"parts": [[name, each.mark, each.html] for name, each in parts.items()]}
    if rows is not None and (moved or first):
        sent.rows = rows
        found["rows"] = rows
    return found
