"""Starting, signalling and losing processes: the asyncio side of the guardian."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentstop_playground.node import guardian
from agentstop_playground.node.guardian.process_tree import children_are_listed

log = logging.getLogger(__name__)

StartCallback = Callable[["Process"], None]
ExitCallback = Callable[["Exit"], None]

LOST_EXIT_CODE = 137
"""Exit code of processes that went with a guardian that was killed: 128 + SIGKILL, which is how they ended."""
GUARDIAN_END_TIMEOUT = 10.0
"""Seconds after which the node stops waiting for its guardian to have killed everything."""


class StartError(Exception):
    """The command did not start; the message is meant for the pod's status."""


@dataclass(frozen=True)
class Crowd:
    """The living processes of a pod."""

    processes: int = 0
    stopped: int = 0
    """How many of them a signal has stopped."""


@dataclass(frozen=True)
class Exit:
    """The end of a first process and of everything that it had started."""

    exit_code: int
    """As container runtimes give it: 128 + signal number for a process that was killed."""
    ended_at: float
    """Seconds since the epoch."""


@dataclass(eq=False)
class Process:
    """A started first process."""

    key: int
    on_start: StartCallback
    on_exit: ExitCallback
    pid: int = 0
    started_at: float = 0.0
    """Seconds since the epoch."""
    started: asyncio.Future[None] | None = field(default=None, repr=False)
    pod: str = ""
    """UID of the pod that it is of."""


def _popen(command: list[str], descriptor: int) -> "subprocess.Popen[bytes]":
    # Not asyncio's subprocess: it needs a child watcher, which a loop outside of the main thread may not have.
    return subprocess.Popen(command, pass_fds=[descriptor], stdin=subprocess.DEVNULL, start_new_session=True)


