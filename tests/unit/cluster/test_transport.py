"""Requests of a process that may act for a while only, and what they tell of the time."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from agentstop.cluster.clock import ServerClock
from agentstop.cluster.errors import NOT_LEADING, ApiError
from agentstop.cluster.leader_guard import LeaderGuard
from agentstop.cluster.transport import Transport

from .wire import Server


@pytest.fixture
async def leader_guard() -> LeaderGuard:
    return LeaderGuard(asyncio.get_running_loop().time)


@pytest.fixture
async def limited(server: Server, leader_guard: LeaderGuard) -> Transport:
    configuration = Configuration()
    configuration.host = server.url
    return Transport(configuration, leader_guard)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_is_changed_after_the_tenure(
    limited: Transport, server: Server, leader_guard: LeaderGuard, method: str
) -> None:
    leader_guard.end()
    with pytest.raises(ApiError) as caught:
        await limited.call(method, "/x")
    assert (caught.value.code, caught.value.reason) == (0, NOT_LEADING)
    assert server.seen == []
    await limited.call("GET", "/x")
    await limited.close()


async def test_a_change_that_is_under_way_when_the_tenure_ends_is_given_up(
    limited: Transport, server: Server, leader_guard: LeaderGuard
) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.json_response({})

    server.answer = answer
    leader_guard.last_until(leader_guard.now() + 0.1)
    with pytest.raises(ApiError) as caught:
        await limited.call("PATCH", "/x")
    assert "did not answer in time" in str(caught.value)
    assert not leader_guard.holds
    await limited.close()


async def test_what_is_no_object_is_read_as_it_is(limited: Transport, server: Server) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"line 1\nline \xff, not ended")

    server.answer = answer
    assert await limited.text("/log", {"tailLines": "2"}) == "line 1\nline \ufffd, not ended"
    assert (server.seen[0].query, server.seen[0].headers["Accept"]) == ({"tailLines": "2"}, "*/*")
    server.says(404, {"kind": "Status", "reason": "NotFound", "message": "no such pod"})
    with pytest.raises(ApiError, match="no such pod"):
        await limited.text("/log")
    await limited.close()


async def test_answers_tell_what_time_it_is(server: Server) -> None:
    configuration = Configuration()
    configuration.host = server.url
    clock = ServerClock(lambda: datetime.now(UTC) - timedelta(hours=1))
    transport = Transport(configuration, clock=clock)
    await transport.call("GET", "/x")
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
    await transport.close()
