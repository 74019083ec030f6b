"""What counts as the time that a request took."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from agentstop.gateway import app, waits
from agentstop.gateway.access import CallerAccess
from agentstop.gateway.app import Application
from agentstop.gateway.callers import Callers
from agentstop.gateway.changes import Changes
from agentstop.gateway.dialect import Call, Core, Dialect, Route
from agentstop.gateway.errors import GatewayError
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.metrics import Metrics
from agentstop.gateway.streams import Streams

from .test_index import task
from .test_tasks import both

SELF, PROOF = 2.0, 9.0
"""Seconds that the gateway takes, and that the proof takes."""


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (app, waits):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    return clock


def refuse(error: GatewayError, _: Call) -> web.Response:
    return web.Response(status=error.code)


@pytest.fixture
async def client(clock: Clock) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async def proof() -> None:
        with waits.waiting():
            clock.now += PROOF

    async def stop(_: Call) -> web.Response:
        clock.now += SELF
        await asyncio.gather(proof())
        return web.Response()

    async def events(call: Call) -> web.StreamResponse:
        async with call.core.streams.open(call.request) as stream:
            clock.now += PROOF
            return stream.response

    routes = (Route("GET", "/stop", stop, public=True), Route("GET", "/events", events, public=True))
    streams = Streams()
    core = Core(
        index=TaskIndex(),
        access=cast("CallerAccess", None),
        callers=cast("Callers", None),
        streams=streams,
        wait=1,
        changes=cast("Changes", None),
    )
    dialect = Dialect(name="d", prefix="/d", routes=routes, render=refuse)
    application = Application(core, (dialect,), Metrics(core.index, streams))
    async with TestClient(TestServer(application.served())) as client:
        yield client


async def numbers(client: TestClient[web.Request, web.Application]) -> dict[str, float]:
    text = await (await client.get("/metrics")).text()
    lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("agentstop_gateway_request"))
    return {name.removeprefix("agentstop_gateway_"): float(value) for name, _, value in lines}


async def test_the_wait_for_a_proof_is_not_the_gateways(client: TestClient[web.Request, web.Application]) -> None:
    await client.get("/d/stop")
    found = await numbers(client)
    assert found['request_duration_seconds_sum{dialect="d"}'] == SELF


async def test_how_long_a_stream_lasts_is_its_clients(client: TestClient[web.Request, web.Application]) -> None:
    await client.get("/d/events")
    found = await numbers(client)
    assert found['requests_total{code="200",dialect="d"}'] == 1
    assert 'request_duration_seconds_count{dialect="d"}' not in found


async def test_what_waits_for_an_agent_counts_as_a_wait(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks, index, _ = both(task("a", phase="Running"))

    async def until(*_: object) -> None:
        clock.now += PROOF

    monkeypatch.setattr(index, "until", until)
    with waits.counted() as waited:
        await tasks.stop("uid-a")
        assert waited.seconds == PROOF
        await tasks.delete("uid-a")
        assert waited.seconds == 2 * PROOF + PROOF
