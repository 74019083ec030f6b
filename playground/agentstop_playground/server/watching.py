"""Watches: what changed since a version, and then whatever changes.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final

from .errors import ApiError, expired
from .presenter import Framer, error_frame
from .selectors import Selector
from .store import ADDED, DELETED, MODIFIED, Change, Collection, Record, Watcher

BOOKMARK_INTERVAL: Final = 10.0
"""Seconds between bookmarks of a quiet watch."""
_MAX_BACKLOG: Final = 100_000
_DEFAULT_TIMEOUT: Final = 1800


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """What a watch asked for. ``version`` is ``None`` to begin with the present state; ``timeout`` is in seconds."""

    namespace: str
    selector: Selector
    version: int | None
    timeout: int | None
    bookmarks: bool
    initial_events: bool


def meaning(change: Change, selector: Selector) -> str | None:
    """What a change means to a watch with a selector: an object that begins to match was added, one that ceases to
    was deleted; ``None`` for a change it does not see.
    """
    if not selector:
        return change.type
    before = change.previous is not None and selector.matches(change.previous.obj)
    if change.type == DELETED:
        return DELETED if before else None
    after = selector.matches(change.record.obj)
    if after:
        return MODIFIED if before else ADDED
    return DELETED if before else None


async def stream(collection: Collection, framer: Framer, request: WatchRequest) -> AsyncIterator[bytes]:
    """The frames of a watch, several at a time where several are there."""
    watcher = collection.watch(request.namespace, _MAX_BACKLOG)
    try:
        try:
            sent = collection.store.version
            past: Iterable[Change] = ()
            if request.version is not None:
                past = collection.since(request.version)
        except ApiError as error:
            yield error_frame(error.status())
            return
        if request.version is None or request.initial_events:
            async for chunk in _initial(collection, framer, request, sent):
                yield chunk
        else:
            chunk = _frames((item for item in past if _in_namespace(item, request)), framer, request.selector)
            if chunk:
                yield chunk
        async for chunk in _follow(collection, watcher, framer, request, sent):
            yield chunk
    finally:
        collection.watchers.discard(watcher)


async def _initial(collection: Collection, framer: Framer, request: WatchRequest, version: int) -> AsyncIterator[bytes]:
    records: list[Record] = list(collection.select(request.namespace, request.selector))
    for first in range(0, len(records), 500):
        yield b"".join(framer.initial(record) for record in records[first : first + 500])
    if request.initial_events and request.bookmarks:
        yield framer.bookmark(version, initial_end=True)


async def _follow(
    collection: Collection, watcher: Watcher, framer: Framer, request: WatchRequest, sent: int
) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    # Without a wish of the client's, watches end at different times, as on a real server.
    timeout = request.timeout or random.randint(_DEFAULT_TIMEOUT, 2 * _DEFAULT_TIMEOUT)  # noqa: S311
    end = loop.time() + timeout
    bookmark_at = loop.time() + BOOKMARK_INTERVAL
    while (left := end - loop.time()) > 0:
        due = min(left, bookmark_at - loop.time()) if request.bookmarks else left
        if await watcher.wait(max(due, 0)):
            changes = watcher.drain()
            chunk = _frames(changes, framer, request.selector)
            if chunk:
                yield chunk
            if watcher.overrun:
                yield error_frame(expired("the watch fell too far behind").status())
                return
            if watcher.closed and not watcher.pending:
                return
        if request.bookmarks and loop.time() >= bookmark_at:
            if not watcher.pending:
                sent = collection.store.version
                yield framer.bookmark(sent)
            bookmark_at = loop.time() + BOOKMARK_INTERVAL


def _in_namespace(change: Change, request: WatchRequest) -> bool:
    return not request.namespace or change.key[0] == request.namespace


def _frames(changes: Iterable[Change], framer: Framer, selector: Selector) -> bytes:
    frames = []
    for change in changes:
        kind = meaning(change, selector)
        if kind is not None:
            frames.append(framer.change(change, kind))
    return b"".join(frames)
