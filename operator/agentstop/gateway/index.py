"""All tasks, by whatever somebody may call them. Watched with the gateway's own rights, which are to look only."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeVar

from agentstop.api.task import KIND
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.large_objects import NamespacedName
from agentstop.gateway.entry import Entry
from agentstop.gateway.sight import Sight

log = logging.getLogger(__name__)

Changed = Callable[[Entry | None, Entry | None], None]
"""Is told of a task as it was and as it is: None where there was none, or is none any more."""

T = TypeVar("T")

Alias = Callable[[str], str]
"""Returns what a dialect calls a task, from its UID."""


class TaskIndex:
    """The tasks that there are. Told by reflectors; nothing here waits for the API server."""

    def __init__(self, aliases: Mapping[str, Alias] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`aliases` are what dialects call tasks, by the dialect's name."""
        self._clock = clock
        self._aliases = aliases or {}
        self._entries: dict[str, Entry] = {}
        self._uids: dict[NamespacedName, str] = {}
        self._by_external: dict[str, set[str]] = {}
        self._by_parent: dict[NamespacedName, set[str]] = {}
        self._by_alias: dict[tuple[str, str], set[str]] = {}
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._arrivals: set[asyncio.Future[None]] = set()
        self._listeners: list[Changed] = []
        self._sight = Sight(clock)
        self.closing = asyncio.Event()
        """Set when the gateway ends: nobody is to wait any longer."""

    # What is known

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, uid: str) -> Entry | None:
        """Return the task with this UID."""
        return self._entries.get(uid)

    def named(self, key: NamespacedName) -> Entry | None:
        """Return the task of this name."""
        uid = self._uids.get(key)
        return self._entries.get(uid) if uid is not None else None

    def with_external_id(self, external_id: str) -> list[Entry]:
        """Return the tasks that another platform calls so."""
        return [self._entries[uid] for uid in self._by_external.get(external_id, ())]

    def with_alias(self, dialect: str, alias: str) -> list[Entry]:
        """Return the tasks that a dialect calls so."""
        return [self._entries[uid] for uid in self._by_alias.get((dialect, alias), ())]

    def children(self, key: NamespacedName) -> list[Entry]:
        """Return the tasks whose parent has this name, in the order of their names."""
        return sorted((self._entries[uid] for uid in self._by_parent.get(key, ())), key=lambda entry: entry.name)

    def descendants(self, key: NamespacedName) -> Iterator[Entry]:
        """Yield the tasks below one of this name, parents before their children."""
        seen, left = {key}, [key]
        while left:
            for child in self.children(left.pop()):
                if child.key not in seen:
                    seen.add(child.key)
                    left.append(child.key)
                    yield child

    def all(self) -> tuple[Entry, ...]:
        """Return all tasks as they are now: whoever goes through them may wait meanwhile."""
        return tuple(self._entries.values())

    # How new it is

    def expect(self, namespaces: tuple[str, ...]) -> None:
        """Count from now on, for the watches of these namespaces (empty: of all)."""
        self._sight.expect((KIND, each) for each in namespaces or ("",))

    @property
    def age(self) -> float:
        """For how many seconds the watch has been silent that was heard last of all."""
        return self._sight.age

    @property
    def problem(self) -> str | None:
        """Why what is known may be old, if so."""
        return self._sight.problem

    # What is waited for

    async def until(self, uid: str, wanted: Callable[[Entry], bool], seconds: float) -> Entry | None:
        """Wait until a task is as wanted, for so many seconds at most; return it as it is then, None where it is gone.

        When the gateway ends, so does this.
        """
        deadline = self._clock() + seconds
        while True:
            entry = self._entries.get(uid)
            left = deadline - self._clock()
            if entry is None or wanted(entry) or left <= 0 or self.closing.is_set():
                return entry
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiting = self._waiting.setdefault(uid, set())
            waiting.add(turn)
            try:
                await asyncio.wait((turn,), timeout=left)
            finally:
                waiting.discard(turn)
                if not waiting and self._waiting.get(uid) is waiting:
                    del self._waiting[uid]

    async def soon(self, find: Callable[[], T | None], seconds: float) -> T | None:
        """Return what is found now, or once the watch has had the time to tell of tasks that were just made."""
        deadline = self._clock() + seconds
        while not (found := find()) and (left := deadline - self._clock()) > 0:
            await self.arrival(left)
        return found

    async def arrival(self, seconds: float) -> None:
        """Wait until any task is there that was not, for so many seconds at most."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrivals.add(turn)
        try:
            await asyncio.wait((turn,), timeout=seconds)
        finally:
            self._arrivals.discard(turn)

    def listen(self, listener: Changed) -> Callable[[], None]:
        """Have somebody told of each change from now on; return what ends that. A listener must not wait."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def close(self) -> None:
        """Let nobody wait any longer."""
        self.closing.set()
        for uid in list(self._waiting):
            self._wake(uid)

    # What is told by reflectors and answers

    def changed(self, _kind: str, event: str | None, raw: JsonObject) -> None:
        """Take in a task that was listed, or an event of a watch."""
        entry = Entry(raw)
        if event == "DELETED":
            self._remove(entry.uid)
        else:
            self._put(entry)

    def missing(self, _kind: str, _name: NamespacedName, uid: str) -> None:
        """Take in that a task is there no more."""
        self._remove(uid)

    def learned(self, raw: JsonObject) -> Entry:
        """Take in a task as the API server has just answered with it, and return what is newest of it.

        So whoever has changed a task never reads it as it was before, though the watch may bring the change later.
        """
        entry = Entry(raw)
        if entry.uid in self._entries:
            self._put(entry)
            return self._entries[entry.uid]
        return entry  # it is gone by now, or not told of yet

    def heard(self, kind: str, namespace: str) -> None:
        """Take in that a watch is alive."""
        self._sight.heard(kind, namespace)

    def failed(self, kind: str, namespace: str, problem: str) -> None:
        """Take in why a watch is not."""
        self._sight.failed(kind, namespace, problem)

    def skipped(self, _kind: str, number: int = 1) -> None:
        """Take in that tasks could not be read: they cannot be stopped through the gateway."""
        log.error("%d tasks cannot be read", number)

    def _put(self, entry: Entry) -> None:
        before = self._entries.get(entry.uid)
        if before is not None and 0 < entry.version < before.version:
            return  # an answer to ourselves was quicker than this event
        former = self._uids.get(entry.key)
        if former is not None and former != entry.uid:
            self._remove(former)
        if before is not None:
            self._unlink(before)
        self._entries[entry.uid] = entry
        self._uids[entry.key] = entry.uid
        for table, key in self._links(entry):
            table.setdefault(key, set()).add(entry.uid)
        if before is None:
            _wake(self._arrivals)
        self._tell(entry.uid, before, entry)

    def _remove(self, uid: str) -> None:
        entry = self._entries.pop(uid, None)
        if entry is None:
            return
        self._unlink(entry)
        if self._uids.get(entry.key) == uid:
            del self._uids[entry.key]
        self._tell(uid, entry, None)

    def _links(self, entry: Entry) -> Iterator[tuple[dict[object, set[str]], object]]:
        if entry.external_id is not None:
            yield self._by_external, entry.external_id  # type: ignore[misc]  # each table has keys of its own
        if entry.parent is not None:
            yield self._by_parent, entry.parent  # type: ignore[misc]
        for dialect, alias in self._aliases.items():
            yield self._by_alias, (dialect, alias(entry.uid))  # type: ignore[misc]

    def _unlink(self, entry: Entry) -> None:
        for table, key in self._links(entry):
            uids = table.get(key, set())
            uids.discard(entry.uid)
            if not uids:
                table.pop(key, None)

    def _tell(self, uid: str, before: Entry | None, after: Entry | None) -> None:
        self._wake(uid)
        for listener in tuple(self._listeners):
            try:
                listener(before, after)
            except Exception:
                log.exception("a listener stumbled over task %s", uid)

    def _wake(self, uid: str) -> None:
        _wake(self._waiting.get(uid, ()))


def _wake(turns: Collection[asyncio.Future[None]]) -> None:
    for turn in turns:
        if not turn.done():
            turn.set_result(None)
