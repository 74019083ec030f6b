"""The console script as a user runs it: in a pipe, or in a terminal."""

import asyncio
import fcntl
import json
import os
import pty
import signal
import struct
import sys
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.programs import ROOT, Program
from tests.support.waiting import PATIENCE

COMMAND = (sys.executable, "-m", "agentstop.cli.main")


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def line(self) -> str:
        """The one line of an error."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("agentstop: "), self.err
        return lines[0].removeprefix("agentstop: ")


def environment(kubeconfig: Path | str | None, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    kept.pop("KUBECONFIG", None)
    given = {"KUBECONFIG": str(kubeconfig)} if kubeconfig is not None else {}
    return {**kept, "PYTHONPATH": str(ROOT / "operator"), "TERM": "xterm-256color", **given, **more}


@dataclass(frozen=True)
class Cli:
    """The command against one cluster."""

    kubeconfig: Path | None
    namespace: str = "default"

    def __call__(self, *words: str, **more: str) -> "asyncio.Task[Result]":
        """Run it in a pipe."""
        return asyncio.create_task(self._run(words, more))

    async def _run(self, words: tuple[str, ...], more: dict[str, str]) -> Result:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *words,
            env=environment(self.kubeconfig, **more),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        finally:
            if process.returncode is None:
                process.kill()
        return Result(process.returncode or 0, out.decode(), err.decode())


class Terminal:
    """The command in a terminal of its own."""

    def __init__(self, program: Program, master: int) -> None:
        self._program = program
        self._master = master
        self._text = ""

    @classmethod
    async def start(cls, cli: Cli, folder: Path, *words: str, columns: int = 110, **more: str) -> "Terminal":
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        os.set_blocking(master, False)
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *words,
            env=environment(cli.kubeconfig, **more),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            # A test run in the background ignores Ctrl-C, and so would all that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        os.close(slave)
        return cls(Program(process, folder / "unused"), master)

    def text(self) -> str:
        """All that was shown up to now."""
        try:
            while more := os.read(self._master, 65_536):
                self._text += more.decode(errors="replace")
        except OSError:
            pass
        return self._text

    async def shows(self, words: str) -> None:
        """Wait until something was shown."""
        async with asyncio.timeout(PATIENCE):
            while words not in self.text():
                assert self._program.running or words in self.text(), self._text
                await asyncio.sleep(0.02)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        os.kill(self._program.pid, 2)

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE):
            while self._program.running:
                self.text()
                await asyncio.sleep(0.02)
        self.text()
        os.close(self._master)
        return await self._program.ended()
