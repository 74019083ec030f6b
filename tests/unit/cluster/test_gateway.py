"""What goes over the wire, seen from a server on loopback."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from agentstop.api.meta import API_VERSION
from agentstop.api.task import KIND
from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.large_objects import HEAVY_BYTES, NamespacedName
from agentstop.cluster.transport import Transport
from agentstop.cluster.watching import ABSENT, UNREAD, UNREAD_ENDING
from agentstop.timings import TIMINGS
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.requests import Create, Delete, Get, Meaning, Patch
from tests.unit.objects import POD_REF, Raw

from .wire import Server

POD_PATH = "/api/v1/namespaces/ns/pods/x"


async def test_a_look(gateway: Gateway, server: Server) -> None:
    assert await gateway.send(Get(POD_REF)) == {"kind": "Pod"}

    (seen,) = server.seen
    assert (seen.method, seen.path, seen.body) == ("GET", POD_PATH, None)
    assert seen.headers["Authorization"] == "Bearer secret"
    assert seen.headers["User-Agent"].startswith("agentstop/")


@pytest.mark.parametrize("name", ["../../other/pods/x", "..", "x?y", "x#y", "x%2Fstatus", "", "x//y", "/x"])
async def test_a_name_leads_nowhere_else(gateway: Gateway, server: Server, name: str) -> None:
    with pytest.raises(ApiError) as caught:
        await gateway.send(Get(ObjectRef("Pod", "ns", name)))

    assert caught.value.code == 400
    assert caught.value.refused
    assert not server.seen


async def test_nodes_are_cluster_wide(gateway: Gateway, server: Server) -> None:
    await gateway.send(Get(ObjectRef("Node", "", "n")))

    assert server.seen[0].path == "/api/v1/nodes/n"


async def test_a_creation(gateway: Gateway, server: Server) -> None:
    await gateway.send(Create(POD_REF, {"kind": "Pod"}))

    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/api/v1/namespaces/ns/pods")
    assert (seen.query["fieldManager"], seen.body) == ("agentstop", {"kind": "Pod"})


@pytest.mark.parametrize(
    ("meaning", "manager"),
    [(Meaning.STOP, "agentstop-stop"), (Meaning.PAUSE, "agentstop-pause"), (Meaning.RESUME, "agentstop-pause")],
)
async def test_a_change_names_the_pod_and_leaves_its_mark(
    gateway: Gateway, server: Server, meaning: Meaning, manager: str
) -> None:
    await gateway.send(Patch(POD_REF, "pod-uid", {"spec": {"activeDeadlineSeconds": 1}}, meaning))

    (seen,) = server.seen
    assert (seen.method, seen.path, seen.query["fieldManager"]) == ("PATCH", POD_PATH, manager)
    assert seen.headers["Content-Type"] == "application/strategic-merge-patch+json"
    assert seen.body == {"spec": {"activeDeadlineSeconds": 1}, "metadata": {"uid": "pod-uid"}}


@pytest.mark.parametrize("grace", [None, 1, 60])
@pytest.mark.parametrize("version", [{}, {"resourceVersion": "8"}])
async def test_a_deletion_names_the_pod(gateway: Gateway, server: Server, grace: int | None, version: Raw) -> None:
    await gateway.send(Delete(POD_REF, "pod-uid", grace, resource_version=version.get("resourceVersion")))

    (seen,) = server.seen
    assert (seen.method, seen.path) == ("DELETE", POD_PATH)
    assert seen.body["preconditions"] == {"uid": "pod-uid", **version}
    assert seen.body.get("gracePeriodSeconds") == grace


OWN = [
    ("AgentTask", "ns", "/apis/agentstop.dev/v1alpha1/namespaces/ns/agenttasks/x"),
    ("StopOrder", "ns", "/apis/agentstop.dev/v1alpha1/namespaces/ns/stoporders/x"),
    ("ClusterStopOrder", "", "/apis/agentstop.dev/v1alpha1/clusterstoporders/x"),
]


@pytest.mark.parametrize(("kind", "namespace", "where"), OWN)
async def test_a_status_is_written_with_its_resource_version(
    gateway: Gateway, server: Server, kind: str, namespace: str, where: str
) -> None:
    metadata = {"name": "x", "resourceVersion": "7"} | ({"namespace": namespace} if namespace else {})
    body: Raw = {"kind": kind, "metadata": metadata, "status": {"phase": "Stopped"}}
    await gateway.write_status(body)

    (seen,) = server.seen
    assert (seen.method, seen.path, seen.body) == ("PUT", f"{where}/status", body)


@pytest.mark.parametrize(("kind", "namespace", "where"), OWN)
async def test_what_is_ours_is_deleted_only_as_it_was_seen(
    gateway: Gateway, server: Server, kind: str, namespace: str, where: str
) -> None:
    await gateway.delete_own(ObjectRef(kind, namespace, "x", API_VERSION), "uid", "7")

    (seen,) = server.seen
    assert (seen.method, seen.path) == ("DELETE", where)
    assert seen.body["preconditions"] == {"uid": "uid", "resourceVersion": "7"}


async def test_lists_are_of_metadata_and_in_pages(gateway: Gateway, server: Server) -> None:
    metadata = {"namespace": "ns", "name": "x", "resourceVersion": "7", "labels": {"a": "b"}}

    async def answer(request: web.Request) -> web.StreamResponse:
        more = "" if "continue" in request.query else "next"
        return web.json_response({"metadata": {"continue": more}, "items": [{"metadata": metadata}]})

    server.answer = answer
    found = await gateway.list_metadata("Pod", "ns", "agentstop.dev/task")

    assert [(each["namespace"], each["name"], each["resourceVersion"]) for each in found] == [("ns", "x", "7")] * 2
    assert "PartialObjectMetadataList" in server.seen[0].headers["Accept"]
    assert [seen.query.get("continue") for seen in server.seen] == [None, "next"]
    assert {seen.query["labelSelector"] for seen in server.seen} == {"agentstop.dev/task"}


async def test_what_the_server_refuses_is_an_error_with_its_words(gateway: Gateway, server: Server) -> None:
    server.says(409, {"kind": "Status", "reason": "Conflict", "message": "the UID differs"})

    with pytest.raises(ApiError) as caught:
        await gateway.send(Delete(POD_REF, "pod-uid"))
    assert (caught.value.code, caught.value.reason, caught.value.message) == (409, "Conflict", "the UID differs")


async def test_a_server_that_is_not_there_has_no_code() -> None:
    configuration = Configuration()
    configuration.host = "http://127.0.0.1:1"
    transport = Transport(configuration)
    try:
        with pytest.raises(ApiError) as caught:
            await Gateway(transport).send(Get(POD_REF))
    finally:
        await transport.close()
    assert (caught.value.code, caught.value.reason) == (0, "Unreachable")


async def test_a_server_that_hangs_has_no_code(transport: Transport, server: Server) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.json_response({})

    server.answer = answer
    with pytest.raises(ApiError) as caught:
        await transport.call("GET", POD_PATH, timeout=0.05)
    assert caught.value.code == 0
    assert "did not answer in time" in str(caught.value)
    assert TIMINGS.request_seconds <= 10


async def test_a_server_that_breaks_off_has_no_code(gateway: Gateway, server: Server) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.abort()
        return response

    server.answer = answer
    with pytest.raises(ApiError) as caught:
        await gateway.send(Get(POD_REF))
    assert caught.value.code == 0


# Watching one object


async def watched(gateway: Gateway) -> list[tuple[str, Any]]:
    return [event async for event in gateway.watch(POD_REF)]


def stream(server: Server, items: list[Raw], *events: Raw, code: int = 200) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "7"}, "items": items})
        lines = "".join(json.dumps(event) + "\n" for event in events)
        return web.Response(text=lines, status=code)

    server.answer = answer


async def test_a_watch_begins_with_the_object_as_it_is(gateway: Gateway, server: Server) -> None:
    stream(server, [{"n": 1}], {"type": "BOOKMARK", "object": {}}, {"type": "MODIFIED", "object": {"n": 2}})

    assert await watched(gateway) == [("ADDED", {"n": 1}), ("MODIFIED", {"n": 2})]
    assert [seen.query["fieldSelector"] for seen in server.seen] == ["metadata.name=x"] * 2
    assert server.seen[1].query["resourceVersion"] == "7"


async def test_a_watch_of_what_is_not_there_says_so(gateway: Gateway, server: Server) -> None:
    stream(server, [])

    assert await watched(gateway) == [(ABSENT, {})]


async def test_a_watch_that_is_too_old_is_an_error(gateway: Gateway, server: Server) -> None:
    gone = {"type": "ERROR", "object": {"code": 410, "reason": "Expired"}}
    stream(server, [{"n": 1}], gone)

    with pytest.raises(ApiError) as caught:
        await watched(gateway)
    assert (caught.value.code, caught.value.reason) == (410, "Expired")


async def test_all_of_a_kind_are_watched_from_a_version_on(gateway: Gateway, server: Server) -> None:
    stream(server, [], {"type": "ADDED", "object": {"n": 1}}, {"type": "BOOKMARK", "object": {"n": 2}})
    accepted: list[bool] = []
    events = gateway.events("Pod", "", "a=b", "7", lambda: accepted.append(True))

    assert [event async for event in events] == [("ADDED", {"n": 1}), ("BOOKMARK", {"n": 2})]
    assert accepted == [True]
    (seen,) = server.seen
    assert seen.path == "/api/v1/pods"
    assert (seen.query["resourceVersion"], seen.query["labelSelector"], seen.query["watch"]) == ("7", "a=b", "true")


async def test_of_large_objects_only_their_names_are_told(gateway: Gateway, server: Server) -> None:
    metadata = {"name": "x", "namespace": "ns", "uid": "u", "resourceVersion": "9"}
    more = {"annotations": {"a": "b" * HEAVY_BYTES}}
    large = {"kind": "Pod", "apiVersion": "v1", "metadata": {**metadata, **more}}
    ending = {**large, "metadata": {**metadata, "deletionTimestamp": "2026-01-01T00:00:00Z", **more}}
    lines = [{"type": "MODIFIED", "object": each} for each in (large, ending, {"n": 2})]
    text = "".join(json.dumps(each, separators=(",", ":")) + "\n" for each in lines)

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text)

    server.answer = answer
    events = [event async for event in gateway.events("Pod", "", "", "7", lambda: None)]
    named = {"namespace": "ns", "name": "x", "resourceVersion": "9"}
    assert events == [(UNREAD, {"metadata": named}), (UNREAD_ENDING, {"metadata": named}), ("MODIFIED", {"n": 2})]

    server.answer = None
    await gateway.get_one("Pod", NamespacedName("ns", "x"))
    assert server.seen[-1].path == POD_PATH


async def test_a_watch_that_is_not_accepted_is_no_contact(gateway: Gateway, server: Server) -> None:
    stream(server, [], code=403)
    accepted: list[bool] = []
    with pytest.raises(ApiError):
        await anext(gateway.events(KIND, "ns", "", "7", lambda: accepted.append(True)))

    assert not accepted


async def test_a_refused_watch_is_an_error(gateway: Gateway, server: Server) -> None:
    stream(server, [{"n": 1}], code=403)

    with pytest.raises(ApiError) as caught:
        await watched(gateway)
    assert caught.value.code == 403
