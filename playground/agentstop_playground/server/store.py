"""The objects, their versions and who watches them. Everything is in memory and changes in one thread.

A stored object is never changed in place: each write makes a new ``Record``, whose bytes are made once and shared by
every list and watch that sends it. Versions are one counter for all collections, as in etcd.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from .errors import ApiError, expired
from .selectors import Selector
from .wire import Json, dumps

Key = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name."""

ADDED: Final = "ADDED"
MODIFIED: Final = "MODIFIED"
DELETED: Final = "DELETED"


@dataclass(slots=True, eq=False)
class Record:
    """One version of one object: the object itself (not to be changed), its bytes and its version."""

    obj: Json
    body: bytes
    version: int

    @property
    def key(self) -> Key:
        """Namespace and name."""
        metadata = self.obj["metadata"]
        return metadata.get("namespace", ""), metadata["name"]

    @property
    def uid(self) -> str:
        """The object's UID."""
        uid: str = self.obj["metadata"]["uid"]
        return uid


@dataclass(slots=True, eq=False)
class Change:
    """One write: ``record`` is the state after it (for a deletion the last state), ``previous`` the one before."""

    type: str
    key: Key
    record: Record
    previous: Record | None
    encoded: dict[Any, bytes] = field(default_factory=dict)
    """Watch frames already made for this change, by the form they are in; shared between watchers."""


class Watcher:
    """The changes that one watch has yet to send. ``limit`` bounds how far its client may fall behind."""

    def __init__(self, namespace: str, limit: int) -> None:
        self.namespace = namespace
        self.limit = limit
        self.pending: deque[Change] = deque()
        self.overrun = False
        self.closed = False
        self._wake = asyncio.Event()

    def offer(self, change: Change) -> None:
        """Take a change if it is in the watched namespace."""
        if self.namespace and change.key[0] != self.namespace:
            return
        if len(self.pending) >= self.limit:
            self.overrun = True
        else:
            self.pending.append(change)
        self._wake.set()

    def close(self) -> None:
        """End the watch once what is pending was sent."""
        self.closed = True
        self._wake.set()

    async def wait(self, timeout: float) -> bool:
        """Wait for a change for at most ``timeout`` seconds; whether something is to be done."""
        if not self.pending and not self.overrun and not self.closed:
            self._wake.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                return False
        return True

    def drain(self) -> list[Change]:
        """All pending changes, oldest first."""
        changes = list(self.pending)
        self.pending.clear()
        return changes


class Collection:
    """All objects of one resource, with the last changes to them."""

    def __init__(self, store: Store, name: str, history_limit: int) -> None:
        self.name = name
        self.store = store
        self.records: dict[Key, Record] = {}
        self.watchers: set[Watcher] = set()
        self._history: deque[Change] = deque()
        self._history_limit = history_limit
        self._floor = store.version
        self._sorted: list[Key] | None = None

    def get(self, namespace: str, name: str) -> Record | None:
        """The present state of an object."""
        return self.records.get((namespace, name))

    def keys(self) -> list[Key]:
        """All keys in the order in which lists are sent."""
        if self._sorted is None:
            self._sorted = sorted(self.records)
        return self._sorted

    def select(self, namespace: str, selector: Selector) -> Iterator[Record]:
        """The present objects that match, in order."""
        records = self.records
        for key in self.keys():
            if namespace and key[0] != namespace:
                continue
            record = records[key]
            if not selector or selector.matches(record.obj):
                yield record

    def snapshot(self, version: int) -> dict[Key, Record]:
        """The objects as they were at a version, by undoing the later changes.

        Raises:
            ApiError: 410, when the changes since then are no longer all kept.
        """
        self.check_version(version)
        records = self.records
        if not self._history or self._history[-1].record.version <= version:
            return records
        records = dict(records)
        for change in reversed(self._history):
            if change.record.version <= version:
                break
            if change.previous is None:
                records.pop(change.key, None)
            else:
                records[change.key] = change.previous
        return records

    def check_version(self, version: int, *, exact: bool = True) -> None:
        """Raise 410 for a version whose successors are no longer all kept, 504 for one that is yet to come.

        ``exact``: the objects are wanted as they were then, not as they are since.
        """
        if exact and version < self._floor:
            raise expired(f"too old resource version: {version} ({self._floor})")
        if version > self.store.version:
            message = f"Timeout: Too large resource version: {version}, current: {self.store.version}"
            details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}
            raise ApiError(504, "Timeout", message, details, retry_after=1)

    def since(self, version: int) -> list[Change]:
        """The changes after a version, oldest first.

        Raises:
            ApiError: 410, when they are no longer all kept, or when the version is of another life of the server:
                what is there now is not what came after it.
        """
        if version > self.store.version:
            raise expired(f"resource version {version} is not of this server, whose latest is {self.store.version}")
        self.check_version(version)
        newer: list[Change] = []
        for change in reversed(self._history):
            if change.record.version <= version:
                break
            newer.append(change)
        newer.reverse()
        return newer

    def watch(self, namespace: str, limit: int) -> Watcher:
        """Register a watcher; it sees every change from now on."""
        watcher = Watcher(namespace, limit)
        self.watchers.add(watcher)
        return watcher

    def commit(self, kind: str, obj: Json, version: int) -> Change:
        """Store an object (or remove it, for ``DELETED``) under a version, and tell the watchers."""
        obj["metadata"]["resourceVersion"] = str(version)
        record = Record(obj, dumps(obj), version)
        key = record.key
        previous = self.records.get(key)
        if kind == DELETED:
            del self.records[key]
        else:
            self.records[key] = record
        if previous is None or kind == DELETED:
            self._sorted = None
        change = Change(kind, key, record, previous)
        self._history.append(change)
        if len(self._history) > self._history_limit:
            self._floor = self._history.popleft().record.version
        for watcher in self.watchers:
            watcher.offer(change)
        return change


