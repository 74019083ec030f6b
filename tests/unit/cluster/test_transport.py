"""Requests of a process that may act for a while only, and what they tell of the time."""

import asyncio
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from agentstop.cluster.clock import ServerClock
from agentstop.cluster.connection import without_credentials
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


async def test_what_was_refused_is_sent_once_more_with_other_credentials(server: Server) -> None:
    configuration = Configuration()
    configuration.host = server.url
    others: list[str] = []
    refused: list[str | None] = []

    def renew(shown: str | None) -> bool:
        refused.append(shown)
        if others:
            configuration.api_key["BearerToken"] = others.pop()
        return bool(refused[-1] != configuration.api_key["BearerToken"])

    async def answer(request: web.Request) -> web.StreamResponse:
        known = request.headers["Authorization"] == "Bearer new"
        return web.json_response({}, status=200 if known else 401)

    server.answer = answer
    transport = Transport(configuration, renew=renew)
    for other, accepted, times in (("Bearer new", True, 2), ("Bearer older", False, 2), (None, False, 1)):
        configuration.api_key["BearerToken"] = "Bearer old"
        others[:] = [other] if other else []
        server.seen.clear()
        with nullcontext() if accepted else pytest.raises(ApiError, match="401"):
            await transport.call("PATCH", "/x", body={"a": 1})
        assert [(each.method, each.body) for each in server.seen] == [("PATCH", {"a": 1})] * times
    assert refused == ["Bearer old"] * 3
    await transport.close()


async def test_answers_tell_what_time_it_is(server: Server) -> None:
    configuration = Configuration()
    configuration.host = server.url
    clock = ServerClock(lambda: datetime.now(UTC) - timedelta(hours=1))
    transport = Transport(configuration, clock=clock)
    await transport.call("GET", "/x")
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
    await transport.close()


async def test_headers_go_along_one_name_in_several(transport: Transport, server: Server) -> None:
    seen: list[list[str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.getall("Impersonate-Group"))
        return web.json_response({})

    server.answer = answer
    groups = [("Impersonate-User", "jane"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b")]
    await transport.call("PATCH", "/x", body={}, headers=groups)
    assert seen == [["a", "b"]]
    assert server.seen[0].headers["Impersonate-User"] == "jane"
    assert server.seen[0].headers["Authorization"] == "Bearer secret"


async def test_without_credentials_nobody_asks_but_whose_token_is_sent(server: Server) -> None:
    configuration = Configuration(host=server.url)
    configuration.api_key = {"BearerToken": "secret"}
    configuration.api_key_prefix = {"BearerToken": "Bearer"}
    configuration.username, configuration.password = "admin", "secret"
    configuration.cert_file, configuration.key_file = "/no/such.crt", "/no/such.key"
    bare = without_credentials(configuration)
    assert (bare.cert_file, bare.key_file) == (None, None)
    transport = Transport(bare)  # with the certificate it could not even be made
    await transport.call("GET", "/x")
    await transport.call("GET", "/x", headers=[("Authorization", "Bearer of-jane")])
    await transport.close()
    assert [each.headers.get("Authorization") for each in server.seen] == [None, "Bearer of-jane"]


async def test_a_busy_server_says_when_to_ask_again(transport: Transport, server: Server) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=429, text="Too many requests", headers={"Retry-After": "2"})

    server.answer = answer
    with pytest.raises(ApiError) as caught:
        await transport.call("GET", "/x")
    assert (caught.value.code, caught.value.retry_after) == (429, 2)
