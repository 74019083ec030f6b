"""Following the tasks of the demo: showing how they change, and waiting for what they should become."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from agentstop.api.task import AgentTask, Phase
from agentstop.cli.demo.display import Display
from agentstop.cli.demo.expectations import AUTOMATIC
from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.resources import task_ref

PAUSE_SECONDS: Final = 0.5
"""Pause between two watches of one task after a failure."""


class NotInTimeError(Exception):
    """Something that should have happened did not, or cannot any more; one line that says what."""


class Following:
    """Watches tasks by their names, and shows every change of their phase."""

    def __init__(self, gateway: Gateway, namespace: str, display: Display) -> None:
        self._gateway = gateway
        self._namespace = namespace
        self._display = display
        self._seen: dict[str, AgentTask] = {}
        self._news = asyncio.Event()
        self._broken: BaseException | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, *names: str) -> None:
        """Begin to follow these tasks."""
        for name in names:
            task = asyncio.create_task(self._follow(name), name=f"follow {name}")
            task.add_done_callback(self._broke)
            self._tasks.append(task)

    async def close(self) -> None:
        """Follow nothing any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until(self, name: str, met: Callable[[AgentTask], bool], what: str, seconds: float) -> AgentTask:
        """Wait for a state of a task, for at most so many seconds; raises NotInTimeError, which says `what` it lacks.

        One caller at a time.
        """
        try:
            async with asyncio.timeout(seconds):
                while name not in self._seen or not met(self._seen[name]):
                    if self._broken is not None:
                        raise self._broken
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise NotInTimeError(f"{name} {what} within {seconds:.0f} s: {self._state(name)}") from None
        return self._seen[name]

    def give_up(self, error: BaseException) -> None:
        """Raise this error to whoever waits, now or later."""
        self._broken = error
        self._news.set()

    def _broke(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.give_up(error)

    def _state(self, name: str) -> str:
        task = self._seen.get(name)
        if task is None:
            return "no such task was seen"
        status = task.status
        return f"it is {status.phase} ({status.message or status.reason or 'the operator has not said why'})"

    async def _follow(self, name: str) -> None:
        ref = task_ref(self._namespace, name)
        while True:
            try:
                async for kind, raw in self._gateway.watch(ref):
                    if kind in {"ADDED", "MODIFIED"}:
                        self._take(name, raw)
            except ApiError:
                await asyncio.sleep(PAUSE_SECONDS)

    def _take(self, name: str, raw: dict[str, Any]) -> None:
        before, after = self._seen.get(name), AgentTask.model_validate(raw)
        seen = after.status.observed_generation > 0
        if seen and (before is None or before.status.phase is not after.status.phase):
            known = before.status.phase if before is not None and before.status.observed_generation else None
            self._display.change(name, known, after.status.phase, note_on(after))
        self._seen[name] = after
        self._news.set()


def note_on(task: AgentTask) -> str:
    """Return what is worth knowing of a task in its phase, in a few words."""
    status = task.status
    if status.stop is None:
        return f"exit code {exit_codes(task)}" if status.phase is Phase.COMPLETED else status.message or ""
    if status.stop.verdict is None:
        automatic = status.stop.reason if status.stop.source in AUTOMATIC else None
        how = f"with {status.stop.origin}" if status.stop.origin else automatic or "SIGTERM now"
        return f"{how}, SIGKILL after {status.stop.grace_period_seconds} s"
    return f"{status.stop.verdict}, exit code {exit_codes(task)}, gone in {stop_seconds(task)}"


def exit_codes(task: AgentTask) -> str:
    """Return the exit codes of a task's containers."""
    pods = task.status.workload.pods if task.status.workload else ()
    codes = [container.exit_code for pod in pods for container in pod.containers]
    return ", ".join("?" if code is None else str(code) for code in codes) or "-"


def stop_seconds(task: AgentTask) -> str:
    """Return how long a task's stop took."""
    stop = task.status.stop
    return "-" if stop is None or stop.duration_seconds is None else f"{stop.duration_seconds:.1f} s"
