"""Our own programs without the second that each takes to import its libraries: forked off a process that has them.

A run of the tests starts some hundreds of them. What is forked runs `python -m MODULE` from its first line on, as a
process with an environment, a command line and a log of its own.
"""

import asyncio
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from agentstop_playground.node.guardian.process_tree import PR_SET_PDEATHSIG, prctl

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "agentstop.controller.operator",
        "agentstop.gateway.server",
        "agentstop_playground.controllers.__main__",
        "agentstop_playground.node.__main__",
        "agentstop_playground.server",
    ]
)


DEEPEST = 50_000
"""So deep may stand-ins for servers, kubelets and controllers go: they read what attackers nest; nobody tries them."""


class Fork:
    """A forked program, with what `asyncio.subprocess.Process` has of one."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(process.sentinel, self._note_end)

    @classmethod
    async def start(cls, module: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> "Fork":
        """Start a module as a program; standard output and error go to the file `log`."""
        process = _process(module, arguments, log, environment)
        # The first one waits until the process that it is forked off has its libraries.
        await asyncio.to_thread(process.start)
        return cls(process)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int, /) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    async def wait(self) -> int:
        """Wait for its end and return its exit code."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def _note_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._ended.set()


def _process(module: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> BaseProcess:
    log.touch()
    return _CONTEXT.Process(target=_run, args=(module, list(arguments), str(log), dict(environment)))


def _run(module: str, arguments: list[str], log: str, environment: dict[str, str]) -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    if module.startswith(("agentstop_playground.", "tests.")):
        sys.setrecursionlimit(DEEPEST)
    sys.modules.pop(f"{module}.__main__", None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
