"""How long the plugin takes to start, beside an interpreter that does nothing."""

import asyncio
import json
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.contenders import task_manifest
from benchmarks.kubelet import now
from benchmarks.results import BARE_PYTHON, COMPLETE_NAME, COMPLETE_VERB, STOP_NAME, STOP_REQUEST, Latencies, Startup

RUNS: Final = 30
WARM_UP: Final = 3
"""Runs of each before those that count: the first ones read files from the disk."""

NAMESPACE: Final = "default"
NAME: Final = "researcher"


class StartFailedError(Exception):
    """A program did not do what it has to; the message says which and what."""


@dataclass(frozen=True)
class _Program:
    name: str
    command: tuple[str, ...]
    code: int
    """Its exit code."""
    says: bytes = b""
    """What its output has in it."""
    asks: str = ""
    """What the time until its first request is called, if it makes one."""


def _programs() -> list[_Program]:
    here = Path(sys.executable).parent
    complete = str(here / "kubectl_complete-agentstop")
    return [
        _Program(BARE_PYTHON, (sys.executable, "-c", "pass"), 0),
        _Program(STOP_NAME, (str(here / "agentstop"), "stop", NAME), 0, NAME.encode(), STOP_REQUEST),
        _Program(COMPLETE_VERB, (complete, "sto"), 0, b"stop"),
        _Program(COMPLETE_NAME, (complete, "stop", ""), 0, NAME.encode()),
    ]


class _Server:
    """An API server that knows one running task, and notes when it was asked first."""

    def __init__(self) -> None:
        self.asked_at: float | None = None
        task = task_manifest(NAME)
        task["metadata"] |= {"namespace": NAMESPACE, "uid": NAME, "resourceVersion": "1", "generation": 1}
        task["metadata"]["creationTimestamp"] = now()
        self._one = json.dumps(task | {"status": {"phase": "Running"}}).encode()
        self._all = json.dumps({"metadata": {}, "items": [json.loads(self._one)]}).encode()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer every request of a connection."""
        while (head := await _head(reader)) is not None:
            self.asked_at = self.asked_at or time.perf_counter()
            body = self._one if f"/{NAME}".encode() in head else self._all
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            writer.write(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    """Read one request, and return its first line; None at the end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            await reader.readexactly(int(line.split(b":")[1]))
    return head.split(b"\r\n")[0]


async def startup(folder: Path, say: Callable[[str], None]) -> Startup:
    """Measure so many starts of each, taking turns, as a user has them: the installed script, a kubeconfig, a server.

    Raises StartFailedError where one of them does not do its work.
    """
    server = _Server()
    listener = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    kubeconfig = folder / "startup.kubeconfig"
    kubeconfig.write_text(_kubeconfig(listener.sockets[0].getsockname()[1]), encoding="utf-8")
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    programs, found = _programs(), defaultdict[str, list[float]](list)
    say(f"startup: {RUNS} starts of each of {', '.join(each.name for each in programs)}")
    async with listener:
        for number in range(WARM_UP + RUNS):
            for each in random.sample(programs, len(programs)):
                seconds = await _run(each, server, environment)
                for name, value in seconds.items() if number >= WARM_UP else ():
                    found[name].append(value)
    return Startup({name: Latencies(each) for name, each in found.items()})


async def _run(program: _Program, server: _Server, environment: Mapping[str, str]) -> dict[str, float]:
    """Run a program once; return the seconds to its end, and to its first request."""
    server.asked_at = None
    pipe = asyncio.subprocess.PIPE
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *program.command, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    output, errors = await process.communicate()
    seconds = {program.name: time.perf_counter() - started}
    if process.returncode != program.code or program.says not in output + errors:
        raise StartFailedError(f"{' '.join(program.command)}: {process.returncode}, {(output + errors)[-300:]!r}")
    if program.asks:
        if server.asked_at is None:
            raise StartFailedError(f"{' '.join(program.command)} asked nothing of the API server")
        seconds[program.asks] = server.asked_at - started
    return seconds


def _kubeconfig(port: int) -> str:
    return f"""apiVersion: v1
kind: Config
current-context: bench
contexts: [{{name: bench, context: {{cluster: bench, user: bench, namespace: {NAMESPACE}}}}}]
clusters: [{{name: bench, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: bench, user: {{}}}}]
"""
