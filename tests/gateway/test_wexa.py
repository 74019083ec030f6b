"""Wexa's API: what its clients send, and what they are answered."""

import asyncio
import json
from typing import Any

import pytest

from agentstop.gateway.dialects.wexa.ids import NOBODY, project_id, task_id
from tests.support import agents
from tests.support.clusters import Cluster, Feature
from tests.support.gateways import Client, Gateway
from tests.support.laws import moment, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.waiting import PATIENCE, until

from .api import made
from .conftest import People

UNKNOWN = "680716d41a9ea363140a265c"
TASK_FIELDS = {
    "_id",
    "projectID",
    "created_at",
    "updated_at",
    "status",
    "created_by",
    "execution_ids",
    "execution_nodes",
    "name",
}
"""What Wexa says that each of its tasks has."""


@pytest.fixture
def wexa(gateway: Gateway, jane: str) -> Client:
    return Client(gateway, "/wexa", jane)


async def told(wexa: Client, path: str, name: str, value: object) -> Any:
    """Wait until a page says so of a field; return the page."""
    found: dict[str, Any] = {}

    async def says_so() -> bool:
        found.update(await wexa.get(path))
        return bool(found[name] == value)

    await until(says_so, PATIENCE, f"{name}: {value}")
    return found


async def test_a_running_task_is_stopped_and_proven(ns: Namespace, operator: Operator, wexa: Client) -> None:
    uid = await made(ns, "a", agents.graceful(), agent="writer")
    await ns.running("a")
    before = await wexa.get(f"/task/{task_id(uid)}")
    assert (before["status"], before["stop_requested"], before["name"]) == ("running", False, "a")
    answer = await wexa.ask("POST", f"/task/{task_id(uid)}/stop")
    found, task = answer.body, await ns.task("a")
    assert (answer.code, found["status"], found["stop_requested"]) == (201, "cancelled", True)
    assert found.keys() - {"stop_requested", "frozen"} == TASK_FIELDS
    assert (found["_id"], found["projectID"], found["created_by"]) == (task_id(uid), project_id(ns.name), NOBODY)
    assert (found["execution_ids"], found["execution_nodes"][0]["execution_id"]) == ([uid], uid)
    assert found["created_at"] == moment(task["metadata"]["creationTimestamp"]).timestamp()
    assert found["updated_at"] == moment(stop_of(task)["confirmedAt"]).timestamp()
    assert isinstance(found["updated_at"], float)
    after = await wexa.get(f"/task/{task_id(uid)}")
    (one,) = after.pop("executions")
    assert after == found
    assert (one["execution_id"], one["status"], one["conclusion"]) == (uid, "cancelled", None)


async def test_a_stop_that_comes_again_is_answered_alike(ns: Namespace, operator: Operator, wexa: Client) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    answers = await asyncio.gather(*(wexa.ask("POST", f"/task/{task_id(uid)}/stop") for _ in range(3)))
    answers += [await wexa.ask("POST", f"/task/{task_id(uid)}/stop") for _ in range(3)]
    assert {(each.code, each.text) for each in answers} == {(201, answers[0].text)}
    assert answers[0].body["status"] == "cancelled"


async def test_a_deaf_task_is_running_until_it_is_not(ns: Namespace, operator: Operator, wexa: Client) -> None:
    uid = await made(ns, "a", agents.DEAF, grace=12)
    await ns.running("a")
    found = (await wexa.ask("POST", f"/task/{task_id(uid)}/stop")).body
    assert (found["status"], found["stop_requested"]) == ("running", True)
    assert (await wexa.get(f"/execute_flow/{uid}"))["end_time"] is None
    assert ns.processes("a")
    found = await told(wexa, f"/execute_flow/{uid}", "status", "cancelled")
    assert not ns.processes("a")
    assert found["end_time"] == moment(stop_of(await ns.task("a"))["confirmedAt"]).timestamp()


async def test_a_task_is_paused_and_goes_on(ns: Namespace, operator: Operator, wexa: Client) -> None:
    path = f"/task/{task_id(await made(ns, 'a'))}"
    await ns.running("a")
    answer = await wexa.ask("POST", f"{path}/pause")
    assert (answer.code, answer.body["status"], ns.processes("a")) == (201, "paused", [])
    assert (await wexa.ask("POST", f"{path}/pause")).body == answer.body
    answer = await wexa.ask("POST", f"{path}/resume")
    assert (answer.code, answer.body["status"]) == (201, "running")
    assert (await wexa.ask("POST", f"{path}/resume")).body == answer.body
    await wexa.ask("POST", f"{path}/pause")
    answer = await wexa.ask("POST", f"{path}/stop")
    assert (answer.code, answer.body["status"]) == (201, "cancelled")


