"""Programs that hold a tether, as a user would write them, and a network between one and the API server."""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from agentstop_playground.node.kubeconfig import load
from tests.support.kube import Kind, Object
from tests.support.namespaces import Namespace
from tests.support.programs import Program
from tests.support.waiting import PATIENCE, until

LEASES = Kind("/apis/coordination.k8s.io/v1", "leases")

SECONDS = 5
"""The shortest time of a tether."""

HOLD = """
import signal, sys, threading
from datetime import timedelta
from agentstop.client import Tether
from agentstop.words.durations import now
name, namespace, ahead = sys.argv[1:]
over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: over.set())
clock = lambda: now() + timedelta(seconds=int(ahead))
with Tether(name, namespace=namespace, duration=5, holder="jane", clock=clock) as tether:
    print("held", flush=True)
    while not over.wait(0.1):
        pass
print("stopped", *tether.stopped, flush=True)
"""


class Relay:
    """A network that can be cut: what is sent through it then arrives nowhere, and no connection is refused."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._open = asyncio.Event()
        self._open.set()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Begin to relay, and return the URL of the near end."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"{self._to.scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Cut it."""
        self._open.clear()

    def mend(self) -> None:
        """Have it carry again, what was sent meanwhile too."""
        self._open.set()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for each in self._under_way:
            each.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        far_reader, far_writer = await asyncio.open_connection(self._to.hostname, self._to.port)
        for each in (self._carry(reader, far_writer), self._carry(far_reader, writer)):
            task = asyncio.create_task(each)
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while content := await reader.read(65_536):
                await self._open.wait()
                writer.write(content)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def relayed(kubeconfig: Path) -> AsyncIterator[tuple[Relay, Path]]:
    """A relay to the API server of a kubeconfig, and a kubeconfig that leads through it."""
    relay = Relay(load(kubeconfig).url)
    near = await relay.start()
    try:
        yield relay, _leading_to(near, kubeconfig)
    finally:
        await relay.close()


def _leading_to(server: str, kubeconfig: Path) -> Path:
    """Return a kubeconfig like another one that leads to another address."""
    content = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    content["clusters"][0]["cluster"]["server"] = server
    path = kubeconfig.with_name(f"relayed-{secrets.token_hex(4)}.kubeconfig")
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


async def hold(ns: Namespace, name: str, *, ahead: int = 0, kubeconfig: Path | None = None) -> Program:
    """Start a program that holds a tether; its clock is ahead by so many seconds."""
    program = await Program.start(
        [sys.executable, "-c", HOLD, name, ns.name, str(ahead)],
        ns.cluster.folder / f"tether-{secrets.token_hex(4)}.log",
        {"KUBECONFIG": str(kubeconfig or ns.cluster.kubeconfig)},
    )
    await until(lambda: program.check() and "held" in program.text(), PATIENCE, f"tether {name} held")
    return program


async def renewed_again(ns: Namespace, name: str, times: int) -> Object:
    """Wait until a Lease was renewed so many times more, and return it."""
    seen: set[str] = set()
    lease: Object = {}

    async def often() -> bool:
        lease.update(await ns.kube.get(LEASES, ns.name, name))
        seen.add(lease["spec"]["renewTime"])
        return len(seen) > times

    await until(often, PATIENCE, f"Lease {name} renewed {times} times")
    return lease
