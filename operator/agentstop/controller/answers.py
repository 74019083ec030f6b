"""What kopf gets to read: lists and watches in which nothing is left that its own parser does not take.

kopf parses whole pages and lines at once, and ends all its watches for one that it cannot take, and for an error that a
watch brings. Neither happens with what comes from here.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp

from agentstop.cluster.decoding import JsonObject, Listing, UnreadableError, decode, is_object
from agentstop.cluster.errors import ApiError
from agentstop.cluster.reflector import GONE
from agentstop.cluster.transport import lines
from agentstop.cluster.watching import BOOKMARK, event_of
from agentstop.controller.watch_health import Watched, WatchHealth, is_watch, watch_of
from agentstop.timings import TIMINGS, Timings

log = logging.getLogger(__name__)

_BEGIN_ANEW: Final = {"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "code": GONE}}
"""What has kopf list anew what it watches, and watch on from there."""


class Answers:
    """Looks through what kopf's watches bring, and tells how they are."""

    def __init__(self, watch_health: WatchHealth, timings: Timings = TIMINGS) -> None:
        self._watch_health = watch_health
        self.retry_seconds = timings.kopf_retry_seconds
        self._unsound: set[Watched] = set()
        """Watches that had begun and then brought an error: that they begin anew is no sign of life."""
        self._said: dict[Watched, str] = {}

    def begun(self, watched: Watched) -> None:
        """Take in that the API server has accepted a watch."""
        if watched not in self._unsound:
            self._watch_health.heard(*watched)

    def heard(self, watched: Watched) -> None:
        """Take in that a watch has brought something, or has lasted its time."""
        self._unsound.discard(watched)
        self._said.pop(watched, None)
        self._watch_health.heard(*watched)

    def failed(self, watched: Watched, problem: str) -> None:
        """Take in why there is nothing from a watch or list; say so once."""
        self._watch_health.failed(*watched, problem)
        if self._said.get(watched) != problem:
            self._said[watched] = problem
            log.warning("%ss cannot be watched, which is tried again: %s", watched.kind, problem)

    def skipped(self, watched: Watched, number: int = 1) -> None:
        """Take in that something is left out."""
        log.error("%ss: %d that came are no objects of the API, and are left out", watched.kind, number)
        self._watch_health.skipped(watched.kind, number)

    def page(self, watched: Watched, body: bytes) -> JsonObject:
        """Return a part of a list. Raises UnreadableError where it is none."""
        listing = Listing(body)
        items: list[JsonObject] = []
        skipped = 0
        for item in listing.items():
            if is_object(item):
                items.append(_light(item))
            else:
                skipped += 1
        if skipped + listing.unread:
            self.skipped(watched, skipped + listing.unread)
        return {**listing.head, "items": items}

    async def events(self, watched: Watched, content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
        """Yield the lines of a watch."""
        async for line in lines(content):
            try:
                kind, found = event_of(line)
                if kind == "ERROR" and found.get("code") != GONE:
                    raise ApiError(found.get("code", 0), found.get("reason", "Unknown"), found.get("message", ""))
            except ApiError as error:
                self._unsound.add(watched)
                self.failed(watched, str(error))
                await asyncio.sleep(self.retry_seconds)
                yield _line(_BEGIN_ANEW)
                return
            self.heard(watched)
            if kind in {"ERROR", BOOKMARK} or is_object(found):
                yield _line({"type": kind, "object": _light(found)})
            else:
                self.skipped(watched)
        self.heard(watched)

    def response(self) -> type[aiohttp.ClientResponse]:
        """Return the class of a session's answers."""
        return type("Answer", (_Answer,), {"answers": self})


class _Answer(aiohttp.ClientResponse):
    """One answer of the API server to kopf."""

    answers: Answers

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        """Begin, and have what a watch brings looked through."""
        await super().start(connection)
        watched = watch_of(str(self.url))
        if watched is None:
            return self
        if self.status >= 400:
            self.answers.failed(watched, f"the API server answers {self.status} {self.reason}")
        if self.status == GONE:
            raise aiohttp.ClientPayloadError("the list is to be read anew")  # kopf does that for this one alone
        if self.status < 300 and is_watch(str(self.url)):
            self.answers.begun(watched)
            self.content = _Content(self.content, self.answers.events(watched, self.content))  # type: ignore[assignment]
        return self

    async def json(self, **_: Any) -> Any:
        """Return what a list or anything else says."""
        watched = watch_of(str(self.url))
        body = await self.read()
        try:
            return decode(body) if watched is None or self.status >= 400 else self.answers.page(watched, body)
        except UnreadableError as error:
            if watched is None or self.status >= 400:
                raise json.JSONDecodeError(str(error), "", 0) from None
            self.answers.failed(watched, f"the list cannot be read: {error}")
            await asyncio.sleep(self.answers.retry_seconds)
            raise aiohttp.ClientPayloadError("the list is to be read anew") from None


class _Content:
    """The body of an answer, of which kopf gets the lines that were looked through."""

    def __init__(self, reader: aiohttp.StreamReader, events: AsyncIterator[bytes]) -> None:
        self._reader = reader
        self._events = events

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        """Return the lines, whatever the size that is asked for."""
        return self._events


def _light(raw: JsonObject) -> JsonObject:
    """Return an object without what may be most of it, and tells us nothing."""
    metadata = raw.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    return raw


def _line(event: JsonObject) -> bytes:
    return json.dumps(event).encode() + b"\n"
