"""Blackbox: the API of its cloud, and the newer one of its agents."""

import asyncio
import json
from datetime import datetime

import pytest

from tests.support import agents
from tests.support.clusters import Feature
from tests.support.gateways import Answer, Client, Gateway
from tests.support.laws import status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator

from .api import made
from .conftest import People

UNKNOWN = "00000000-0000-4000-8000-000000000000"
STOP = b'{"action": "stop"}'
CANCEL = b'{"action": "cancel"}'

POLL_SECONDS = 0.2
POLLS = 150


@pytest.fixture
def cloud(gateway: Gateway, jane: str) -> Client:
    return Client(gateway, "/blackbox/api/tasks", jane)


@pytest.fixture
def agent(gateway: Gateway, jane: str) -> Client:
    return Client(gateway, "/blackbox/api/v1/tasks", jane)


async def change(client: Client, uid: str, body: bytes) -> Answer:
    return await client.ask("PATCH", f"/{uid}", body, **{"Content-Type": "application/json"})


def is_moment(text: str, exact: str) -> bool:
    """Whether it is this moment, in UTC and cut to milliseconds."""
    moment = datetime.fromisoformat(exact)
    return text == moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


async def unchanged(ns: Namespace, name: str) -> bool:
    return not (await ns.task(name))["spec"].get("stopRequested")


# The cloud's API


async def test_a_running_task_is_stopped_and_proven(ns: Namespace, operator: Operator, cloud: Client) -> None:
    uid = await made(ns, "a", agents.graceful(), agent="claude")
    await ns.running("a")
    before = (await cloud.get(f"/{uid}"))["task"]
    assert (before["status"], before["error"], before["completedAt"]) == ("processing", None, None)
    answer = await change(cloud, uid, STOP)
    assert (answer.code, answer.body["message"]) == (200, "Task stopped successfully")
    found = answer.body["task"]
    assert (found["id"], found["status"], found["error"]) == (uid, "stopped", "Task was stopped by user")
    assert found["selectedAgent"] == "claude"
    for name in ("completedAt", "updatedAt"):
        assert is_moment(found[name], stop_of(await ns.task("a"))["confirmedAt"])
    assert (await cloud.get(f"/{uid}"))["task"] == found
    polled = await cloud.get(f"/{uid}/status")
    assert (polled["taskId"], polled["status"], polled["inProgress"], polled["isDone"]) == (uid, "stopped", False, True)
    assert polled["duration"].removesuffix("s").isdecimal()


@pytest.mark.needs(Feature.RBAC)
async def test_who_asked_is_on_record(ns: Namespace, operator: Operator, cloud: Client, agent: Client) -> None:
    for name, client, body in (("a", cloud, STOP), ("b", agent, CANCEL)):
        uid = await made(ns, name, agents.graceful())
        await ns.running(name)
        await change(client, uid, body)
        assert stop_of(await ns.ended(name))["requestedBy"] == "jane"


async def test_a_deaf_task_is_not_stopped_before_it_is(ns: Namespace, operator: Operator, cloud: Client) -> None:
    uid = await made(ns, "a", agents.DEAF, grace=12)
    await ns.running("a")
    answer = await change(cloud, uid, STOP)
    found = answer.body["task"]
    assert (answer.code, found["status"], found["error"], found["completedAt"]) == (200, "saving", None, None)
    assert "successfully" not in answer.body["message"]
    polled = await cloud.get(f"/{uid}/status")
    assert (polled["inProgress"], polled["isDone"], polled["duration"]) == (True, False, None)
    for _ in range(POLLS):
        polled = await cloud.get(f"/{uid}/status")
        if polled["isDone"]:
            break
        assert polled["status"] == "saving"
        await asyncio.sleep(POLL_SECONDS)
    assert (polled["status"], polled["error"]) == ("stopped", "Task was stopped by user")
    assert stop_of(await ns.task("a"))["verdict"] == "Killed"


async def test_a_pending_task_never_starts(ns: Namespace, operator: Operator, cloud: Client) -> None:
    task = await ns.create_task("a", agents.template(nodeSelector={"nobody": "has-it"}))
    uid = task["metadata"]["uid"]
    await ns.until("a", lambda each: bool(status(each).get("workload")), what="seen by the operator")
    assert (await cloud.get(f"/{uid}/status"))["status"] == "pending"
    answer = await change(cloud, uid, STOP)
    assert (answer.code, answer.body["task"]["status"]) == (200, "stopped")
    assert (await cloud.get(f"/{uid}/status"))["duration"] is None