async def test_an_execution_is_paused_resumed_and_cancelled(ns: Namespace, operator: Operator, wexa: Client) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    for action, word in (("pause", "paused"), ("resume", "ready"), ("cancel", "cancelled"), ("cancel", "cancelled")):
        answer = await wexa.ask("POST", f"/execute_flow/{uid}/{action}")
        assert (answer.code, answer.body) == (201, {"execution_id": uid, "status": word})
    found = await wexa.get(f"/execute_flow/{uid}")
    assert (found["task_id"], found["projectID"], found["status"]) == (task_id(uid), project_id(ns.name), "cancelled")


@pytest.mark.parametrize("path", ["/execute_flow/{id}", "/execute_flow/", "/execute_flow//cancel"])
async def test_documents_cancel_an_execution_their_own_way(
    ns: Namespace, operator: Operator, wexa: Client, path: str
) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    body = json.dumps({"projectID": "67fdea40aac77be632954f13", "execution_id": uid}).encode()
    answer = await wexa.ask("POST", path.format(id=uid) + "?projectID=67fdea40aac77be632954f13", body)
    assert (answer.code, answer.body) == (201, {"execution_id": uid, "status": "cancelled"})


async def test_a_finished_task_stays_as_it_is(ns: Namespace, operator: Operator, wexa: Client) -> None:
    uid = await made(ns, "a", agents.ending(0))
    await ns.ended("a")
    version = (await ns.task("a"))["metadata"]["resourceVersion"]
    answer = await wexa.ask("POST", f"/task/{task_id(uid)}/stop")
    assert (answer.code, answer.body["status"], answer.body["stop_requested"]) == (201, "completed", False)
    for path in (f"/task/{task_id(uid)}/pause", f"/task/{uid}/resume", f"/execute_flow/{uid}/pause"):
        answer = await wexa.ask("POST", path)
        assert (answer.code, answer.body) == (409, {"detail": "the task has ended"})
    assert (await ns.task("a"))["metadata"]["resourceVersion"] == version


async def test_a_task_that_is_being_stopped_is_not_paused(ns: Namespace, operator: Operator, wexa: Client) -> None:
    uid = await made(ns, "a", agents.DEAF, grace=4)
    await ns.running("a")
    await ns.stop("a")
    await told(wexa, f"/task/{uid}", "stop_requested", True)
    answer = await wexa.ask("POST", f"/execute_flow/{uid}/pause")
    assert (answer.code, answer.body) == (409, {"detail": "a stop of the task is on its way"})
    assert not (await ns.ended("a"))["spec"].get("paused")


async def test_ids_lead_to_the_task_whatever_they_are(ns: Namespace, operator: Operator, wexa: Client) -> None:
    uid = await made(ns, "a", externalID=f"{UNKNOWN[:-8]}{ns.name[-8:]}")
    await ns.running("a")
    for each in (task_id(uid), task_id(uid).upper(), uid, uid.upper(), f"{UNKNOWN[:-8]}{ns.name[-8:]}"):
        assert (await wexa.get(f"/task/{each}"))["execution_ids"] == [uid]
        assert (await wexa.get(f"/execute_flow/{each}"))["execution_id"] == uid


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", f"/task/{UNKNOWN}", 404),
        ("POST", f"/task/{UNKNOWN}/stop", 404),
        ("POST", "/task/00000000-0000-4000-8000-000000000000/stop", 404),
        ("POST", "/task/a/stop", 404),
        ("POST", "/task//stop", 404),
        ("POST", "/task/%2e%2e%2fpods/stop", 404),
        ("POST", "/task/a%00b/stop", 422),
        ("POST", f"/task/{'x' * 300}/stop", 422),
        ("POST", "/task/a%0Ab/pause", 422),
        ("POST", f"/task/{UNKNOWN}/kill", 404),
        ("POST", f"/execute_flow/{UNKNOWN}/execute", 404),
        ("POST", "/execute_flow/", 422),
        ("POST", "/execute_flow//pause", 422),
        ("GET", "/execute_flow/", 422),
        ("GET", f"/tasks/{UNKNOWN}", 404),
        ("GET", "/tasks/%2e%2e", 422),
        ("GET", "/tasks/Capital", 422),
        ("GET", "/tasks/default?limit=0", 422),
        ("GET", "/tasks/default?limit=1001", 422),
        ("GET", "/tasks/default?skip=-1", 422),
        ("GET", "/tasks/default?skip=soon", 422),
        ("GET", "/tasks/default?skip=1&skip=2", 422),
        ("GET", "/nothing", 404),
    ],
)
async def test_what_leads_to_nothing(wexa: Client, method: str, path: str, code: int) -> None:
    answer = await wexa.ask(method, path)
    assert (answer.code, list(answer.body)) == (code, ["detail"])
    assert isinstance(answer.body["detail"], str)


