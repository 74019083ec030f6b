"""The two processes of the guardian."""

import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from .child import become, reason_of
from .log_file import LogFile
from .process_tree import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_PDEATHSIG,
    children_of,
    kill_all_descendants,
    kill_tree,
    prctl,
    signal_tree,
)

READ_SIZE = 64 * 1024
DRAIN_READS = 64
"""How often an ended container's pipe is read at most: more than any pipe holds."""


class Child:
    """One first process: of a container, or of a hook that runs beside it."""

    def __init__(self, key: int, pid: int, pipe: int, log: LogFile | None) -> None:
        self.key = key
        self.pid = pid
        self.pipe = pipe
        self.log = log
        self.exit_code = 0
        self.ended_at = 0.0


class Guardian:
    """The inner process: one loop over the node's socket, SIGCHLD and the containers' pipes."""

    def __init__(self, control: socket.socket, node_pid: int, outer_pid: int) -> None:
        self._pid = os.getpid()
        self._control = control
        self._received = b""
        self._ending = False
        self._running: dict[int, Child] = {}
        self._draining: dict[int, Child] = {}
        self._by_key: dict[int, Child] = {}
        # Leftovers of ended containers, each with the containers that it may belong to.
        self._leftovers: dict[int, frozenset[int]] = {}
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self._limits[1], self._limits[1]))
        self._null = os.open(os.devnull, os.O_RDWR)
        self._selector = selectors.DefaultSelector()
        self._wake_read, wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, self._note)
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._watch(self._wake_read, self._reap)
        self._watch(control.fileno(), self._receive)
        try:
            # A pidfd and not PR_SET_PDEATHSIG: the latter follows the thread that started us, not the process.
            self._watch(os.pidfd_open(node_pid), self._node_gone)
        except ProcessLookupError:
            self._ending = True
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != outer_pid:
            self._ending = True

    def run(self) -> None:
        """Serve the node until it ends; on return no descendant is left."""
        while not self._ending:
            ready = [key.data for key, _ in self._selector.select()]
            # The node's orders go before reading output, so that a talkative container delays no signal.
            for order, callback in sorted(ready, key=lambda item: item[0]):
                callback()
                if order and self._ending:
                    break
        kill_all_descendants()

    def _watch(self, descriptor: int, callback: Callable[[], object], order: int = 0) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, (order, callback))

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        """SIGCHLD needs a handler to reach the wake-up pipe; the work is done in the loop."""

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._ending = True

    def _node_gone(self) -> None:
        self._ending = True

    def _receive(self) -> None:
        try:
            data = self._control.recv(READ_SIZE * 16)
        except ConnectionError:
            data = b""
        if not data:
            self._ending = True
            return
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if order["op"] == "start":
                self._start(order)
            elif order["op"] == "signal":
                self._signal(order["key"], order["signal"])
            elif order["op"] == "signal all":
                self._signal_all(order["ask"], order["keys"], order["signal"])

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._control.sendall(json.dumps(message).encode() + b"\n")
        except ConnectionError:
            self._ending = True

    def _signal(self, key: int, number: int) -> None:
        child = self._by_key.get(key)
        if child is None or child.pid not in self._running:
            return
        try:
            # Only the first process gets it, as from a container runtime; the others end with it.
            os.kill(child.pid, number)
        except PermissionError as error:
            self._send({"event": "unreachable", "key": key, "error": reason_of(error)})

    def _signal_all(self, ask: int, keys: list[int], number: int) -> None:
        """Signal first processes and all that they have started; say how many there are, and how many were stopped."""
        found, stopped = 0, 0
        for key in keys:
            child = self._by_key.get(key)
            if child is not None and child.pid in self._running:
                there, halted = signal_tree(child.pid, number)
                found, stopped = found + there, stopped + halted
        self._send({"event": "signalled", "ask": ask, "processes": found, "stopped": stopped})

    def _start(self, order: dict[str, Any]) -> None:
        key: int = order["key"]
        try:
            pid, pipe, problem = self._fork(order)
        except OSError as error:
            self._send({"event": "failed", "key": key, "error": f"cannot start a process: {reason_of(error)}"})
            return
        if problem:
            os.waitpid(pid, 0)
            os.close(pipe)
            self._send({"event": "failed", "key": key, "error": problem})
            return
        child = Child(key, pid, pipe, LogFile(order["log"]) if order["log"] else None)
        self._running[pid] = child
        self._by_key[key] = child
        self._watch(pipe, lambda: self._read(child), order=1)
        self._send({"event": "started", "key": key, "pid": pid, "at": time.time()})

    def _fork(self, order: dict[str, Any]) -> tuple[int, int, str]:
        output, child_output = os.pipe()
        report, child_report = os.pipe()
        os.set_blocking(output, False)
        try:
            pid = os.fork()
        except OSError:
            for descriptor in (output, child_output, report, child_report):
                os.close(descriptor)
            raise
        if pid == 0:
            become(order, self._pid, self._null, child_output, child_report, self._limits)
        os.close(child_output)
        os.close(child_report)
        with os.fdopen(report, "rb") as file:
            # Ends when the exec closes the other side: signals that follow reach the command and not our copy.
            problem = file.read().decode(errors="replace")
        return pid, output, problem

    def _read(self, child: Child) -> bool:
        """Read output once; false at its end or when there is none now."""
        if child.pipe < 0:
            return False
        try:
            data = os.read(child.pipe, READ_SIZE)
        except BlockingIOError:
            return False
        if data:
            if child.log is not None:
                child.log.feed(data)
            return True
        self._close(child)
        return False

    def _close(self, child: Child) -> None:
        if child.pipe >= 0:
            self._selector.unregister(child.pipe)
            os.close(child.pipe)
            child.pipe = -1
        if child.log is not None:
            child.log.finish()

    def _reap(self) -> None:
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            return
        reaped = False
        while True:
            try:
                # Looked at before it is reaped: as long as it is a zombie its PID, and so its group's, is not reused.
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if info is None:
                break
            child = self._running.pop(info.si_pid, None)
            if child is not None:
                self._first_process_ended(child, info)
            os.waitpid(info.si_pid, 0)
            self._leftovers.pop(info.si_pid, None)
            reaped = True
        if reaped:
            self._sweep()

    def _first_process_ended(self, child: Child, info: os.waitid_result) -> None:
        exited = info.si_code == os.CLD_EXITED
        child.exit_code = info.si_status if exited else 128 + info.si_status
        child.ended_at = time.time()
        self._draining[child.key] = child
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # Nobody is left in the group, or only what the sweep finds as well.
            return

    def _sweep(self) -> None:
        """Kill leftovers, and report the containers that have none any more."""
        suspects = frozenset(self._draining)
        for pid in children_of(self._pid):
            if pid not in self._running and pid not in self._leftovers:
                self._leftovers[pid] = suspects
                kill_tree(pid)
        blocked: set[int] = set()
        for owners in self._leftovers.values():
            blocked |= owners
        for key in suspects - blocked:
            self._finish(self._draining.pop(key))

    def _finish(self, child: Child) -> None:
        for _ in range(DRAIN_READS):
            if not self._read(child):
                break
        self._close(child)
        del self._by_key[child.key]
        self._send({"event": "ended", "key": child.key, "exitCode": child.exit_code, "at": child.ended_at})


def main() -> None:
    """Fork into the outer and the inner process, and run both."""
    control = socket.socket(fileno=int(sys.argv[2]))
    node_pid = int(sys.argv[3])
    control.setblocking(True)
    os.set_inheritable(control.fileno(), False)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    outer_pid = os.getpid()
    inner_pid = os.fork()
    if inner_pid == 0:
        Guardian(control, node_pid, outer_pid).run()
        os._exit(0)
    control.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.waitpid(inner_pid, 0)
    kill_all_descendants()
