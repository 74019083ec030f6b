"""The operator as a process of its own, and what it takes of the machine."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.error import URLError

from agentstop.playground.node.guardian.process_tree import PR_SET_PDEATHSIG, prctl

READY_TIMEOUT_SECONDS: Final = 300.0
STOP_TIMEOUT_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.05


class OperatorFailedError(Exception):
    """The operator did not become ready; the message names its log."""


@dataclass(frozen=True)
class OperatorProcess:
    """A running operator."""

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
async def operator(namespace: str, log: Path) -> AsyncIterator[OperatorProcess]:
    """Start the operator for one namespace, wait until it is ready, and end it afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "agentstop.cli.main", "run", "-n", namespace, "--health-port", str(port)]
    with log.open("wb") as output:
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output, preexec_fn=end_with_us)
        try:
            await _until_ready(process, f"http://127.0.0.1:{port}/readyz", log)
            yield OperatorProcess(process.pid, time.perf_counter() - started)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()


def end_with_us() -> None:
    """Have this process end when the one that started it does: however a run ends, nothing of it stays."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


async def _until_ready(process: asyncio.subprocess.Process, url: str, log: Path) -> None:
    end = time.perf_counter() + READY_TIMEOUT_SECONDS
    while time.perf_counter() < end:
        if process.returncode is not None:
            raise OperatorFailedError(f"the operator ended with code {process.returncode}; see {log}")
        if await asyncio.to_thread(_says_yes, url):
            return
        await asyncio.sleep(POLL_SECONDS)
    raise OperatorFailedError(f"the operator was not ready within {READY_TIMEOUT_SECONDS:.0f} s; see {log}")


def _says_yes(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  (our own, on loopback)
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
