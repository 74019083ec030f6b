"""The server as such: where it listens, who may ask, what its watches do when they fall behind, logs of pods."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from tests.support.waiting import PATIENCE

from agentstop_playground.server import ApiServer, watching
from agentstop_playground.server.errors import ApiError
from agentstop_playground.server.presenter import Framer
from agentstop_playground.server.resources import Resource, Strategy
from agentstop_playground.server.selectors import Selector
from agentstop_playground.server.store import ADDED, Store
from agentstop_playground.server.watching import WatchRequest
from agentstop_playground.server.wire import loads

from .api import Api
from .objects import DEFINITION, WIDGETS, binding, pod, widget


def test_it_listens_on_loopback_only() -> None:
    with pytest.raises(ValueError, match="loopback only"):
        ApiServer(token="t", crds=[], host="0.0.0.0")  # noqa: S104
    with pytest.raises(ValueError, match="token"):
        ApiServer(token="", crds=[])


async def test_a_port_in_use_is_told_of(playground: ApiServer) -> None:
    port = int(playground.url.rpartition(":")[2])
    second = ApiServer(token="t", crds=[], port=port)
    with pytest.raises(OSError, match=rf"can't listen on 127.0.0.1:{port}: .*; choose another port"):
        await second.start()
    await second.stop()


async def test_a_bad_definition_is_told_of() -> None:
    server = ApiServer(token="t", crds=[{"metadata": {"name": "x"}, "spec": {}}])
    with pytest.raises(ApiError, match=r"spec\.group: Required value"):
        await server.start()
    await server.stop()


async def test_it_can_be_stopped_and_started_again(session: aiohttp.ClientSession) -> None:
    server = ApiServer(token="t", crds=[DEFINITION])
    await server.start()
    url = server.url
    headers = {"Authorization": "Bearer t"}
    async with session.get(f"{url}/api/v1/pods", params={"watch": "true"}, headers=headers) as watch:
        await server.stop()
        assert await asyncio.wait_for(watch.content.read(), PATIENCE) == b""
    with pytest.raises(aiohttp.ClientConnectorError):
        await session.get(f"{url}/version")
    await server.start()
    assert server.url == url
    async with session.get(f"{url}/api/v1/namespaces/default", headers=headers) as answer:
        assert answer.status == 200
    await server.stop()


async def test_the_kubeconfig_works_for_clients_that_send_no_token(
    playground: ApiServer, session: aiohttp.ClientSession
) -> None:
    config = playground.kubeconfig()
    assert config["current-context"] == "playground"
    address = config["clusters"][0]["cluster"]["server"]
    async with session.get(f"{address}/api/v1/namespaces") as answer:
        assert answer.status == 200
    async with session.get(f"{playground.url}/token/wrong/api/v1/namespaces") as answer:
        assert answer.status == 401
        status = await answer.json()
    assert (status["kind"], status["reason"]) == ("Status", "Unauthorized")
    somebody_else = {"Authorization": "Bearer wrong"}
    async with session.get(f"{address}/api/v1/namespaces", headers=somebody_else) as answer:
        assert answer.status == 401


async def test_bodies_have_a_limit(play: Api) -> None:
    body = widget("w", free={"x": "y" * 3_200_000})
    answer = await play.create(play.path(WIDGETS), body)
    assert (answer.status, answer.body["reason"]) == (413, "RequestEntityTooLarge")


RESOURCE = Resource("", "v1", "Thing", "things", Strategy())


def _thing(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "n", "uid": name}
    return {"apiVersion": "v1", "kind": "Thing", "metadata": metadata}


def _request(version: int | None, *, bookmarks: bool = False) -> WatchRequest:
    return WatchRequest("", Selector(), version, 30, bookmarks, initial_events=False)


async def _first(stream: AsyncIterator[bytes]) -> list[Any]:
    chunk = await asyncio.wait_for(anext(stream), PATIENCE)
    return [loads(line) for line in chunk.splitlines()]


async def test_versions_that_are_no_longer_kept_have_expired() -> None:
    store = Store(history_limit=3)
    collection = store.collection("things")
    versions = [store.write(collection, ADDED, _thing(f"t{index}")).version for index in range(6)]
    stream = watching.stream(collection, Framer(RESOURCE, "plain", "None"), _request(versions[0]))
    (event,) = await _first(stream)
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    with pytest.raises(ApiError, match="too old resource version"):
        collection.snapshot(versions[0])
    kept = watching.stream(collection, Framer(RESOURCE, "plain", "None"), _request(versions[3]))
    assert [event["object"]["metadata"]["name"] for event in await _first(kept)] == ["t4", "t5"]


async def test_versions_of_an_earlier_playground_have_expired() -> None:
    store = Store(first_version=1000)
    collection = store.collection("things")
    latest = store.write(collection, ADDED, _thing("t")).version
    for version in (latest + 1, 999):
        stream = watching.stream(collection, Framer(RESOURCE, "plain", "None"), _request(version))
        (event,) = await _first(stream)
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


async def test_a_watch_that_falls_behind_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_MAX_BACKLOG", 2)
    store = Store()
    collection = store.collection("things")
    store.write(collection, ADDED, _thing("t0"))
    stream = watching.stream(collection, Framer(RESOURCE, "plain", "None"), _request(None))
    await _first(stream)
    for index in range(1, 5):
        store.write(collection, ADDED, _thing(f"t{index}"))
    assert [event["object"]["metadata"]["name"] for event in await _first(stream)] == ["t1", "t2"]
    (event,) = await _first(stream)
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert not collection.watchers or await anext(stream, None) is None


async def test_quiet_watches_get_bookmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "BOOKMARK_INTERVAL", 0.05)
    store = Store()
    things, others = store.collection("things"), store.collection("others")
    store.write(things, ADDED, _thing("t"))
    stream = watching.stream(things, Framer(RESOURCE, "plain", "None"), _request(store.version, bookmarks=True))
    waiting = asyncio.ensure_future(_first(stream))
    await asyncio.sleep(0)
    last = store.write(others, ADDED, _thing("o")).version
    (event,) = await waiting
    assert event["type"] == "BOOKMARK"
    assert event["object"]["metadata"]["resourceVersion"] == str(last)


@pytest_asyncio.fixture
async def kubelet(play: Api) -> AsyncIterator[list[str]]:
    """A node whose kubelet has a log of two lines; the requests to it."""
    asked: list[str] = []

    async def log(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.path_qs)
        if "previous=true" in request.path_qs:
            return web.Response(status=400, text="previous terminated container not found")
        response = web.StreamResponse()
        await response.prepare(request)
        for line in (b"one\n", b"two\n"):
            await response.write(line)
        return response

    runner = web.ServerRunner(web.Server(log))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": runner.addresses[0][1]}},
    }
    assert (await play.create("/api/v1/nodes", {"metadata": {"name": play.ns}, "status": status})).status == 201
    yield asked
    await play.delete(f"/api/v1/nodes/{play.ns}")
    await runner.cleanup()


async def test_logs_come_from_the_node(play: Api, kubelet: list[str]) -> None:
    await play.create(play.path("pods"), pod("p"))
    path = play.path("pods", "p") + "/log"
    early = await play.get(path)
    assert (early.status, early.message) == (400, "pod p does not have a host assigned")
    await play.create(play.path("pods", "p") + "/binding", binding("p", play.ns))
    assert (await play.get(path + "?tailLines=5&follow=true&pretty=true")).body == "one\ntwo\n"
    assert kubelet == [f"/containerLogs/{play.ns}/p/main?follow=true&tailLines=5"]
    previous = await play.get(path + "?previous=true")
    assert (previous.status, previous.message) == (400, "previous terminated container not found")
    wrong = await play.get(path + "?container=nope")
    assert (wrong.status, wrong.message) == (400, "container nope is not valid for pod p")


async def test_a_container_has_to_be_named_where_there_are_several(play: Api) -> None:
    containers = [{"name": name, "image": "i"} for name in ("a", "b")]
    await play.create(play.path("pods"), pod("p", containers=containers, nodeName="n"))
    answer = await play.get(play.path("pods", "p") + "/log")
    assert answer.message == "a container name must be specified for pod p, choose one of: [a b]"


async def test_logs_are_fetched_from_loopback_only(play: Api) -> None:
    status = {
        "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    }
    await play.create("/api/v1/nodes", {"metadata": {"name": f"far-{play.ns}"}, "status": status})
    await play.create(play.path("pods"), pod("p", nodeName=f"far-{play.ns}"))
    answer = await play.get(play.path("pods", "p") + "/log")
    assert answer.status == 500
    assert "has no kubelet on loopback" in answer.message
