"""Operator and gateway as processes of their own, and what they take of the machine."""

import asyncio
import os
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.error import URLError

from tests.support.programs import Program, free_port, running

READY_TIMEOUT_SECONDS: Final = 300.0
POLL_SECONDS: Final = 0.05


class OperatorFailedError(Exception):
    """The operator or the gateway did not become ready; the message names its log."""


@dataclass(frozen=True)
class OperatorProcess:
    """A running operator, or a gateway."""

    pid: int
    ready_seconds: float
    """From the start of the process until /readyz said yes."""

    def memory_mib(self) -> float:
        """Return the resident memory now, in MiB."""
        return self._memory("VmRSS")

    def peak_mib(self) -> float:
        """Return the most resident memory that it ever had, in MiB."""
        return self._memory("VmHWM")

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _memory(self, field: str) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
        raise OperatorFailedError(f"/proc/{self.pid}/status has no {field}")


@asynccontextmanager
async def operator(namespace: str | None, log: Path, *options: str) -> AsyncIterator[OperatorProcess]:
    """Start the operator for one namespace or for all, wait until it is ready, and end it afterwards."""
    port = free_port()
    arguments = ["run", "--health-port", str(port), *(["-n", namespace] if namespace is not None else []), *options]
    async with started(arguments, port, log) as process:
        yield process


@asynccontextmanager
async def component(node: str, root: Path, namespace: str, log: Path) -> AsyncIterator[OperatorProcess]:
    """Start the component of a node for one namespace in the same way; `root` is where its pods' cgroups are."""
    port = free_port()
    arguments = ["node", "--node-name", node, "--cgroup-root", str(root), "-n", namespace, "--health-port", str(port)]
    async with started(arguments, port, log) as process:
        yield process


@asynccontextmanager
async def started(arguments: Sequence[str], port: int, log: Path) -> AsyncIterator[OperatorProcess]:
    """Start `agentstop` with these arguments, wait until it is ready by this port, and end it afterwards."""
    began = time.perf_counter()
    async with running(Program.start([sys.executable, "-m", "agentstop.cli.main", *arguments], log)) as program:
        await _until_ready(program, f"http://127.0.0.1:{port}/readyz", log)
        yield OperatorProcess(program.pid, time.perf_counter() - began)


async def _until_ready(program: Program, url: str, log: Path) -> None:
    end = time.perf_counter() + READY_TIMEOUT_SECONDS
    while time.perf_counter() < end:
        if not program.running:
            raise OperatorFailedError(f"the process ended; see {log}")
        if await asyncio.to_thread(_says_yes, url):
            return
        await asyncio.sleep(POLL_SECONDS)
    raise OperatorFailedError(f"the process was not ready within {READY_TIMEOUT_SECONDS:.0f} s; see {log}")


def _says_yes(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  (our own, on loopback)
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
