"""The gateway as it is joined together, before an API server that has nothing and says nothing."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import pytest
from aiohttp.typedefs import Middleware
from kubernetes.aio.client import Configuration

from agentstop.cluster.decoding import Listing
from agentstop.cluster.errors import ApiError
from agentstop.cluster.reflector import Source
from agentstop.cluster.transport import Transport
from agentstop.gateway import heads
from agentstop.gateway.access import CallerAccess
from agentstop.gateway.callers import Callers, CredentialCallers
from agentstop.gateway.owner import Owner
from agentstop.gateway.server import Options, Server
from agentstop.gateway.throttle import Throttle
from tests.support.waiting import PATIENCE
from tests.unit.objects import Raw


class Nothing:
    """Stands for the connection to an API server where nothing is, and where some things are forbidden."""

    def __init__(self) -> None:
        self.forbidden: set[tuple[str, str]] = set()
        """Verbs and plurals."""
        self.fails = False
        """Whether it answers no question about rights."""
        self.listed: set[str] = set()
        """Plurals."""

    async def listing(self, where: str, *_: Any) -> Listing:
        self.listed.add(where.rpartition("/")[2])
        return Listing(b'{"metadata": {"resourceVersion": "1"}, "items": []}')

    async def lines(self, _: str, __: Any, ___: float, accepted: Callable[[], None]) -> AsyncIterator[bytes]:
        accepted()
        await asyncio.Event().wait()
        yield b""

    async def call(self, method: str, where: str, query: Any, body: Any, *_: Any, **__: Any) -> Raw:
        if self.fails:
            raise ApiError(0, "Unreachable", "the API server is away")
        asked = body["spec"]["resourceAttributes"]
        return {"status": {"allowed": (asked["verb"], asked["resource"]) not in self.forbidden}}

    async def keep_warm(self) -> None:
        await asyncio.Event().wait()


async def _configure() -> Configuration:
    raise AssertionError("nobody connects")


OWNER = Owner(_configure, lambda _: None)


class Guests:
    """Those whom a test has the gateway serve; they have the rights of an owner."""

    guards: Sequence[Middleware] = ()

    def __init__(self) -> None:
        self.server = Nothing()
        self.callers: Callers = CredentialCallers(None, Throttle(lambda: 0.0), lambda: 0.0)
        self.port: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def connect(self, stack: AsyncExitStack) -> tuple[Transport, CallerAccess]:
        transport = cast("Transport", self.server)
        return transport, CallerAccess(transport, transport, lambda: 0.0)

    async def unseen(self, access: CallerAccess, sources: Sequence[Source]) -> Sequence[Source]:
        return await OWNER.unseen(access, sources)

    def ready(self, port: int) -> None:
        self.port.set_result(port)


@asynccontextmanager
async def served(guests: Guests, **options: Any) -> AsyncIterator[int]:
    """Run a gateway, and yield its port once it is ready."""
    server = Server(Options(port=0, **options), audience=guests)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        try:
            await asyncio.wait((running, guests.port), return_when=asyncio.FIRST_COMPLETED)
            yield await guests.port
        finally:
            server.stop()
            gc.unfreeze()


async def test_a_head_that_never_ends_ends_its_connection() -> None:
    async with served(Guests(), head_seconds=0.1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
        async with asyncio.timeout(heads.SECONDS / 2):
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize(
    ("forbidden", "unseen"),
    [
        (set(), set()),
        ({("watch", "stoporders")}, {"stoporders"}),
        ({("list", "clusterstoporders"), ("watch", "stoporders")}, {"stoporders", "clusterstoporders"}),
    ],
)
async def test_an_owner_follows_the_orders_that_he_may_and_hears_of_the_others(
    forbidden: set[tuple[str, str]], unseen: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    guests = Guests()
    guests.server.forbidden = forbidden
    kinds = {"agenttasks", "stoporders", "clusterstoporders"}
    async with served(guests):
        assert guests.server.listed == kinds - unseen
    said = [each.getMessage().lower() for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(said) == len(unseen)
    for each in unseen:
        assert any(f"the page does not show {each}: you may not" in line for line in said)


async def test_orders_are_followed_where_it_is_not_known_whether_one_may() -> None:
    guests = Guests()
    guests.server.fails = True
    async with served(guests):
        assert guests.server.listed == {"agenttasks", "stoporders", "clusterstoporders"}
