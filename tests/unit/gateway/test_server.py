"""The gateway as it is joined together, before an API server that has nothing and says nothing."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

from aiohttp.typedefs import Middleware

from agentstop.cluster.decoding import Listing
from agentstop.cluster.transport import Transport
from agentstop.gateway import heads
from agentstop.gateway.access import CallerAccess
from agentstop.gateway.callers import Callers, CredentialCallers
from agentstop.gateway.server import Options, Server
from agentstop.gateway.throttle import Throttle
from tests.unit.objects import Raw

HELD = 30.0
"""What does not come fails a test after so many seconds."""


class Nothing:
    """Stands for the connection to an API server where nothing is."""

    async def listing(self, *_: Any) -> Listing:
        return Listing(b'{"metadata": {"resourceVersion": "1"}, "items": []}')

    async def lines(self, _: str, __: Any, ___: float, accepted: Callable[[], None]) -> AsyncIterator[bytes]:
        accepted()
        await asyncio.Event().wait()
        yield b""

    async def call(self, *_: Any, **__: Any) -> Raw:
        return {}

    async def keep_warm(self) -> None:
        await asyncio.Event().wait()


class Guests:
    """Those whom a test has the gateway serve."""

    guards: Sequence[Middleware] = ()

    def __init__(self) -> None:
        self.transport = cast("Transport", Nothing())
        self.callers: Callers = CredentialCallers(None, Throttle(lambda: 0.0), lambda: 0.0)
        self.port: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def connect(self, stack: AsyncExitStack) -> tuple[Transport, CallerAccess]:
        return self.transport, CallerAccess(self.transport, self.transport, lambda: 0.0)

    def ready(self, port: int) -> None:
        self.port.set_result(port)


@asynccontextmanager
async def served(guests: Guests, **options: Any) -> AsyncIterator[int]:
    """Run a gateway, and yield its port once it is ready."""
    server = Server(Options(port=0, **options), audience=guests)
    async with asyncio.timeout(HELD), asyncio.TaskGroup() as group:
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
