"""What goes over the wire where an object is too large to be changed."""

import pytest
from aiohttp import web

from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.workloads.requests import Lighten
from tests.unit.objects import NOW, POD_REF, POD_UID, Raw

from .wire import Server

LABELS: Raw = {"agentstop.dev/task": "x", "app": "x", "p": "v"}
METADATA: Raw = {"uid": POD_UID, "labels": LABELS, "managedFields": [{"manager": "kubelet"}]}
DEADLINE = {"op": "add", "path": "/spec/activeDeadlineSeconds", "value": 1}
SAME = {"op": "add", "path": "/metadata/uid", "value": POD_UID}
TOO_LARGE: Raw = {"kind": "Status", "message": "etcdserver: request is too large"}


def serve(server: Server, metadata: Raw, fits: int = 1) -> None:
    """Have the API server take the patch only the so-manieth time."""
    tries: list[Raw] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "PATCH":
            tries.append({})
            if len(tries) < fits:
                return web.json_response(TOO_LARGE, status=500)
        return web.json_response({"kind": "Pod", "metadata": metadata})

    server.answer = answer


def patches(server: Server) -> list[Raw]:
    return [{each["path"]: each["value"] for each in seen.body} for seen in server.seen if seen.method == "PATCH"]


async def test_the_bulk_goes_with_the_change_that_ends_the_pod(gateway: Gateway, server: Server) -> None:
    serve(server, METADATA)
    await gateway.send(Lighten(POD_REF, POD_UID, NOW, {"activeDeadlineSeconds": 1}, ("app",)))

    look, patch = server.seen
    assert (look.method, look.path) == ("GET", "/api/v1/namespaces/ns/pods/x")
    assert patch.headers["Content-Type"] == "application/json-patch+json"
    assert patch.query["fieldManager"] == "agentstop-stop"
    assert patch.body[0] == SAME
    assert patch.body[-1] == DEADLINE
    (change,) = patches(server)
    assert change["/metadata/labels"] == {"agentstop.dev/task": "x", "app": "x"}
    assert change["/metadata/managedFields"][0]["manager"] == "agentstop-stop"


async def test_where_even_our_mark_is_too_much_it_is_left_out(gateway: Gateway, server: Server) -> None:
    serve(server, METADATA, fits=2)
    await gateway.send(Lighten(POD_REF, POD_UID, NOW, {"activeDeadlineSeconds": 1}))

    assert [each["/metadata/managedFields"] for each in patches(server)][1] == [{}]
    assert all(each["/spec/activeDeadlineSeconds"] == 1 for each in patches(server))


async def test_another_pod_of_that_name_is_left_alone(gateway: Gateway, server: Server) -> None:
    serve(server, METADATA | {"uid": "another"})
    with pytest.raises(ApiError) as caught:
        await gateway.send(Lighten(POD_REF, POD_UID, NOW))
    assert (caught.value.code, patches(server)) == (409, [])


async def test_what_has_nothing_to_take_off_is_too_large_for_good(gateway: Gateway, server: Server) -> None:
    serve(server, {"uid": POD_UID, "labels": {"agentstop.dev/task": "x"}})
    with pytest.raises(ApiError) as caught:
        await gateway.send(Lighten(POD_REF, POD_UID, NOW))
    assert caught.value.too_large
    assert patches(server) == []


async def test_a_task_keeps_the_labels_by_which_orders_select(gateway: Gateway, server: Server) -> None:
    serve(server, METADATA)
    await gateway.lighten_task("ns", "x", POD_UID, {"app"})

    (change,) = patches(server)
    assert change["/metadata/labels"] == {"agentstop.dev/task": "x", "app": "x"}
    assert server.seen[-1].query["fieldManager"] == "agentstop"
