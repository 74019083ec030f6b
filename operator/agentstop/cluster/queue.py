"""The keyed queue: one at a time for each key, urgent keys first, delays and retries kept in one place."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

FIRST_RETRY_SECONDS: Final = 0.05
LONGEST_RETRY_SECONDS: Final = 3.0


class KeyedQueue(Generic[Key]):
    """Keys that wait for work.

    A key is handed out to one worker at a time; added while it is being worked on, it is handed out once more
    afterwards, so that the newest state always gets its turn. Urgent keys overtake all others; `urgent` says whether a
    key whose time has come is one. A key that failed waits among the others until it succeeds: what hangs or is refused
    must not hold up what would not.
    """

    def __init__(self, urgent: Callable[[Key], bool] = lambda _: False) -> None:
        self._is_urgent = urgent
        self._waiting: dict[Key, bool] = {}
        self._lanes: dict[bool, deque[Key]] = {True: deque(), False: deque()}
        self._active: set[Key] = set()
        self._again: dict[Key, bool] = {}
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
        """Whether an urgent key waits for a worker."""
        return bool(self._lanes[True])

    def add(self, key: Key, *, urgent: bool = False) -> None:
        """Have the key worked on as soon as possible."""
        if key in self._active:
            self._again[key] = self._again.get(key, False) or urgent
            return
        if key in self._waiting and (self._waiting[key] or not urgent):
            return
        worker = None if self._closed else self._idle_worker(urgent)
        if worker is not None:
            self._waiting.pop(key, None)
            self._active.add(key)
            worker.set_result(key)
            return
        # Where the key already waits as a normal one, its place there is skipped when its turn comes.
        self._waiting[key] = urgent
        self._lanes[urgent].append(key)

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
        """Have the key worked on again after a pause that doubles with every failure, up to 3 seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(FIRST_RETRY_SECONDS * 2 ** min(failures, 20), LONGEST_RETRY_SECONDS))

    def succeeded(self, key: Key) -> None:
        """Forget the key's failures."""
        self._failures.pop(key, None)

    def forget(self, key: Key) -> None:
        """Forget the key's failures and timers: what it stands for is gone."""
        self._failures.pop(key, None)
        self._due.pop(key, None)

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
        if self._closed and not self._active:
            self._idle.set()
        if key in self._again:
            self.add(key, urgent=self._again.pop(key))

    def close(self) -> None:
        """Hand out no more keys."""
        self._closed = True
        if not self._active:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until no key is being worked on. To be called after `close`."""
        await self._idle.wait()

    def _idle_worker(self, urgent: bool) -> asyncio.Future[Key] | None:
        for urgent_only in (False, True) if urgent else (False,):
            workers = self._workers[urgent_only]
            while workers:
                worker = workers.popleft()
                if not worker.done():
                    return worker
        return None

    def _next(self, urgent_only: bool) -> Key | None:
        for urgent in (True,) if urgent_only else (True, False):
            lane = self._lanes[urgent]
            while lane:
                key = lane.popleft()
                if self._waiting.get(key) is urgent:
                    del self._waiting[key]
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
                self.add(key, urgent=key not in self._failures and self._is_urgent(key))
        self._timer = None
        self._set_timer()
