"""A command that a verb runs in its own place: signals are passed on to it, and its exit code back."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

BY_SIGNAL: Final = 128
"""What a shell adds to the number of the signal that ended a command."""

FORWARDED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

FROM_TERMINAL: Final = frozenset({signal.SIGINT, signal.SIGQUIT})
"""Signals that a terminal sends to all processes in its foreground, to the command as well."""


def is_there(program: str) -> bool:
    """Whether there is a program of this name."""
    return shutil.which(program) is not None


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end and return its exit code, as a shell has it. Raises OSError where it cannot be run."""
    signals: list[int] = []
    process: subprocess.Popen[bytes] | None = None

    def forward(number: int, _: FrameType | None) -> None:
        if process is None:
            signals.append(number)
        elif not (number in FROM_TERMINAL and _in_foreground()):
            process.send_signal(number)

    with _handled(FORWARDED, forward):
        process = subprocess.Popen(command, env={**os.environ, **environment})
        for number in signals:
            process.send_signal(number)
        code = process.wait()
    return BY_SIGNAL - code if code < 0 else code


def wait_for_the_end() -> None:
    """Wait until somebody asks this process to end."""
    over = threading.Event()
    with _handled(ENDING, lambda *_: over.set()):
        over.wait()


@contextmanager
def _handled(numbers: Sequence[signal.Signals], handler: object) -> Iterator[None]:
    """Have signals handled like this for a while; those that are ignored stay so, as with nohup."""
    before = {each: signal.getsignal(each) for each in numbers}
    for each, usual in before.items():
        if usual is not signal.SIG_IGN:
            signal.signal(each, handler)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for each, usual in before.items():
            signal.signal(each, usual)


def _in_foreground() -> bool:
    """Whether this process, and with it the command, gets the signals of a terminal."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
