"""postStart and preStop hooks: ``exec`` and ``sleep``.

https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/
"""

import asyncio
import logging
import signal
from collections.abc import Callable

from agentstop_playground.node.containers import Container, Ending
from agentstop_playground.node.processes import Process, ProcessHost, StartError

log = logging.getLogger(__name__)


class Hooks:
    """The running hooks of one pod."""

    def __init__(self, host: ProcessHost, pod: str, on_end: Callable[[], None]) -> None:
        """``pod`` is its UID."""
        self._host = host
        self._pod = pod
        self._on_end = on_end
        self._tasks: set[asyncio.Task[None]] = set()
        self._after_start: tuple[Container, Process] | None = None

    async def after_start(self, container: Container) -> str | None:
        """Run the postStart hook to its end, however long that takes; returns why it failed, if it did."""
        hook = (container.spec.get("lifecycle") or {}).get("postStart") or {}
        if "sleep" in hook:
            await asyncio.sleep(float(hook["sleep"].get("seconds") or 0))
        if "exec" not in hook:
            return None
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def started(process: Process) -> None:
            self._after_start = container, process
            if container.process is None:
                self.container_ended(container)

        try:
            await self._host.start(
                list(hook["exec"].get("command") or []),
                env=container.env,
                cwd=container.cwd,
                log_file=None,
                on_start=started,
                on_exit=lambda exit_: ended.set_result(exit_.exit_code),
                pod=self._pod,
            )
        except StartError as error:
            return str(error)
        code = await ended
        self._after_start = None
        return f"command exited with {code}" if code else None

    def container_ended(self, container: Container) -> None:
        """A container has ended, and takes the process of its postStart hook with it."""
        if self._after_start is not None and self._after_start[0] is container:
            self._host.signal(self._after_start[1], signal.SIGKILL)

    def start(self, container: Container) -> None:
        """Start the preStop hook, if the container has one that can be run here."""
        hook = (container.spec.get("lifecycle") or {}).get("preStop") or {}
        ending = container.ending
        if ending is None or not ("exec" in hook or "sleep" in hook):
            return
        ending.hook_running = True
        if "exec" in hook:
            ending.hook_alive = True
            task = asyncio.create_task(self._execute(container, list(hook["exec"].get("command") or []), ending))
        else:
            task = asyncio.create_task(self._sleep(float(hook["sleep"].get("seconds") or 0), ending))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def end(self, ending: Ending) -> None:
        """The container has ended, and its hook with it."""
        ending.hook_running = False
        if ending.hook_process is not None:
            self._host.signal(ending.hook_process, signal.SIGKILL)

    def close(self) -> None:
        """Stop waiting for hooks."""
        for task in self._tasks:
            task.cancel()

    async def _sleep(self, seconds: float, ending: Ending) -> None:
        await asyncio.sleep(seconds)
        ending.hook_running = False
        self._on_end()

    async def _execute(self, container: Container, command: list[str], ending: Ending) -> None:
        def ended() -> None:
            ending.hook_running = ending.hook_alive = False
            ending.hook_process = None
            self._on_end()

        def started(process: Process) -> None:
            ending.hook_process = process
            if container.process is None:
                # The container ended while its hook was being started.
                self._host.signal(process, signal.SIGKILL)

        try:
            await self._host.start(
                command,
                env=container.env,
                cwd=container.cwd,
                log_file=None,
                on_start=started,
                on_exit=lambda _: ended(),
                pod=self._pod,
            )
        except StartError as error:
            log.warning("preStop hook of container %s: %s", container.name, error)
            ended()