async def test_a_method_that_is_not_there(wexa: Client) -> None:
    for path, allowed in ((f"/task/{UNKNOWN}", "GET, HEAD"), (f"/task/{UNKNOWN}/stop", "POST")):
        answer = await wexa.ask("DELETE", path)
        assert (answer.code, answer.body, answer.headers["Allow"]) == (405, {"detail": "Method Not Allowed"}, allowed)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"no json", 422),
        (b"[]", 422),
        (b'"cancel"', 422),
        (b'{"execution_id": 7}', 422),
        (b'{"projectID": {"a": 1}}', 422),
        (b'{"execution_id": "another"}', 422),
        (b'{"execution_id": "a\\u0000b"}', 422),
        (b'{"projectID": "a", "projectID": "b"}', 422),
        (b'{"a": ' + b"[" * 500 + b"]" * 500 + b"}", 413),
        (b'{"a": "' + b"x" * 2_000_000 + b'"}', 413),
        (b"\xff", 422),
    ],
)
async def test_bodies_that_are_none(ns: Namespace, operator: Operator, wexa: Client, body: bytes, code: int) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    paths = [f"/execute_flow/{uid}/cancel"] + ([] if b"another" in body or b"u0000" in body else [f"/task/{uid}/stop"])
    for path in paths:
        answer = await wexa.ask("POST", path, body)
        assert (answer.code, list(answer.body)) == (code, ["detail"]), path
    assert not (await ns.task("a"))["spec"].get("stopRequested")


async def test_two_tasks_with_one_id_are_a_conflict(ns: Namespace, operator: Operator, wexa: Client) -> None:
    uids = [await made(ns, name, externalID=f"run-{ns.name}") for name in "ab"]
    await ns.running("b")
    answer = await wexa.ask("POST", f"/task/run-{ns.name}/stop")
    assert answer.code == 409
    assert all(uid in answer.body["detail"] for uid in uids)
    for name in "ab":
        assert not (await ns.task(name))["spec"].get("stopRequested")


async def test_lists_are_of_one_project(ns: Namespace, operator: Operator, wexa: Client) -> None:
    parent = await made(ns, "p")
    children = [await made(ns, f"c{number}", parentRef={"name": "p"}) for number in range(3)]
    for name in ("p", "c0", "c1", "c2"):
        await ns.running(name)
    every = await wexa.get(f"/tasks/{project_id(ns.name)}")
    assert {each["_id"] for each in every} == {task_id(each) for each in (parent, *children)}
    assert all(each.keys() - {"stop_requested", "frozen"} == TASK_FIELDS for each in every)
    assert await wexa.get(f"/tasks/{ns.name}") == every
    assert await wexa.get(f"/tasks/{ns.name}?limit=2&skip=1") == every[1:3]
    assert await wexa.get(f"/tasks/{ns.name}?created_by={NOBODY}") == every
    assert await wexa.get(f"/tasks/{ns.name}?created_by={UNKNOWN}") == []
    found = await wexa.get(f"/task/{task_id(parent)}")
    assert found["execution_nodes"][0]["children"] == children
    assert (await wexa.get(f"/execute_flow/{children[0]}"))["parent_execution_id"] == parent


@pytest.mark.needs(Feature.RBAC)
async def test_others_are_refused_in_the_api_servers_words(
    ns: Namespace, operator: Operator, gateway: Gateway, people: People
) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    joe = Client(gateway, "/wexa", gateway.keys.add("joe"))
    for method, path in (
        ("GET", f"/task/{task_id(uid)}"),
        ("POST", f"/task/{task_id(uid)}/stop"),
        ("POST", f"/task/{task_id(uid)}/pause"),
        ("POST", f"/execute_flow/{uid}/cancel"),
        ("GET", f"/tasks/{project_id(ns.name)}"),
        ("GET", f"/tasks/{ns.name}"),
    ):
        answer = await joe.ask(method, path)
        assert (answer.code, 'User "joe" cannot' in answer.body["detail"]) == (403, True), path
    spec = (await ns.task("a"))["spec"]
    assert (spec.get("stopRequested"), spec.get("paused")) in {(None, None), (False, False)}


@pytest.mark.needs(Feature.RBAC)
async def test_who_asked_is_on_record(ns: Namespace, operator: Operator, wexa: Client) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    await wexa.ask("POST", f"/execute_flow/{uid}/cancel")
    assert stop_of(await ns.ended("a"))["requestedBy"] == "jane"


@pytest.mark.needs(Feature.OWN_SERVER)
async def test_an_api_server_that_is_away_is_said(
    ns: Namespace, operator: Operator, wexa: Client, cluster: Cluster
) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    with cluster.halted():
        answer = await wexa.ask("POST", f"/task/{task_id(uid)}/stop")
        assert (answer.code, "API server" in answer.body["detail"]) == (503, True)
    assert status(await ns.task("a"))["phase"] == "Running"
