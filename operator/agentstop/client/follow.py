"""Following objects in the background: one list, then a watch, begun again whenever it breaks."""

import threading
import time
from collections.abc import Mapping
from typing import Final

from agentstop.client.client import Api
from agentstop.client.errors import ApiError, UnreachableError
from agentstop.words.tasks import Object

POLL_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 1.0

Key = tuple[str, str]
"""Namespace and name."""


def key_of(item: Object) -> Key:
    """Return the key of an object."""
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


class Follower:
    """The newest states of the objects of one collection, or of one object of it."""

    def __init__(self, api: Api, path: str, query: Mapping[str, str] | None = None, *, name: str | None = None) -> None:
        """Follow a collection; with a name just that object, which needs no right to list the others."""
        self._api = api
        self._path = path
        self._name = name
        self._query = {**(query or {}), **({"fieldSelector": f"metadata.name={name}"} if name else {})}
        self._changed = threading.Condition()
        self._objects: dict[Key, Object] = {}
        self._gone: dict[Key, Object] = {}
        self._count = 0
        self._version = ""
        self._ended = False
        self.trouble: str | None = None
        """Why nothing new is heard at the moment, if so."""
        self.failure: ApiError | None = None
        """Why nothing will be heard any more, if so."""

    def start(self, first: Object | None = None) -> None:
        """Begin, from the state that is known already, or from a list. Raises ApiError, UnreachableError."""
        if first is not None:
            self._objects[key_of(first)] = first
            self._version = str(first["metadata"]["resourceVersion"])
        else:
            self._relist()
        threading.Thread(target=self._run, name="follower", daemon=True).start()

    def stop(self) -> None:
        """Stop soon."""
        self._ended = True

    @property
    def objects(self) -> dict[Key, Object]:
        """The objects as they were last seen."""
        with self._changed:
            return dict(self._objects)

    @property
    def gone(self) -> dict[Key, Object]:
        """The last states of objects that were deleted since."""
        with self._changed:
            return dict(self._gone)

    def wait(self, seen: int, seconds: float) -> int:
        """Wait until there is more than was seen, or the time is over; returns the count of changes."""
        with self._changed:
            self._changed.wait_for(lambda: self._count != seen, seconds)
            return self._count

    def _run(self) -> None:
        while not self._ended:
            try:
                if not self._version:
                    self._relist()
                self._watch()
                self.trouble = None
            except ApiError as error:
                if error.code == 410:
                    self._version = ""
                elif error.code in {403, 405} and self._name is not None:
                    self._poll()
                elif error.code == 404 and self._name is not None:
                    self._objects_are([])
                    return
                elif error.code in {429, 500, 502, 503, 504}:
                    self._pause(error.message)
                else:
                    self.failure = error
                    self._tell()
                    return
            except UnreachableError as error:
                self._pause(str(error))

    def _pause(self, trouble: str) -> None:
        self.trouble = trouble
        self._version = ""
        self._tell()
        time.sleep(RETRY_SECONDS)

    def _relist(self) -> None:
        if self._name is not None:
            self._objects_are([self._api.get(f"{self._path}/{self._name}")])
            self._version = next(iter(self._objects.values()))["metadata"]["resourceVersion"]
            return
        items, self._version = self._api.list(self._path, self._query)
        self._objects_are(items)

    def _objects_are(self, items: list[Object]) -> None:
        with self._changed:
            now = {key_of(item): item for item in items}
            self._gone |= {key: item for key, item in self._objects.items() if key not in now}
            self._objects = now
            self._count += 1
            self._changed.notify_all()
        self.trouble = None

    def _watch(self) -> None:
        for kind, item in self._api.watch(self._path, self._query, self._version, lambda: self._ended):
            if kind == "ERROR":
                raise ApiError(int(item.get("code", 500)), item)
            self._version = item["metadata"]["resourceVersion"]
            if kind == "BOOKMARK":
                continue
            with self._changed:
                key = key_of(item)
                if kind == "DELETED":
                    self._objects.pop(key, None)
                    self._gone[key] = item
                else:
                    self._objects[key] = item
                    self._gone.pop(key, None)
                self._count += 1
                self._changed.notify_all()

    def _poll(self) -> None:
        """Ask again and again, where the user may get the object but not watch it."""
        while not self._ended:
            try:
                self._objects_are([self._api.get(f"{self._path}/{self._name}")])
            except ApiError as error:
                if error.code != 404:
                    raise
                self._objects_are([])
            time.sleep(POLL_SECONDS)

    def _tell(self) -> None:
        with self._changed:
            self._count += 1
            self._changed.notify_all()
