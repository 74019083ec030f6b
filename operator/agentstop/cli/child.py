"""Verbs of this console script as child processes, which never outlive the one that started them."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

END_TIMEOUT_SECONDS: Final = 10.0
"""How long a child may take to end after SIGTERM. The operator needs up to 5, the playground's pods 2."""

MODULE: Final = "agentstop.cli.child_main"
"""What runs in the child. By its name: it imports the verbs, of which some start children."""


class Child:
    """One verb that runs beside us. In a session of its own: Ctrl-C reaches us alone, and we end it in order."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process

    @classmethod
    async def start(
        cls, name: str, arguments: Sequence[str], *, environment: Mapping[str, str], log: Path | None = None
    ) -> "Child":
        """Start a verb with these variables added to ours; its output goes to `log`, or where ours goes.

        To be called in the main thread: the system takes the end of the starting thread for the parent's end.
        """
        command = [sys.executable, "-m", MODULE, str(os.getpid()), *arguments]
        with contextlib.ExitStack() as stack:
            output = None if log is None else stack.enter_context(log.open("ab"))
            process = await asyncio.create_subprocess_exec(
                *command,
                env={**os.environ, **environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return cls(name, process)

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait until it has ended and return its exit code."""
        return await self._process.wait()

    def kill(self) -> None:
        """End it with SIGKILL: nothing of it can take notice."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def stop(self) -> None:
        """Ask it to end, and make it if it does not."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), END_TIMEOUT_SECONDS)
        except TimeoutError:
            self.kill()
            await self._process.wait()


def last_line(log: Path) -> str:
    """Return the last line of what a child has said."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
