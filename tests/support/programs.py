"""Programs that the tests start: each ends by its own pid, and with the test run if that is killed."""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

from agentstop_playground.node.guardian.process_tree import PR_SET_PDEATHSIG, prctl
from tests.support.forks import Fork

ROOT = Path(__file__).resolve().parents[2]
"""The root of the source tree."""

PORTS = range(20_000, 32_000)
"""Ports for programs; Linux takes those of connections from 32768 on."""

END_SECONDS = 30.0
"""How long a program may take to end after SIGTERM before it is killed."""

TOLD_CHARACTERS = 2000
"""So much of the output is told of a program that ended when it should not."""


def free_port() -> int:
    """Return a port of loopback that nobody listens on.

    None of those that the kernel gives to connections, so that it stays free until a program listens on it.
    """
    while True:
        port = PORTS.start + secrets.randbelow(len(PORTS))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    paths = [str(ROOT / "operator"), str(ROOT / "playground"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **(more or {})}


def _end_with_us() -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process(Protocol):
    """What is needed of a process."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def returncode(self) -> int | None:
        """Its exit code; None while it runs."""

    def send_signal(self, number: int, /) -> None:
        """Send it a signal."""

    async def wait(self) -> int:
        """Wait for its end."""


class Program:
    """One process, with its output in a file."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self.log = log

    @classmethod
    async def start(cls, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> "Program":
        """Start a program; standard output and error go to the file `log`."""
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(environment),
                preexec_fn=_end_with_us,
            )
        return cls(process, log)

    @classmethod
    async def fork(
        cls, module: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> "Program":
        """Start a module of ours as `python -m` would, but sooner."""
        return cls(await Fork.start(module, arguments, log, _environment(environment)), log)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    def check(self) -> bool:
        """Return True while it runs; raises RuntimeError, with the end of its output, once it has ended."""
        if not self.running:
            raise RuntimeError(f"{self.log.stem} ended: {self.text()[-TOLD_CHARACTERS:]}")
        return True

    def text(self) -> str:
        """Return what it wrote up to now."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.running:
            self._process.send_signal(number)

    async def ended(self, seconds: float = END_SECONDS) -> int:
        """Wait for its end and return its exit code; raises TimeoutError."""
        return await asyncio.wait_for(self._process.wait(), seconds)

    async def end(self, seconds: float = END_SECONDS) -> int:
        """Ask it to end, and kill it if it does not within the time; returns its exit code."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return await self.ended(seconds)
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """End it with SIGKILL."""
        self.signal(signal.SIGKILL)
        return await self.ended()


@asynccontextmanager
async def running(starting: Awaitable[Program]) -> AsyncIterator[Program]:
    """Start a program, and end it on leaving."""
    program = await starting
    try:
        yield program
    finally:
        await program.end()
