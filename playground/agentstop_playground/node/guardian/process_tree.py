"""Descendants of a process: finding, keeping and killing them (Linux)."""

import contextlib
import ctypes
import os
import signal
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    """Call prctl(2) with one argument; raises OSError."""
    if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def children_of(pid: int) -> list[int]:
    """PIDs of the living and zombie children of a process; empty if it is gone.

    Reading it is exact for our own children: only we reap them, so the kernel's list does not shrink while it is read.
    """
    found: list[int] = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - names are all we need, and this runs for every exit
        for task in tasks:
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:  # noqa: PTH123 - as above
                found.extend(int(word) for word in file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        return found
    return found


def children_are_listed() -> bool:
    """Whether this kernel tells a process's children (CONFIG_PROC_CHILDREN)."""
    return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists()


def kill_tree(pid: int) -> None:
    """Send SIGKILL to a process and all its descendants, the ancestors first so that they start nothing new."""
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        # Gone already, or it changed its user and is out of our reach; its children may not be.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(current, signal.SIGKILL)
        waiting.extend(children_of(current))


def kill_all_descendants() -> None:
    """Kill and reap until this process has no child left."""
    killed: set[int] = set()
    while True:
        for pid in children_of(os.getpid()):
            if pid not in killed:
                killed.add(pid)
                kill_tree(pid)
        try:
            reaped, _ = os.waitpid(-1, 0)
            while reaped:
                killed.discard(reaped)
                reaped, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
