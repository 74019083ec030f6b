"""Clients that take their time over the head of a request."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from agentstop.gateway.heads import Runner
from tests.support.waiting import PATIENCE

SECONDS = 1.0
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"
REQUEST = HEAD + b"ok"
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _answer(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


@asynccontextmanager
async def connected(head_seconds: float) -> AsyncIterator[Pair]:
    app = web.Application()
    app.router.add_post("/", _answer)
    runner = Runner(app, head_seconds=head_seconds)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        reader, writer = await asyncio.open_connection(host, port)
        yield reader, writer
        writer.close()
    finally:
        await runner.cleanup()


async def answered(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0]
    assert await reader.readexactly(2) == b"ok"


async def drip(writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("before", [(), (REQUEST,), (REQUEST, REQUEST)], ids=["first", "second", "third"])
@pytest.mark.parametrize("begun", [b"POST /", b"POST / HTTP/1.1\r\nHost: a\r\nX: "], ids=["line", "headers"])
async def test_a_head_that_never_ends_ends_the_connection(before: Sequence[bytes], begun: bytes) -> None:
    async with connected(SECONDS) as (reader, writer):
        for each in before:
            writer.write(each)
            await answered(reader)
        writer.write(begun)
        dripping = asyncio.create_task(drip(writer))
        try:
            async with asyncio.timeout(PATIENCE):
                with suppress(ConnectionError):
                    assert await reader.read() == b""
        finally:
            dripping.cancel()


async def test_so_does_a_connection_that_says_nothing() -> None:
    async with connected(SECONDS) as (reader, _), asyncio.timeout(PATIENCE):
        assert await reader.read() == b""


async def test_neither_a_body_nor_the_time_between_requests_counts() -> None:
    async with connected(SECONDS) as (reader, writer), asyncio.timeout(PATIENCE):
        writer.write(HEAD)
        await asyncio.sleep(1.5 * SECONDS)
        writer.write(b"ok")
        await answered(reader)
        await asyncio.sleep(1.5 * SECONDS)
        writer.write(REQUEST)
        await answered(reader)


async def test_the_names_that_are_aiohttps_own_are_there() -> None:
    runner = Runner(web.Application())
    await runner.setup()
    server = runner.server
    assert server is not None
    # The one that we make is the one that is used.
    assert type(server).__module__ == type(server()).__module__ == Runner.__module__
    assert "_make_server" in vars(web.AppRunner)
    assert "_kwargs" in vars(web.Server(_answer))  # type: ignore[arg-type]
    assert {"_request_count", "_waiter"} <= set(web.RequestHandler.__slots__)
    await runner.cleanup()
