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


def state_of(pid: int) -> str:
    """State of a process: ``T`` for one that is stopped, else as proc(5) has it; empty where there is none.

    With SIGSTOP on its way, one that waits in the kernel (``D``) is stopped: none of its own code is run before it gets
    that. The parent of a vfork(2) waits so until its child has come to exec, and a stopped child does not.
    """
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123 - as above
            fields = dict(line.split(b":\t", 1) for line in file.read().splitlines() if b":\t" in line)
        state = fields[b"State"][:1].decode()
        pending = int(fields[b"ShdPnd"], 16) | int(fields[b"SigPnd"], 16)
    except (FileNotFoundError, ProcessLookupError, KeyError):
        return ""
    on_its_way = state == "D" and pending >> (signal.SIGSTOP - 1) & 1
    return "T" if state == "t" or on_its_way else state


def signal_tree(pid: int, number: int) -> tuple[int, int]:
    """Signal all living processes of a tree, or none with 0; returns how many there were and how many were stopped.

    Ancestors first: what is stopped starts nothing new, so where all were stopped none was overlooked. What is stopped
    gets no SIGSTOP, and what runs no SIGCONT.
    """
    in_vain = {signal.SIGSTOP: True, signal.SIGCONT: False}.get(signal.Signals(number)) if number else None
    waiting, found, stopped = [pid], 0, 0
    while waiting:
        current = waiting.pop()
        state = state_of(current)
        halted = state == "T"
        if state not in {"", "Z", "X"}:
            found += 1
            stopped += halted
            if number and halted is not in_vain:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(current, number)
        waiting.extend(children_of(current))
    return found, stopped


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
