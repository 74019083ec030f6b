"""The keyed queue: one at a time for each key, urgent keys first, delays and retries kept in one place."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Hashable
from enum import IntEnum
from itertools import takewhile
from typing import Generic, Protocol, TypeVar

from agentstop.timings import TIMINGS, Timings

Key = TypeVar("Key", bound=Hashable)
KeyToAdd = TypeVar("KeyToAdd", bound=Hashable, contravariant=True)


class Priority(IntEnum):
    """Which keys come first."""

    STOP = 0
    """Somebody waits for this one."""
    MASS = 1
    """One of many that are stopped at once."""
    NORMAL = 2


class Enqueuer(Protocol[KeyToAdd]):
    """The queue to those who have something worked on: what else waits in it does not concern them."""

    @property
    def has_urgent(self) -> bool:
        """Whether a stop waits for a worker."""

    def add(self, key: KeyToAdd, *, priority: Priority = Priority.NORMAL) -> None:
        """Have the key worked on as soon as possible."""

    def add_after(self, key: KeyToAdd, seconds: float) -> None:
        """Have the key worked on after so many seconds."""

    def retry(self, key: KeyToAdd) -> None:
        """Have the key worked on again after a pause."""

    def forget(self, key: KeyToAdd) -> None:
        """Forget the key's failures and timers."""


class WorkQueue(Generic[Key]):
    """Keys that wait for work.

    A key is handed out to one worker at a time; added while it is being worked on, it is handed out once more
    afterwards, so that the newest state always gets its turn. Stops overtake all others, and single ones those of
    many; `priority_of` says where a key belongs whose time has come. A key that failed waits among the others until it
    succeeds: what hangs or is refused must not hold up what would not.

    After each time a key rests for `rest_seconds`, and is not handed out meanwhile, unless it is a stop: where each
    change asks for the same work, it is not done more often than that.
    """

    def __init__(
        self,
        priority_of: Callable[[Key], Priority] = lambda _: Priority.NORMAL,
        rest_seconds: float = 0.0,
        timings: Timings = TIMINGS,
    ) -> None:
        self._timings = timings
        self._priority_of = priority_of
        self._rest_seconds = rest_seconds
        self._rested: dict[Key, float] = {}
        """When each key has rested; those that come first are those that have soonest."""
        self._waiting: dict[Key, Priority] = {}
        self._stops = 0
        self._priorities: dict[Priority, deque[Key]] = {priority: deque() for priority in Priority}
        self._active: set[Key] = set()
        self._again: dict[Key, Priority] = {}
        self._workers: dict[bool, deque[asyncio.Future[Key]]] = {True: deque(), False: deque()}
        self._failures: dict[Key, int] = {}
        self._due: dict[Key, float] = {}
        self._timers: list[tuple[float, int, Key]] = []
        self._timers_made = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._idle = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def has_urgent(self) -> bool:
        """Whether a stop waits for a worker."""
        return self._stops > 0

    def add(self, key: Key, *, priority: Priority = Priority.NORMAL) -> None:
        """Have the key worked on as soon as possible."""
        if key in self._active:
            self._again[key] = min(self._again.get(key, priority), priority)
            return
        if key in self._waiting and self._waiting[key] <= priority:
            return
        rest = self._rest(key)
        if rest > 0.0 and priority is not Priority.STOP:
            self.add_after(key, rest)
            return
        worker = None if self._closed else self._idle_worker(priority is not Priority.NORMAL)
        if worker is not None:
            self._leave(key)
            self._active.add(key)
            worker.set_result(key)
            return
        # Where the key already waits in a later lane, its place there is skipped when its turn comes.
        self._leave(key)
        self._waiting[key] = priority
        self._stops += priority is not Priority.NORMAL
        self._priorities[priority].append(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Have the key worked on after so many seconds; an earlier time for the same key wins."""
        due = asyncio.get_running_loop().time() + max(seconds, 0.0)
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        self._timers_made += 1
        heapq.heappush(self._timers, (due, self._timers_made, key))
        self._set_timer()

    def retry(self, key: Key) -> None:
        """Have the key worked on again after a pause that doubles with every failure, up to the longest."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        first, longest = self._timings.first_retry_seconds, self._timings.max_retry_seconds
        self.add_after(key, min(first * 2 ** min(failures, 20), longest))

    def succeeded(self, key: Key) -> None:
        """Forget the key's failures."""
        self._failures.pop(key, None)

    def forget(self, key: Key) -> None:
        """Forget the key's failures and timers: what it stands for is gone."""
        self._failures.pop(key, None)
        self._due.pop(key, None)
        self._rested.pop(key, None)

    async def get(self, *, urgent_only: bool = False) -> Key:
        """Wait for a key, and take it. `done` must be called for it afterwards."""
        key = None if self._closed else self._next(urgent_only)
        if key is not None:
            self._active.add(key)
            return key
        worker: asyncio.Future[Key] = asyncio.get_running_loop().create_future()
        self._workers[urgent_only].append(worker)
        try:
            return await worker
        except asyncio.CancelledError:
            if worker.done() and not worker.cancelled():
                self.done(worker.result())
                self.add(worker.result())
            raise

    def done(self, key: Key) -> None:
        """Give the key back."""
        self._active.discard(key)
        if self._rest_seconds:
            self._begin_rest(key)
        if self._closed and not self._active:
            self._idle.set()
        if key in self._again:
            self.add(key, priority=self._again.pop(key))

    def close(self) -> None:
        """Hand out no more keys."""
        self._closed = True
        if not self._active:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until no key is being worked on. To be called after `close`."""
        await self._idle.wait()

    def _begin_rest(self, key: Key) -> None:
        now = asyncio.get_running_loop().time()
        self._rested.pop(key, None)
        self._rested[key] = now + self._rest_seconds
        for each in [*takewhile(lambda each: self._rested[each] <= now, self._rested)]:
            del self._rested[each]

    def _rest(self, key: Key) -> float:
        """Return how many seconds a key has still to rest; 0 or less for none."""
        return self._rested[key] - asyncio.get_running_loop().time() if key in self._rested else 0.0

    def _leave(self, key: Key) -> None:
        """Take a key off those that wait; where it has a place in a lane, that is skipped when its turn comes."""
        self._stops -= self._waiting.pop(key, Priority.NORMAL) is not Priority.NORMAL

    def _idle_worker(self, urgent: bool) -> asyncio.Future[Key] | None:
        for urgent_only in (False, True) if urgent else (False,):
            workers = self._workers[urgent_only]
            while workers:
                worker = workers.popleft()
                if not worker.done():
                    return worker
        return None

    def _next(self, urgent_only: bool) -> Key | None:
        for priority in (Priority.STOP, Priority.MASS) if urgent_only else Priority:
            keys = self._priorities[priority]
            while keys:
                key = keys.popleft()
                if self._waiting.get(key) is priority:
                    self._leave(key)
                    return key
        return None

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._timers:
            self._timer = asyncio.get_running_loop().call_at(self._timers[0][0], self._ring)

    def _ring(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._timers and self._timers[0][0] <= now:
            due, _, key = heapq.heappop(self._timers)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key, priority=Priority.NORMAL if key in self._failures else self._priority_of(key))
        self._timer = None
        self._set_timer()