async def test_a_paused_task_is_stopped(ns: Namespace, operator: Operator, cloud: Client, agent: Client) -> None:
    for name, client, body in (("a", cloud, STOP), ("b", agent, CANCEL)):
        uid = await made(ns, name, agents.graceful())
        await ns.running(name)
        await ns.patch(name, paused=True)
        await ns.phase(name, "Paused")
        assert (await cloud.get(f"/{uid}/status"))["status"] == "processing"
        assert (await change(client, uid, body)).code == 200
        assert (await cloud.get(f"/{uid}/status"))["status"] == "stopped"


async def test_what_is_not_in_progress_is_refused(
    ns: Namespace, operator: Operator, cloud: Client, agent: Client
) -> None:
    uid = await made(ns, "a", agents.ending(0))
    await ns.ended("a")
    version = (await ns.task("a"))["metadata"]["resourceVersion"]
    answer = await change(cloud, uid, STOP)
    assert (answer.code, answer.body) == (400, {"error": "Task can only be stopped when it is in progress"})
    answer = await change(agent, uid, CANCEL)
    assert (answer.code, list(answer.body)) == (400, ["error"])
    assert (await ns.task("a"))["metadata"]["resourceVersion"] == version
    polled = await cloud.get(f"/{uid}/status")
    assert (polled["status"], polled["progress"], polled["error"]) == ("completed", 100, None)


async def test_stops_side_by_side_and_once_more(ns: Namespace, operator: Operator, cloud: Client) -> None:
    uid = await made(ns, "a", agents.graceful(1))
    await ns.running("a")
    answers = await asyncio.gather(*(change(cloud, uid, STOP) for _ in range(4)))
    assert {(each.code, each.body["task"]["status"]) for each in answers} == {(200, "stopped")}
    assert (await change(cloud, uid, STOP)).code == 400


async def test_an_id_of_elsewhere_leads_to_its_task(ns: Namespace, operator: Operator, cloud: Client) -> None:
    born = f"-Q{ns.name}_Z"
    uid = await made(ns, "a", externalID=born)
    await ns.running("a")
    answer = await change(cloud, born, STOP)
    assert (answer.code, answer.body["task"]["id"]) == (200, uid)


async def test_two_tasks_with_one_id_are_a_conflict(ns: Namespace, operator: Operator, cloud: Client) -> None:
    uids = [await made(ns, name, externalID=f"run-{ns.name}") for name in "ab"]
    await ns.running("b")
    answer = await change(cloud, f"run-{ns.name}", STOP)
    assert (answer.code, all(uid in answer.body["error"] for uid in uids)) == (409, True)
    assert await unchanged(ns, "a")
    assert await unchanged(ns, "b")


@pytest.mark.needs(Feature.RBAC)
async def test_what_is_not_yours_is_not_there(
    ns: Namespace, operator: Operator, gateway: Gateway, people: People
) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    key = gateway.keys.add("joe")
    joe, newer = Client(gateway, "/blackbox/api/tasks", key), Client(gateway, "/blackbox/api/v1/tasks", key)
    for answer in (
        await joe.ask("GET", f"/{uid}"),
        await joe.ask("GET", f"/{uid}/status"),
        await change(joe, uid, STOP),
    ):
        assert (answer.code, answer.body) == (404, {"error": "Task not found"})
    answer = await change(newer, uid, CANCEL)
    assert (answer.code, 'User "joe" cannot' in answer.body["error"]) == (403, True)
    assert (await joe.get(""))["tasks"] == (await newer.get(""))["tasks"] == []
    await people.bind("joe", "agentstop-view")
    assert (await joe.get(f"/{uid}/status"))["status"] == "processing"
    answer = await change(joe, uid, STOP)
    assert (answer.code, 'User "joe" cannot' in answer.body["error"]) == (403, True)
    assert await unchanged(ns, "a")


async def test_without_a_key_the_answer_is_blackbox_own(gateway: Gateway) -> None:
    for path in (f"/blackbox/api/tasks/{UNKNOWN}", "/blackbox/api/v1/tasks"):
        answer = await gateway.ask("GET", path)
        assert answer.code == 401
        assert answer.body == {"error": "Unauthorized", "message": "Invalid or missing API key", "status": 401}


async def test_lists_have_parts_and_filters(ns: Namespace, operator: Operator, cloud: Client, agent: Client) -> None:
    uids = {await made(ns, name) for name in "abc"}
    for name in "abc":
        await ns.running(name)
    first = await cloud.get("?status=active&limit=1")
    assert (len(first["tasks"]), first["hasMore"], first["offset"], first["limit"]) == (1, True, 0, 1)
    seen = {each["id"] for each in (await cloud.get("?status=active&filter=tasks&limit=100"))["tasks"]}
    assert uids <= seen
    assert (await cloud.get("?filter=batch"))["tasks"] == []
    stopped = min(uids)
    await change(cloud, stopped, STOP)
    assert stopped in {each["id"] for each in (await cloud.get("?status=stopped&limit=100"))["tasks"]}
    assert stopped not in {each["id"] for each in (await cloud.get("?status=active&limit=100"))["tasks"]}
    page = await agent.get("?status=running&limit=1")
    assert (len(page["tasks"]), page["page"], page["limit"], page["hasMore"]) == (1, 1, 1, True)
    assert stopped in {each["runId"] for each in (await agent.get("?status=cancelled&limit=100"))["tasks"]}


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=many", "offset=-1", "filter=mine", "status=cancelled", "limit=1&limit=2"]
)
async def test_queries_that_are_none(cloud: Client, query: str) -> None:
    answer = await cloud.ask("GET", f"?{query}")
    assert (answer.code, list(answer.body)) == (400, ["error"])


