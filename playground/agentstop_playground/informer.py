"""Following one collection of an API server: list, watch, and what our own writes already tell."""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any

from agentstop_playground.api_client import REQUEST_TIMEOUT, ApiClient, ApiError, Object, backoff

log = logging.getLogger(__name__)

REMEMBERED_DELETIONS = 10_000
"""How many deleted objects are remembered, so that a late answer does not bring one back."""

EventHandler = Callable[[str, Object], None]
"""Called with ``ADDED``, ``MODIFIED`` or ``DELETED`` and the object."""


class Informer:
    """Lists and watches one collection for ever, and tells a handler what changed.

    A watch that the server ends is begun anew where it ended; when the server has forgotten that place (410) the
    collection is listed again, and what is missing from the list is handed on as deleted.

    Args:
        served: waits until there is such a collection at all; None for one that always is there.
    """

    def __init__(
        self,
        client: ApiClient,
        path: str,
        handler: EventHandler,
        *,
        served: Callable[[], Coroutine[Any, Any, Any]] | None = None,
    ) -> None:
        self._client = client
        self._path = path
        self._handler = handler
        self._served = served
        self._known: dict[str, Object] = {}
        self._deleted: OrderedDict[str, None] = OrderedDict()
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled."""
        attempt = 0
        version = ""
        while True:
            try:
                if not version:
                    if self._served is not None:
                        await self._served()
                    version = await self._list()
                    self.synced.set()
                async with contextlib.aclosing(self._client.watch(self._path, version)) as events:
                    async for event in events:
                        version = self._take(event) or version
                        attempt = 0
            except (KeyError, TypeError) as error:
                log.warning("%s: the API server's answer is malformed: %r (listing again)", self._path, error)
                version = ""
                attempt += 1
                await asyncio.sleep(backoff(attempt))
            except ApiError as error:
                if error.code in {404, 410}:
                    version = ""
                if error.code == 404:
                    # The kind is served no longer, and its objects went with it.
                    for old in list(self._known.values()):
                        self._emit("DELETED", old)
                level = logging.WARNING if attempt == 3 else logging.DEBUG
                log.log(level, "%s (trying again)", error)
                attempt += 1
                await asyncio.sleep(backoff(attempt))

    def note(self, item: Object) -> None:
        """Take the answer of a write as news, ahead of the watch."""
        uid = item["metadata"]["uid"]
        known = self._known.get(uid)
        if uid not in self._deleted and (known is None or _version(item) > _version(known)):
            self._emit("ADDED" if known is None else "MODIFIED", item)

    async def _list(self) -> str:
        answer = await self._client.request("GET", self._path, timeout=REQUEST_TIMEOUT * 3)
        items: list[Object] = answer.get("items") or []
        version = str(answer["metadata"]["resourceVersion"])
        found = {item["metadata"]["uid"]: item for item in items}
        for uid, old in list(self._known.items()):
            # What was noted after the list was made is not in it, and is there.
            if uid not in found and _version(old) <= int(version):
                self._emit("DELETED", old)
        for uid, item in found.items():
            old_item = self._known.get(uid)
            if old_item is None:
                self._emit("ADDED", item)
            elif _version(old_item) < _version(item):
                self._emit("MODIFIED", item)
        return version

    def _take(self, event: Object) -> str:
        kind = event["type"]
        item: Object = event["object"]
        if kind == "ERROR":
            raise ApiError(int(item.get("code") or 500), str(item.get("reason") or ""), str(item.get("message") or ""))
        if kind != "BOOKMARK":
            known = self._known.get(item["metadata"]["uid"])
            if kind == "DELETED" or known is None or _version(item) > _version(known):
                self._emit(kind, item)
        return str(item["metadata"].get("resourceVersion") or "")

    def _emit(self, kind: str, item: Object) -> None:
        uid = item["metadata"]["uid"]
        if kind == "DELETED":
            self._known.pop(uid, None)
            self._deleted[uid] = None
            if len(self._deleted) > REMEMBERED_DELETIONS:
                self._deleted.popitem(last=False)
        else:
            self._known[uid] = item
        try:
            self._handler(kind, item)
        except Exception:
            log.exception("%s %s was not handled", kind, item["metadata"].get("name"))


def _version(item: Object) -> int:
    return int(item["metadata"].get("resourceVersion") or 0)
