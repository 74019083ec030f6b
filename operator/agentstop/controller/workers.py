"""Workers: they take keys from a queue, have a pass made over each, and give back what has to be made again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from agentstop.cluster.queue import WorkQueue
from agentstop.controller.retry import RetryError
from agentstop.workloads.unreadable import told

log = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)


class Workers(Generic[Key]):
    """Work a queue off.

    `reconcile` makes one pass over a key and returns whether it acted, as against looked on; RetryError and whatever
    else it raises has the key worked on again after a pause. `count` is told how each pass went: success, retry, error.
    """

    def __init__(
        self,
        queue: WorkQueue[Key],
        reconcile: Callable[[Key], Awaitable[bool]],
        count: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._count = count
        self._said: dict[Key, str] = {}
        """What was logged of a key since it last succeeded: it fails again and again, and that is said once."""

    def start(self, number: int, *, urgent_only: bool) -> list[asyncio.Task[None]]:
        """Start so many workers, which go on until they are cancelled; `urgent_only` ones take nothing but stops."""
        return [asyncio.create_task(self._work(urgent_only=urgent_only), name="worker") for _ in range(number)]

    async def _work(self, *, urgent_only: bool) -> None:
        while True:
            key = await self._queue.get(urgent_only=urgent_only)
            try:
                acted = await self._reconcile(key)
            except RetryError as error:
                self._count("retry")
                if not error.expected and self._is_news(key, str(error)):
                    log.warning("%s is tried again: %s", key, error)
                self._queue.retry(key)
            except Exception as error:
                self._count("error")
                if self._is_news(key, told(error)):
                    log.exception("%s could not be decided on, and is tried again", key)
                self._queue.retry(key)
            else:
                if acted:
                    self._count("success")
                self._queue.succeeded(key)
                self._said.pop(key, None)
            finally:
                self._queue.done(key)
            # A pass that sends nothing waits for nothing: without this a long queue would hold up every watch event.
            await asyncio.sleep(0)

    def _is_news(self, key: Key, text: str) -> bool:
        news = self._said.get(key) != text
        self._said[key] = text
        return news
