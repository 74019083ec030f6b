"""What kopf gets to read, whatever the API server sends it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import kopf
import pytest
from aiohttp import web

from agentstop.controller.handlers import Sessions
from agentstop.controller.settings import operator_settings
from agentstop.controller.watch_health import WatchHealth
from agentstop.timings import Timings
from tests.support.programs import free_port
from tests.support.waiting import PATIENCE, until
from tests.unit.cluster.test_decoding import nested
from tests.unit.objects import Raw

API = "/apis/agentstop.dev/v1alpha1"


def order(name: str, version: int = 1, **more: Any) -> Raw:
    """Return an order as a list or an event brings it."""
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": str(version), **more}
    return {"apiVersion": "agentstop.dev/v1alpha1", "kind": "StopOrder", "metadata": metadata, "spec": {}}


def deep(name: str, version: int = 1) -> str:
    """Return the text of one that kopf cannot parse."""
    marked = json.dumps(order(name, version, managedFields=[{"fieldsV1": "here"}]))
    return marked.replace('"here"', nested(20_000))


def line(event: str, text: str) -> str:
    return f'{{"type":"{event}","object":{text}}}\n'


class Server:
    """Has one list and one watch after the other; afterwards watches are silent."""

    def __init__(self) -> None:
        self.lists: list[str | int] = []
        self.watches: list[str] = []
        self.listed = 0
        self.watched = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        kind: Raw
        if request.path == API:
            kind = {"name": "stoporders", "kind": "StopOrder", "singularName": "stoporder", "namespaced": True}
            return web.json_response({"resources": [kind | {"verbs": ["list", "watch", "patch"]}]})
        if "stoporders" not in request.path:
            version = {"version": "v1alpha1"}
            group = {"name": "agentstop.dev", "versions": [version], "preferredVersion": version}
            kind = {"name": "namespaces", "kind": "Namespace", "singularName": "namespace", "namespaced": False}
            return web.json_response({"resources": [kind | {"verbs": ["list"]}], "groups": [group], "versions": ["v1"]})
        if "watch" in request.query:
            return await self._watch(request)
        self.listed += 1
        items = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(items, int):
            return web.json_response({"kind": "Status", "reason": "No", "code": items}, status=items)
        text = f'{{"kind":"StopOrderList","items":[{items}],"metadata":{{"resourceVersion":"100"}}}}'
        return web.Response(text=text, content_type="application/json")

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self.watched += 1
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if not self.watches:
            await asyncio.Event().wait()
        await response.write(self.watches.pop(0).encode())
        return response


IMPATIENT = Timings(kopf_retry_seconds=0.05)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    server = Server()
    app = web.Application()
    app.router.add_get("/{rest:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield server, f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def told(server: tuple[Server, str], done: Callable[[list[tuple[str | None, str]]], bool]) -> list[Any]:
    """Run kopf until its handler was told enough, and return what that was; it must not have ended by itself."""
    events: list[tuple[str | None, str]] = []
    registry = kopf.OperatorRegistry()
    sessions = Sessions(WatchHealth(), IMPATIENT)

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return sessions.session(kopf.ConnectionInfo(server=server[1]))

    @kopf.on.event("agentstop.dev", "v1alpha1", "stoporders", registry=registry)
    async def on_order(type: str | None, name: str, **_: Any) -> None:  # noqa: A002  (kopf's name)
        events.append((type, name))

    running = asyncio.create_task(kopf.operator(registry=registry, settings=operator_settings(), clusterwide=True))
    try:
        await until(lambda: running.done() or done(events), PATIENCE, "told enough")
        assert not running.done(), "kopf has ended"
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    return events


async def test_one_object_ends_no_list(server: tuple[Server, str]) -> None:
    server[0].lists = [",".join([json.dumps(order("a")), deep("b"), "7", '{"metadata":[]}', json.dumps(order("c"))])]
    events = await told(server, lambda events: len(events) >= 3)
    assert sorted(events) == [(None, "a"), (None, "b"), (None, "c")]
    assert server[0].listed == 1


@pytest.mark.parametrize(
    "bad",
    [line("ADDED", deep("bad")), line("ADDED", "{}"), line("ADDED", '{"metadata":7}')],
    ids=["too deep", "empty", "no metadata"],
)
async def test_one_line_ends_no_watch(server: tuple[Server, str], bad: str) -> None:
    server[0].lists = [""]
    server[0].watches = [line("ADDED", json.dumps(order("a"))) + bad + line("ADDED", json.dumps(order("c", 3)))]
    events = await told(server, lambda events: ("ADDED", "c") in events)
    assert {("ADDED", "a"), ("ADDED", "c")} <= set(events)
    assert (("ADDED", "bad") in events) is ("bad" in bad)
    assert server[0].listed == 1


@pytest.mark.parametrize(
    "bad",
    [line("ERROR", '{"code":500,"message":"x"}'), line("ERROR", "{}"), "<html>\n", "7\n", '{"type":"ADDED"}\n'],
    ids=["error", "empty error", "no JSON", "no object", "no event"],
)
async def test_an_error_in_a_watch_has_that_one_begun_anew(server: tuple[Server, str], bad: str) -> None:
    server[0].lists = ["", json.dumps(order("a"))]
    server[0].watches = [bad]
    assert await told(server, bool) == [(None, "a")]


@pytest.mark.parametrize("bad", ["<html>", 410, "{}}"], ids=["no JSON", "expired", "mismatched"])
async def test_a_list_that_is_none_is_read_anew(server: tuple[Server, str], bad: str | int) -> None:
    server[0].lists = [bad, json.dumps(order("a"))]
    assert await told(server, bool) == [(None, "a")]


async def test_a_watch_that_begins_and_brings_an_error_is_no_contact(server: tuple[Server, str]) -> None:
    now = 100.0
    watch_health = WatchHealth(lambda: now)
    watch_health.expect(("ns",))
    session = Sessions(watch_health, IMPATIENT).session(kopf.ConnectionInfo(server=server[1])).aiohttp_session
    where = f"{server[1]}{API}/namespaces/ns/stoporders?watch=true"

    async def heard_after(text: str) -> float:
        server[0].watches = [text]
        async with session.get(where) as response:
            async for _ in response.content.iter_chunked(1):
                pass
        return dict(watch_health.oldest())["StopOrder"]

    async with session:
        now = 200.0
        assert await heard_after(line("ERROR", '{"code":500,"message":"cannot decode"}')) == 200.0
        now = 300.0
        assert await heard_after(line("ERROR", '{"code":500,"message":"cannot decode"}')) == 200.0
        watch_health.heard("AgentTask", "ns")
        watch_health.heard("Pod", "ns")
        assert "cannot decode" in str(watch_health.blind())
        now = 301.0
        assert await heard_after(line("ADDED", json.dumps(order("a")))) == 301.0
