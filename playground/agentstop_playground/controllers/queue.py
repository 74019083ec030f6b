"""Work by key: one at a time for each key, again when asked meanwhile, later when it failed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from agentstop_playground.api_client import ApiError, backoff

log = logging.getLogger(__name__)


class Queue:
    """Calls ``work`` with the keys that are added; what it returns is in how many seconds to call it again, or None."""

    def __init__(self, name: str, work: Callable[[str], Awaitable[float | None]]) -> None:
        self._name = name
        self._work = work
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}
        self._open = False

    def open(self) -> None:
        """Begin with what was added so far."""
        self._open = True
        for key in list(self._again):
            self.add(key)

    def add(self, key: str) -> None:
        """Have the work done for a key."""
        if not self._open or key in self._tasks:
            self._again.add(key)
            return
        self._again.discard(key)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        task = asyncio.create_task(self._run(key))
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._ended(key))

    async def close(self) -> None:
        """Stop all work."""
        self._open = False
        for timer in self._timers.values():
            timer.cancel()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, key: str) -> None:
        try:
            delay = await self._work(key)
        except ApiError as error:
            delay = self._failed(key, error)
        except Exception as error:
            log.exception("%s %s", self._name, key)
            delay = self._failed(key, error)
        else:
            self._failures.pop(key, None)
        if delay is not None:
            self._timers[key] = asyncio.get_running_loop().call_later(delay, self.add, key)

    def _failed(self, key: str, error: Exception) -> float:
        attempt = self._failures[key] = self._failures.get(key, 0) + 1
        log.log(logging.WARNING if attempt == 5 else logging.DEBUG, "%s: %s (trying again)", self._name, error)
        return backoff(attempt)

    def _ended(self, key: str) -> None:
        del self._tasks[key]
        if key in self._again and self._open:
            self.add(key)
