"""What xpander's SDK sends: a DELETE stops, lists are bare arrays, a worker's stale record moves nothing."""

import asyncio
import json

import pytest

from tests.support import agents
from tests.support.gateways import Client, Gateway
from tests.support.kube import TASKS
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.waiting import PATIENCE, until

from .api import made


@pytest.fixture
def sdk(gateway: Gateway, jane: str) -> Client:
    return Client(gateway, "/xpander", jane)


@pytest.mark.parametrize("organization", [False, True])
async def test_deleting_stops_and_keeps_the_record(
    ns: Namespace, operator: Operator, sdk: Client, organization: bool
) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    prefix = f"/{ns.name}" if organization else ""
    answer = await sdk.ask("DELETE", f"{prefix}/agent-execution/{uid}")
    assert (answer.code, answer.body["status"], answer.body["id"]) == (200, "stopped", uid)
    assert answer.headers["Content-Type"].startswith("application/json")
    assert await sdk.get(f"{prefix}/agent-execution/{uid}/status") == answer.body
    assert len(await ns.kube.list(TASKS, ns.name)) == 1


async def test_another_organization_is_refused(ns: Namespace, operator: Operator, sdk: Client) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    for method, path in (("DELETE", ""), ("GET", "/status"), ("GET", "/events"), ("PATCH", "/update")):
        answer = await sdk.ask(method, f"/default/agent-execution/{uid}{path}", b"{}" if method == "PATCH" else None)
        assert answer.code == 403, answer
    assert not (await ns.task("a"))["spec"].get("stopRequested")


@pytest.mark.parametrize("claimed", ["executing", "completed", "stopped", "failed"])
async def test_a_workers_record_moves_nothing(ns: Namespace, operator: Operator, sdk: Client, claimed: str) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    stale = await sdk.get(f"/agent-execution/{uid}/status")
    record = json.dumps({**stale, "status": claimed, "is_manually_stopped": False, "result": "done"}).encode()
    answer = await sdk.ask("PATCH", f"/agent-execution/{uid}/update", record)
    assert (answer.code, answer.body["status"]) == (200, "executing")
    await sdk.ask("DELETE", f"/agent-execution/{uid}")
    answer = await sdk.ask("PATCH", f"/agent-execution/{uid}/update", record)
    assert (answer.code, answer.body["status"], answer.body["is_manually_stopped"]) == (200, "stopped", True)
    assert answer.body["result"] is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"no json", 422),
        (b"[]", 422),
        (b'{"a": 1, "a": 2}', 422),
        (b'{"a": NaN}', 422),
        (b'{"a": ' + b"[" * 500 + b"]" * 500 + b"}", 413),
        (b"[" * 100_000, 413),
        (b'{"a": "' + b"x" * 2_000_000 + b'"}', 413),
        (b"\xff", 422),
    ],
)
async def test_bodies_that_are_none(ns: Namespace, operator: Operator, sdk: Client, body: bytes, code: int) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    answer = await sdk.ask("PATCH", f"/agent-execution/{uid}/update", body)
    assert answer.code == code
    assert "detail" in answer.body


async def test_histories_are_bare_arrays(ns: Namespace, operator: Operator, sdk: Client) -> None:
    uid = await made(ns, "a", agent=ns.name)
    await made(ns, "b", agent="another")
    await ns.running("a")
    found = await sdk.get(f"/agent-execution/executions/history/{ns.name}?status=executing")
    assert [each["id"] for each in found] == [uid]
    assert await sdk.get(f"/agent-execution/executions/history/{ns.name}?status=stopped") == []
    assert await sdk.get("/agent-execution/executions/history/user/jane") == []


async def test_events_tell_each_change_until_the_end(ns: Namespace, operator: Operator, sdk: Client) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    following = asyncio.create_task(sdk.ask("GET", f"/{ns.name}/agent-execution/{uid}/events"))
    await sdk.ask("DELETE", f"/agent-execution/{uid}")
    answer = await asyncio.wait_for(following, PATIENCE)
    assert answer.headers["Content-Type"] == "text/event-stream"
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data:")]
    assert events[0]["type"] == "connected"
    assert {each["type"] for each in events[1:-1]} <= {"task_updated"}
    last = events[-1]
    assert (last["type"], last["data"]["status"], last["task_id"]) == ("task_finished", "stopped", uid)
    assert not any(each["data"]["status"] == "stopped" for each in events[1:-1])


async def test_who_asks_for_the_head_of_a_stream_gets_no_more(
    ns: Namespace, operator: Operator, gateway: Gateway, sdk: Client
) -> None:
    async def none_is_open() -> bool:
        return "agentstop_gateway_streams 0.0" in (await gateway.ask("GET", "/metrics")).text

    uid = await made(ns, "a")
    await ns.running("a")
    await until(none_is_open, PATIENCE, "those of other tests closed")
    async with asyncio.timeout(PATIENCE):
        answer = await sdk.ask("HEAD", f"/{ns.name}/agent-execution/{uid}/events")
    assert (answer.code, answer.text, answer.headers["Content-Type"]) == (200, "", "text/event-stream")
    assert await none_is_open()
