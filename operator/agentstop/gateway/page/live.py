"""Pages that stay as things are: what has changed of a page is sent, and that it may be old is said at once."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from aiohttp import web

from agentstop.gateway.dialect import Call
from agentstop.gateway.errors import (
    ForbiddenError,
    NotFoundError,
    TooManyRequestsError,
    UnavailableError,
)
from agentstop.gateway.page.rendering import Part, epoch
from agentstop.gateway.streams import EventStream

BEAT_SECONDS: Final = 4.0
"""How often a quiet page is told that it is still live. A page that has heard nothing for ten seconds says so."""

LEAST_SECONDS: Final = 0.25
"""A page is made anew so often at most."""

SHARE: Final = 0.25
"""All pages together take this part of the process' time at most: then each is made anew less often."""

QUIET_SECONDS: Final = 10.0
"""A page is made anew so often at least: rights may have changed, and what is told by how long ago it was."""


@dataclass(slots=True)
class Shown:
    """What a page shows."""

    parts: dict[str, Part] = field(default_factory=dict)
    """By the ids of their elements."""
    rows: dict[str, Part] | None = None
    """Rows of the page's table, in their order, by their ids; None where it has none."""


class View(Protocol):
    """What a page is made of, for one caller."""

    @property
    def period(self) -> float:
        """For how many seconds what it shows stays true where nothing changes."""

    async def show(self) -> Shown:
        """Return it as it is now. Raises GatewayError."""


@dataclass(slots=True)
class _Sent:
    """What the client has."""

    parts: dict[str, str] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)


async def follow(call: Call, view: View) -> web.StreamResponse:
    """Answer with the changes of a page, for as long as somebody looks at it."""
    shown = await view.show()  # so that whoever may not see it is answered with the status that says so
    woken = asyncio.Event()
    core = call.core

    def wake(*_: object) -> None:
        woken.set()

    ends = (core.index.listen(wake), core.changes.orders.listen(wake))
    try:
        async with core.streams.open(call.request) as stream:
            await _Following(call, view, stream, woken).run(shown)
        return stream.response
    finally:
        for end in ends:
            end()


class _Following:
    """One page that somebody looks at."""

    def __init__(self, call: Call, view: View, stream: EventStream, woken: asyncio.Event) -> None:
        self._call = call
        self._view = view
        self._stream = stream
        self._woken = woken
        self._sent = _Sent()
        self._problem: str | None = None

    async def run(self, shown: Shown) -> None:
        """Send until the client leaves or the gateway ends. Raises GatewayError where the caller is nobody any more."""
        loop = asyncio.get_running_loop()
        core = self._call.core
        pause = LEAST_SECONDS
        made = spoken = loop.time()
        await self._send(shown)
        while not core.index.closing.is_set():
            # Whoever logs out, or whose key is taken out of the file, sees nothing from then on.
            self._call.identify()
            now = loop.time()
            due = made + (pause if self._woken.is_set() else self._period)
            if now >= due:
                self._woken.clear()
                begun = loop.time()
                if await self._refresh():
                    spoken = loop.time()
                made = loop.time()
                pause = max(LEAST_SECONDS, (made - begun) * core.streams.open_ones / SHARE)
            elif await self._say_how_new():
                spoken = now
            elif now >= spoken + BEAT_SECONDS:
                await self._stream.send("{}", kind="beat")
                spoken = now
            await self._sleep(min(due, spoken + BEAT_SECONDS) - loop.time(), pause - (loop.time() - made))

    @property
    def _period(self) -> float:
        return min(self._view.period, QUIET_SECONDS)

    async def _sleep(self, quiet: float, busy: float) -> None:
        """Wait until something may have to be sent: at most so long, or so long once something has changed."""
        if self._woken.is_set():
            await asyncio.sleep(max(min(quiet, busy), 0.01))
            return
        try:
            await asyncio.wait_for(self._woken.wait(), max(min(quiet, 1.0), 0.01))
        except TimeoutError:
            return

    async def _refresh(self) -> bool:
        """Send what has changed; whether anything was sent."""
        if await self._say_how_new():
            return True
        if self._problem is not None:
            return False
        try:
            return await self._send(await self._view.show())
        except (UnavailableError, TooManyRequestsError) as error:
            return await self._stale(error.message)
        except (NotFoundError, ForbiddenError) as error:
            await self._stream.send(json.dumps({"problem": error.message}), kind="gone")
            raise

    async def _say_how_new(self) -> bool:
        """Say so where what is shown may be old, and that it is not any more with the next change."""
        core = self._call.core
        problem = core.index.problem or core.changes.orders.problem
        if problem is not None:
            return await self._stale(problem)
        if self._problem is not None:
            self._problem = None
            self._woken.set()
            await self._stream.send("{}", kind="fresh")
            return True
        return False

    async def _stale(self, problem: str) -> bool:
        if self._problem is not None:
            return False
        self._problem = problem
        await self._stream.send(json.dumps({"problem": problem}), kind="stale")
        return True

    async def _send(self, shown: Shown) -> bool:
        changed = _changed(self._sent, shown)
        if changed is None:
            return False
        await self._stream.send(json.dumps({"now": epoch(datetime.now(UTC)), **changed}), kind="patch")
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