Listener = Callable[[Collection, Change], None]


class Store:
    """All collections, the version counter, and an index from owners to what they own.

    ``history_limit`` is how many changes each collection keeps for watches that resume and for paged lists;
    ``first_version`` is where the counter begins.
    """

    def __init__(self, *, history_limit: int = 4096, first_version: int = 1) -> None:
        self.version = first_version
        self.collections: dict[str, Collection] = {}
        self.listeners: list[Listener] = []
        self._history_limit = history_limit
        self._owned: dict[str, dict[tuple[str, Key], None]] = {}
        self._uids: dict[str, tuple[str, Key]] = {}

    def collection(self, name: str) -> Collection:
        """The collection of a resource, made when it is first asked for."""
        found = self.collections.get(name)
        if found is None:
            found = self.collections[name] = Collection(self, name, self._history_limit)
        return found

    def drop(self, name: str) -> None:
        """Forget a collection and end the watches on it."""
        gone = self.collections.pop(name, None)
        if gone is not None:
            for watcher in gone.watchers:
                watcher.close()

    def write(self, collection: Collection, kind: str, obj: Json) -> Record:
        """Commit an object as the next version and tell the listeners."""
        self.version += 1
        change = collection.commit(kind, obj, self.version)
        self._index(collection.name, change.key, change.previous, None if kind == DELETED else change.record)
        for listener in self.listeners:
            listener(collection, change)
        return change.record

    def exists(self, uid: str) -> bool:
        """Whether an object with this UID is stored."""
        return uid in self._uids

    def locate(self, uid: str) -> tuple[Collection, Record] | None:
        """The object with this UID and its collection."""
        found = self._uids.get(uid)
        if found is None:
            return None
        collection = self.collections[found[0]]
        return collection, collection.records[found[1]]

    def owned_by(self, uid: str) -> list[tuple[Collection, Record]]:
        """The objects that name this UID among their owners."""
        return [
            (self.collections[name], self.collections[name].records[key])
            for name, key in self._owned.get(uid, ())
            if name in self.collections
        ]

    def _index(self, name: str, key: Key, before: Record | None, after: Record | None) -> None:
        old, new = _owners(before), _owners(after)
        if before is not None and after is None:
            self._uids.pop(before.uid, None)
        elif after is not None:
            self._uids[after.uid] = name, key
        if old == new:
            return
        for uid in old - new:
            owned = self._owned.get(uid)
            if owned is not None:
                owned.pop((name, key), None)
                if not owned:
                    del self._owned[uid]
        for uid in new - old:
            self._owned.setdefault(uid, {})[name, key] = None


def _owners(record: Record | None) -> frozenset[str]:
    if record is None:
        return frozenset()
    references: Iterable[Json] = record.obj["metadata"].get("ownerReferences") or ()
    return frozenset(reference["uid"] for reference in references)
