"""What the watches showed, and when: the moments that everything is measured by."""

import asyncio
import time
from collections.abc import Callable, Iterable
from enum import StrEnum

from benchmarks.api import Api, JsonObject


class Stage(StrEnum):
    """What a watch showed of a workload that is to be stopped."""

    RUNNING = "running"
    EFFECT = "effect"
    """The API server accepted the change that ends the processes."""
    END = "end"
    """Whoever stops it says that it is over."""


class TooSlowError(Exception):
    """What was waited for did not come; the message says what."""


class Marks:
    """The first moment (time.perf_counter) that each stage of each subject was seen."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, Stage], float] = {}
        self._waiters: dict[tuple[str, Stage], asyncio.Future[float]] = {}

    def mark(self, subject: str, stage: Stage, at: float) -> None:
        """Note the moment; only the first one counts."""
        key = (subject, stage)
        if key in self._at:
            return
        self._at[key] = at
        waiter = self._waiters.pop(key, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(at)

    def at(self, subject: str, stage: Stage) -> float | None:
        """Return the moment, if the stage was seen."""
        return self._at.get((subject, stage))

    def forget(self, subject: str) -> None:
        """Forget what was seen of a subject."""
        for stage in Stage:
            self._at.pop((subject, stage), None)

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

    def __init__(self, api: Api) -> None:
        self._api = api
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, path: str, tell: Callable[[float, str, JsonObject], None]) -> None:
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

    async def _follow(self, path: str, version: str, tell: Callable[[float, str, JsonObject], None]) -> None:
        while True:
            async for at, kind, thing in self._api.watch(path, version):
                version = thing["metadata"]["resourceVersion"]
                if kind != "BOOKMARK":
                    tell(at, kind, thing)
