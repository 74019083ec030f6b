"""How much of a list is asked for at once, and what one object in it can cost."""

import json

import pytest
from aiohttp import web

from agentstop.cluster import pages as pages_module
from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.pages import FIRST_PAGE, MAX_PAGE_BYTES, PAGE, pages, read_all
from agentstop.cluster.transport import Transport
from agentstop.workloads.requests import Get
from tests.unit.cluster.test_decoding import nested
from tests.unit.objects import POD_REF, Raw

from .wire import Server


def serve(server: Server, items: list[str], rest: Raw | None = None) -> list[int]:
    """Answer with as many items as are asked for; return where those are noted."""
    limits: list[int] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept-Encoding"] == "identity"
        start, limit = int(request.query.get("continue") or 0), int(request.query["limit"])
        limits.append(limit)
        end = start + limit
        metadata = {"resourceVersion": "7", "continue": str(end) if end < len(items) else ""}
        text = f'{{"items":[{",".join(items[start:end])}],"metadata":{json.dumps(metadata)}}}'
        return web.Response(text=text, content_type="application/json")

    server.answer = answer
    return limits


async def read(transport: Transport) -> list[Raw]:
    return [item async for page in pages(transport, "/x", {}) for item in page.items()]


def sized(number: int, size: int) -> str:
    return json.dumps({"n": number, "padding": "x" * size})


async def test_small_objects_come_in_long_pages(transport: Transport, server: Server) -> None:
    limits = serve(server, [sized(number, 1_000) for number in range(500)])
    assert [each["n"] for each in await read(transport)] == list(range(500))
    assert limits == [FIRST_PAGE, PAGE, PAGE, PAGE]


async def test_large_objects_come_in_short_pages(transport: Transport, server: Server) -> None:
    limits = serve(server, [sized(number, 600_000) for number in range(50)])
    assert [each["n"] for each in await read(transport)] == list(range(50))
    assert limits[0] == FIRST_PAGE
    assert set(limits[1:]) <= {6, 7}


async def test_a_page_that_grows_too_large_is_given_up_for_a_shorter_one(transport: Transport, server: Server) -> None:
    """As when 200 small objects of one tenant are followed by 200 large ones of another."""
    sizes = [100] * 400 + [1_200_000] * 30
    limits = serve(server, [sized(number, size) for number, size in enumerate(sizes)])
    assert [each["n"] for each in await read(transport)] == list(range(430))
    assert max(limits) == PAGE
    assert 1 < limits[-1] < 10


async def test_one_object_alone_may_be_larger_than_a_page(
    transport: Transport, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "MAX_PAGE_BYTES", 10_000)
    limits = serve(server, [sized(1, 100_000), sized(2, 100)])
    assert [each["n"] for each in await read(transport)] == [1, 2]
    assert limits[:3] == [FIRST_PAGE, 2, 1]
    assert MAX_PAGE_BYTES > 10_000


async def test_an_answer_has_a_bound(gateway: Gateway, server: Server) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b'{"a":"' + b"x" * (65 * 2**20) + b'"}')

    server.answer = answer
    with pytest.raises(ApiError, match="more than 64 MiB") as caught:
        await gateway.send(Get(POD_REF))
    assert (caught.value.code, caught.value.reason) == (0, "TooLarge")


@pytest.mark.parametrize("bad", [nested(5_000), "7", '{"metadata":7}', '{"metadata":{"name":1}}'])
async def test_one_object_costs_no_list_of_names(gateway: Gateway, server: Server, bad: str) -> None:
    good = '{"metadata":{"name":"%s","namespace":"ns","resourceVersion":"1"}}'
    serve(server, [good % "a", bad, good % "b"])
    assert [each["name"] for each in await gateway.list_metadata("Pod", "ns")] == ["a", "b"]


@pytest.mark.parametrize("bad", ["7", '{"a":\\x}'])
async def test_what_cannot_be_read_is_not_taken_for_nothing(transport: Transport, server: Server, bad: str) -> None:
    """Where all pods of a workload are read, to say that there are no others would be a lie."""
    serve(server, ["{}", bad])
    with pytest.raises(ApiError, match="cannot be read"):
        await read_all(transport, "/x", {})


@pytest.mark.parametrize("body", ["<html>", "{}", '{"items":[]}', '{"items":[{}', "[]"])
async def test_what_is_no_list_is_an_error(transport: Transport, server: Server, body: str) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=body)

    server.answer = answer
    with pytest.raises(ApiError, match="the list at /x cannot be read"):
        await read(transport)
