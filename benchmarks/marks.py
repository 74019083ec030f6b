"""What the watches showed, and when: the moments that everything is measured by."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

from tests.support.kube import Kube, KubeError, Object

WATCH_SECONDS: Final = 3600


class Stage(StrEnum):
    """What a watch showed of a workload that is to be stopped."""

    RUNNING = "running"
    """All of its pods run, and so says its task if it has one."""
    EFFECT = "effect"
    """The API server accepted the change that ends the processes."""
    GONE = "gone"
    """All of its pods are gone."""
    END = "end"
    """Whoever stops it says that it is over."""


class TooSlowError(Exception):
    """What was waited for did not come; the message says what."""


class Marks:
    """The first moment (time.perf_counter) that each stage of each subject was seen."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, Stage], float] = {}
        self._parts: defaultdict[tuple[str, Stage], set[str]] = defaultdict(set)
        self._waiters: dict[tuple[str, Stage], asyncio.Future[float]] = {}

    def mark(self, subject: str, stage: Stage, at: float, *, part: str = "", parts: int = 1) -> None:
        """Note the moment in which a part of the subject came to the stage; the last of so many parts counts."""
        key = (subject, stage)
        if key in self._at:
            return
        self._parts[key].add(part)
        if len(self._parts[key]) < parts:
            return
        del self._parts[key]
        self._at[key] = at
        waiter = self._waiters.pop(key, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(at)

    async def wait(self, subject: str, stage: Stage, timeout: float) -> float:
        """Wait for a stage, and return its moment. Raises TooSlowError after so many seconds."""
        key = (subject, stage)
        if key in self._at:
            return self._at[key]
        waiter = self._waiters.setdefault(key, asyncio.get_running_loop().create_future())
        try:
            return await asyncio.wait_for(asyncio.shield(waiter), timeout)
        except TimeoutError as error:
            raise TooSlowError(f"{subject} did not come to stage {stage} within {timeout:.0f} s") from error

    async def wait_all(self, subjects: Iterable[str], stage: Stage, timeout: float) -> list[float]:
        """Wait for a stage of all of them, and return the moments in their order."""
        end = time.perf_counter() + timeout
        return [await self.wait(each, stage, max(0.05, end - time.perf_counter())) for each in subjects]


class Watching:
    """Background watches of collections; what they bring goes to a function as it arrives."""

    def __init__(self, api: Kube) -> None:
        self._api = api
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, path: str, tell: Callable[[float, str, Object], None]) -> None:
        """Watch a collection from now on; what is there already is not told."""
        version = (await self._api.call("GET", f"{path}?limit=1"))["metadata"]["resourceVersion"]
        self._tasks.append(asyncio.create_task(self._follow(path, version, tell), name=f"watch {path}"))

    async def stop(self) -> None:
        """End all watches. Raises what ended one of them before."""
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    async def _follow(self, path: str, version: str, tell: Callable[[float, str, Object], None]) -> None:
        while True:
            async for at, kind, thing in self._api.arrivals(
                path, version, seconds=WATCH_SECONDS, allowWatchBookmarks="true"
            ):
                if kind == "ERROR":
                    raise KubeError(thing.get("code", 0), {"message": f"the watch of {path} broke: {thing}"})
                version = thing["metadata"]["resourceVersion"]
                if kind != "BOOKMARK":
                    tell(at, kind, thing)