class _Channel(asyncio.Protocol):
    """The socket to one guardian."""

    def __init__(self, on_message: Callable[[dict[str, object]], None], on_lost: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._received = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            try:
                self._on_message(json.loads(line))
            except Exception:
                log.exception("a message of the guardian was not handled")

    def connection_lost(self, _exc: Exception | None) -> None:
        self._on_lost()


class ProcessHost:
    """All local processes of one node, behind one guardian, which is started again should it be killed."""

    def __init__(self) -> None:
        self._processes: dict[int, Process] = {}
        self._last_key = 0
        self._last_ask = 0
        self._asks: dict[int, asyncio.Future[Crowd]] = {}
        self._closed: set[str] = set()
        self._program: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._ready = asyncio.Event()
        self._closing = False
        self._recovery: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._one_ended = asyncio.Event()

    async def open(self) -> None:
        """Start the guardian; raises RuntimeError where the system lacks what it needs."""
        if not sys.platform.startswith("linux"):
            raise RuntimeError(
                "the playground's node needs Linux (child subreapers, /proc); run it in a container or VM"
            )
        if not children_are_listed():
            raise RuntimeError(
                "the playground's node needs a kernel with CONFIG_PROC_CHILDREN (/proc/PID/task/TID/children)"
            )
        await self._spawn()

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        # Isolated and without site: the guardian needs the standard library only, and starts in a few milliseconds.
        command = [sys.executable, "-I", "-S", "-c", guardian.PROGRAM, str(guardian.LOCATION)]
        command += [str(theirs.fileno()), str(os.getpid())]
        self._program = _popen(command, theirs.fileno())
        theirs.close()
        self._lost.clear()
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_connection(lambda: _Channel(self._handle, self._on_lost), sock=ours)
        self._ready.set()

    async def close(self, grace: float) -> None:
        """End all processes: SIGTERM, after ``grace`` seconds SIGKILL. On return none is left."""
        self._closing = True
        self._ready.set()
        for process in list(self._processes.values()):
            self.signal(process, signal.SIGTERM)
        end = time.monotonic() + grace
        while self._processes and not self._lost.is_set() and (left := end - time.monotonic()) > 0:
            self._one_ended.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._one_ended.wait(), left)
        if self._recovery is not None:
            self._recovery.cancel()
        if self._transport is not None:
            self._transport.close()
        if self._program is not None:
            await self._wait_for_end(self._program)

    async def _wait_for_end(self, program: "subprocess.Popen[bytes]") -> None:
        try:
            await asyncio.to_thread(program.wait, GUARDIAN_END_TIMEOUT)
        except subprocess.TimeoutExpired:
            log.error("processes of the node are still not gone after %.0f s", GUARDIAN_END_TIMEOUT)

    async def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log_file: Path | None,
        on_start: StartCallback,
        on_exit: ExitCallback,
        pod: str = "",
    ) -> None:
        """Start a command of a pod in a session of its own; raises StartError.

        ``on_start`` is called when it runs, ``on_exit`` once it and all its descendants are gone: always in this order,
        both possibly before this call returns.
        """
        await self._ready.wait()
        if self._closing:
            raise StartError("the node is stopping")
        if pod in self._closed:
            raise StartError("unable to apply cgroup configuration: the pod was killed by its node")
        self._last_key += 1
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        process = Process(self._last_key, on_start, on_exit, started=started, pod=pod)
        self._processes[process.key] = process
        order = {"op": "start", "key": process.key, "argv": list(argv), "env": dict(env), "cwd": str(cwd)}
        self._send({**order, "log": str(log_file) if log_file else ""})
        await started

    def signal(self, process: Process, number: signal.Signals) -> None:
        """Signal the first process; does nothing if it has ended."""
        if process.key in self._processes:
            self._send({"op": "signal", "key": process.key, "signal": int(number)})

    def close_pod(self, pod: str) -> None:
        """Have nothing of a pod started any more."""
        self._closed.add(pod)

    def is_empty(self, pod: str) -> bool:
        """Whether nothing of a pod is left."""
        return all(each.pod != pod for each in self._processes.values())

    async def signal_all(self, pod: str, number: int) -> Crowd:
        """Signal all processes of a pod, or none with 0; returns how they were before that."""
        keys = [each.key for each in self._processes.values() if each.pod == pod]
        if not keys or not self._ready.is_set():
            return Crowd()
        self._last_ask += 1
        answer: asyncio.Future[Crowd] = asyncio.get_running_loop().create_future()
        self._asks[self._last_ask] = answer
        self._send({"op": "signal all", "ask": self._last_ask, "keys": keys, "signal": number})
        return await answer

    def _send(self, order: Mapping[str, object]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(json.dumps(order).encode() + b"\n")

    def _handle(self, message: dict[str, object]) -> None:
        match message:
            case {"event": "started", "key": int(key), "pid": int(pid), "at": float(at)}:
                process = self._processes[key]
                process.pid = pid
                process.started_at = at
                process.on_start(process)
                self._settle(process, None)
            case {"event": "failed", "key": int(key), "error": str(error)}:
                self._settle(self._processes.pop(key), StartError(error))
            case {"event": "ended", "key": int(key), "exitCode": int(code), "at": float(at)}:
                self._one_ended.set()
                self._processes.pop(key).on_exit(Exit(code, at))
            case {"event": "signalled", "ask": int(ask), "processes": int(found), "stopped": int(stopped)}:
                answer = self._asks.pop(ask)
                if not answer.done():
                    answer.set_result(Crowd(found, stopped))
            case {"event": "unreachable", "key": int(key), "error": str(error)}:
                log.error("process %d cannot be signalled: %s", self._processes[key].pid, error)

    def _settle(self, process: Process, error: StartError | None) -> None:
        if process.started is None or process.started.done():
            return
        if error is None:
            process.started.set_result(None)
        else:
            process.started.set_exception(error)

    def _on_lost(self) -> None:
        self._lost.set()
        self._one_ended.set()
        for answer in self._asks.values():
            if not answer.done():
                answer.set_result(Crowd())
        self._asks.clear()
        if not self._closing:
            self._ready.clear()
            log.error("the guardian of the node's processes was killed, and they with it; starting another one")
            self._recovery = asyncio.create_task(self._recover())

    async def _recover(self) -> None:
        if self._program is not None:
            # The socket is closed and the outer process has ended: only now is every process known to be gone.
            await self._wait_for_end(self._program)
        lost, self._processes = list(self._processes.values()), {}
        await self._spawn()
        for process in lost:
            if process.pid:
                process.on_exit(Exit(LOST_EXIT_CODE, time.time()))
            else:
                self._settle(process, StartError("the guardian of the node's processes was killed"))