BODIES = [
    (b"", 400),
    (b"no json", 400),
    (b"[]", 400),
    (b'"stop"', 400),
    (b"{}", 400),
    (b'{"action": "delete"}', 400),
    (b'{"action": "STOP"}', 400),
    (b'{"action": null}', 400),
    (b'{"action": ["stop"]}', 400),
    (b'{"action": {"stop": true}}', 400),
    (b'{"action": "stop", "action": "cancel"}', 400),
    (b'{"action": "cancel", "action": "stop"}', 400),
    (b'{"title": "another"}', 400),
    (b'{"action": "stop", "deep": ' + b"[" * 500 + b"]" * 500 + b"}", 413),
    (b"[" * 100_000, 413),
    (b'{"action": "' + b"x" * 2_000_000 + b'"}', 413),
    (b"\xff", 400),
]


@pytest.mark.parametrize("api", ["cloud", "agent"])
async def test_bodies_that_are_none(
    ns: Namespace, operator: Operator, request: pytest.FixtureRequest, api: str, cloud: Client, agent: Client
) -> None:
    client = {"cloud": cloud, "agent": agent}[api]
    uid = await made(ns, "a")
    await ns.running("a")
    for body, code in [*BODIES, (CANCEL if api == "cloud" else STOP, 400)]:
        answer = await change(client, uid, body)
        assert (answer.code, list(answer.body)) == (code, ["error"]), body[:60]
    assert await unchanged(ns, "a")


@pytest.mark.parametrize(
    "given", [UNKNOWN, "a", "%2e%2e%2fpods", "..%2f..%2fapi", "a%00b", "x" * 300, "%F0%9F%92%A5", "a%0Ab"]
)
async def test_ids_that_are_none(cloud: Client, agent: Client, given: str) -> None:
    for answer in (
        await cloud.ask("GET", f"/{given}"),
        await agent.ask("GET", f"/{given}/status"),
        await change(cloud, given, STOP),
        await change(agent, given, CANCEL),
    ):
        assert (answer.code, answer.body) == (404, {"error": "Task not found"})


async def test_methods_and_pages_that_are_not_there(cloud: Client) -> None:
    answer = await cloud.ask("POST", f"/{UNKNOWN}")
    assert (answer.code, answer.body) == (405, {"error": "Method not allowed"})
    assert answer.headers["Allow"] == "GET, HEAD, PATCH"
    answer = await cloud.ask("GET", f"/{UNKNOWN}/logs")
    assert (answer.code, answer.body) == (404, {"error": "Not found"})


# The agents' API


async def test_a_run_is_cancelled_and_proven(ns: Namespace, operator: Operator, agent: Client) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    before = await agent.get(f"/{uid}")
    assert (before["taskId"], before["runId"], before["status"], before["completedAt"]) == (uid, uid, "running", None)
    assert (await agent.get(f"/{uid}/status"))["status"] == "in_progress"
    answer = await change(agent, uid, json.dumps({"action": "cancel", "title": "another"}).encode())
    message = f"Task {uid} cancelled successfully"
    assert (answer.code, answer.body) == (200, {"success": True, "status": "cancelled", "message": message})
    polled = await agent.get(f"/{uid}/status")
    assert (polled["runId"], polled["status"], polled["error"]) == (uid, "cancelled", "Task was stopped by user")
    assert is_moment(polled["completedAt"], stop_of(await ns.task("a"))["confirmedAt"])


async def test_a_deaf_run_is_not_cancelled_before_it_is(ns: Namespace, operator: Operator, agent: Client) -> None:
    uid = await made(ns, "a", agents.DEAF, grace=12)
    await ns.running("a")
    answer = await change(agent, uid, CANCEL)
    assert (answer.code, answer.body["status"]) == (200, "running")
    assert "successfully" not in answer.body["message"]
    polled = await agent.get(f"/{uid}/status")
    assert (polled["status"], polled["completedAt"]) == ("in_progress", None)
    await ns.ended("a")
    assert (await agent.get(f"/{uid}"))["status"] == "cancelled"
