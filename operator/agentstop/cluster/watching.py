"""The gateway's watches: what there is, what changes, and what the API server still remembers of a change."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Final

from agentstop.api.meta import API_VERSION
from agentstop.api.pod_control import CONTROL_KIND
from agentstop.api.task import KIND
from agentstop.api.usage import USAGE_KIND
from agentstop.cluster.decoding import JsonObject, UnreadableError, decode
from agentstop.cluster.discovery import Discovery
from agentstop.cluster.errors import ApiError
from agentstop.cluster.large_objects import HEAVY_BYTES, hint_of, pause_after
from agentstop.cluster.pages import read_all
from agentstop.cluster.resources import ORDERS, USAGES, by_scale, collection, pod_of
from agentstop.cluster.transport import UNREADABLE, Transport
from agentstop.timings import Timings
from agentstop.workloads.lightening import HEAVY, IS_HEAVY
from agentstop.workloads.objects import ObjectRef, PodsOf, WatchTarget
from agentstop.workloads.requests import Recall

BOOKMARK: Final = "BOOKMARK"
"""Type of an event that brings nothing but a newer resource version.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#watch-bookmarks
"""

UNREAD: Final = "UNREAD"
UNREAD_ENDING: Final = "UNREAD_ENDING"
"""In the place of an event type: an object that is too large to be read now has changed; the same, and it is to end."""

ABSENT: Final = "ABSENT"
LISTED: Final = "LISTED"
"""In the place of an event type: there is no such object; these are all pods that there are."""


class Watches:
    """Follows objects by watches; raises ApiError where one breaks, is refused or brings an error.

    `look` reads one object live, with what its scale says.
    """

    def __init__(
        self,
        transport: Transport,
        timings: Timings,
        discovery: Discovery,
        look: Callable[[ObjectRef], Awaitable[JsonObject]],
    ) -> None:
        self._transport = transport
        self._timings = timings
        self._discovery = discovery
        self._look = look
        self._reading_heavy = asyncio.Lock()

    async def recall(self, request: Recall) -> JsonObject:
        """Return the states in which pods went since a resource version. Raises ApiError, 410, where that is too old.

        A watch by label says DELETED of a pod that lost its label, too. What is really deleted has no grace left.
        """
        target, left = request.ref, set(request.uids)
        by_labels = isinstance(target, PodsOf)
        selector = by_label(target.selector) if isinstance(target, PodsOf) else _by_name(target)
        where = collection(ObjectRef("Pod", target.namespace, ""))
        query = _watching(selector, request.since, self._timings.recall_seconds)
        silence = self._timings.recall_silence_seconds
        found: JsonObject = {"items": []}
        async with aclosing(self._transport.lines(where, query, silence, lambda: None)) as events:
            async for line in events:
                kind, last = _read(line)
                metadata = last["metadata"]
                if kind != "DELETED" or metadata["uid"] not in left:
                    continue
                if not by_labels or metadata.get("deletionGracePeriodSeconds") == 0:
                    left.discard(metadata["uid"])
                    found["items"].append(last)
                if not left:
                    break
        return found

    async def watch(self, target: WatchTarget) -> AsyncIterator[tuple[str, JsonObject]]:
        """Yield what there is now, then (event type, object) as it changes; ends with the watch, to be begun anew.

        What there is of one object comes as ADDED, or as (ABSENT, {}); pods come all at once as (LISTED, list), read.
        """
        if isinstance(target, PodsOf):
            where = collection(ObjectRef("Pod", target.namespace, ""))
            selector = {"labelSelector": target.selector}
            listed = await read_all(self._transport, where, selector, pod_of)
            yield LISTED, listed
        else:
            place = await self._discovery.place(target)
            where, selector = place.collection(target.namespace), _by_name(target)
            listed = await read_all(self._transport, where, selector)
            if not listed["items"]:
                yield ABSENT, {}
            for item in listed["items"]:
                yield await self._with_scale(target, "ADDED", item)
        query = _watching(selector, listed["metadata"]["resourceVersion"], self._timings.watch_seconds)
        async for line in self._transport.lines(where, query, self._timings.watch_silence_seconds, lambda: None):
            if len(line) > HEAVY_BYTES:
                async with self._reading_heavy:
                    begun = time.monotonic()
                    kind, found = _read(line)
                    await asyncio.sleep(pause_after(time.monotonic() - begun))
            else:
                kind, found = _read(line)
            if kind == BOOKMARK:
                continue
            if isinstance(target, PodsOf) or kind == "DELETED":
                yield kind, found
            else:
                yield await self._with_scale(target, kind, found)

    async def _with_scale(self, ref: ObjectRef, kind: str, raw: JsonObject) -> tuple[str, JsonObject]:
        """Return an event with what the scale says: without it, an object seems to want no pods and to have none."""
        if not by_scale(ref) or not (await self._discovery.place(ref)).scales:
            return kind, raw
        try:
            return kind, await self._look(ref)
        except ApiError as error:
            if not error.absent:
                raise
            return "DELETED", raw

    async def events(
        self, kind: str, namespace: str, selector: str, version: str, accepted: Callable[[], None]
    ) -> AsyncIterator[tuple[str, JsonObject]]:
        """Yield the events of tasks, orders, usages or pods after a version, bookmarks too, while one watch lasts.

        Of large objects comes only what they are called and their version, as UNREAD or UNREAD_ENDING: they are to be
        read by `get_one`.
        `accepted` is called when the API server has accepted the watch. An event that is an error raises ApiError.
        """
        where = all_of(kind, namespace)
        query = _watching(by_label(selector), version, self._timings.reflected_seconds)
        async for line in self._transport.lines(where, query, self._timings.reflected_silence_seconds, accepted):
            hint = hint_of(line) if len(line) > HEAVY_BYTES else None
            if hint is not None:
                what = {**hint.name._asdict(), "resourceVersion": hint.version}
                yield UNREAD_ENDING if hint.ending else UNREAD, {"metadata": what}
            else:
                yield _read(line)


def _watching(selector: Mapping[str, str], version: str, seconds: int) -> dict[str, str]:
    return {
        **selector,
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(seconds),
    }


def _read(line: bytes) -> tuple[str, JsonObject]:
    """Return what a watch's line says. Raises ApiError where that is an error."""
    kind, found = event_of(line)
    if kind == "ERROR":
        raise ApiError(found.get("code", 0), found.get("reason", "Unknown"), found.get("message", "no message"))
    if len(line) > HEAVY:
        found[IS_HEAVY] = True
    return kind, found


def event_of(line: bytes) -> tuple[str, JsonObject]:
    """Return type and object of a watch's line. Raises ApiError where it has none."""
    try:
        event = decode(line)
    except UnreadableError as error:
        raise ApiError(0, UNREADABLE, f"a line of a watch cannot be read: {error}") from None
    if isinstance(event, dict):
        kind, found = event.get("type"), event.get("object")
        if isinstance(kind, str) and isinstance(found, dict):
            return kind, found
    raise ApiError(0, UNREADABLE, "a line of a watch is no event")


def all_of(kind: str, namespace: str) -> str:
    """Return where all tasks, orders, usages, PodControls or pods of a namespace are (empty: of all)."""
    if kind in ORDERS:
        return ORDERS[kind].collection(namespace)
    if kind == USAGE_KIND:
        return USAGES.collection(namespace)
    return collection(ObjectRef(kind, namespace, "", API_VERSION if kind in {KIND, CONTROL_KIND} else "v1"))


def _by_name(ref: ObjectRef) -> dict[str, str]:
    return {"fieldSelector": f"metadata.name={ref.name}"}


def by_label(selector: str) -> dict[str, str]:
    """Return the query for what has these labels."""
    return {"labelSelector": selector} if selector else {}
