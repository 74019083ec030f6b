"""Our own API: tasks."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from agentstop.words.reasons import answer as plugin_answer
from tests.support import agents
from tests.support.clusters import Feature
from tests.support.gateways import Gateway
from tests.support.laws import stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.waiting import PATIENCE, until

from .api import PREFIX, ApiClient, made
from .conftest import People

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def api(gateway: Gateway, jane: str) -> ApiClient:
    return ApiClient(gateway, PREFIX, jane)


async def test_a_running_task_is_stopped_and_proven(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    uid = await made(ns, "a", agents.graceful(), agent="researcher", externalID="run 7/ä")
    await ns.running("a")
    before = await api.get(f"/tasks/{uid}")
    assert (before["phase"], before["proven"], before["stopping"], before["namespace"]) == (
        "Running",
        False,
        False,
        ns.name,
    )
    body = json.dumps({"reason": "RunawayCost", "message": "too dear", "gracePeriodSeconds": 4}).encode()
    answer = await api.ask("POST", "/tasks/run%207%2F%C3%A4/stop", body)
    assert answer.code == 200
    found = answer.body
    assert (found["id"], found["phase"], found["proven"]) == (uid, "Stopped", True)
    assert found["finishedAt"] == stop_of(await ns.task("a"))["confirmedAt"]
    stop = found["stop"]
    assert (stop["reason"], stop["message"], stop["gracePeriodSeconds"]) == ("RunawayCost", "too dear", 4)
    assert found["workload"]["pods"][0]["containers"][0]["exitCode"] == 0
    assert await api.get(f"/tasks/{uid}") == found


@pytest.mark.needs(Feature.RBAC)
async def test_who_asked_is_on_record(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    assert (await api.ask("POST", f"/tasks/{uid}/stop")).body["stop"]["requestedBy"] == "jane"


async def test_where_the_proof_is_out_it_is_said_where_to_look(
    ns: Namespace, operator: Operator, api: ApiClient
) -> None:
    uid = await made(ns, "a", agents.DEAF, grace=4)
    await ns.running("a")
    answer = await api.ask("POST", f"/tasks/{uid}/stop", Prefer="respond-async, wait=0")
    assert (answer.code, answer.headers["Preference-Applied"]) == (202, "wait=0")
    assert (answer.body["stopping"], answer.body["proven"], answer.headers["Location"]) == (
        True,
        False,
        f"{PREFIX}/tasks/{uid}",
    )
    await ns.ended("a")
    found = await api.get(answer.headers["Location"].removeprefix(PREFIX))
    assert (found["phase"], found["stop"]["verdict"], found["proven"]) == ("Stopped", "Killed", True)


async def test_a_stop_that_is_not_meant_changes_nothing(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    version = (await ns.task("a"))["metadata"]["resourceVersion"]
    answer = await api.ask("POST", f"/tasks/{uid}/stop?dryRun=All")
    assert (answer.code, answer.body["phase"]) == (200, "Running")
    for query in ("dryRun=None", "dryrun=All", "dryRun=All&dryRun=All"):
        assert (await api.ask("POST", f"/tasks/{uid}/stop?{query}")).code == 422, query
    assert (await ns.task("a"))["metadata"]["resourceVersion"] == version


async def test_a_finished_task_stays_as_it_is(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    uid = await made(ns, "a", agents.ending(0))
    await ns.ended("a")
    version = (await ns.task("a"))["metadata"]["resourceVersion"]
    answer = await api.ask("POST", f"/tasks/{uid}/stop")
    assert (answer.code, answer.body["phase"], "stop" in answer.body) == (200, "Completed", False)
    for verb in ("pause", "resume"):
        answer = await api.ask("POST", f"/tasks/{uid}/{verb}")
        assert (answer.code, answer.body["reason"]) == (409, "Conflict")
    assert (await ns.task("a"))["metadata"]["resourceVersion"] == version


async def test_pausing_and_resuming(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    answer = await api.ask("POST", f"/tasks/{uid}/pause")
    assert (answer.code, answer.body["phase"], answer.body["pauseRequested"]) == (200, "Paused", True)
    assert answer.body["pausedAt"]
    answer = await api.ask("POST", f"/tasks/{uid}/resume", b"{}")
    assert (answer.code, answer.body["phase"]) == (200, "Running")


async def test_lists_have_selectors_and_pages(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    uids = {await made(ns, f"t{number}", agent=f"a{number % 2}") for number in range(5)}
    for number in range(5):
        await ns.running(f"t{number}")
    await ns.merge_task("t0", {"metadata": {"labels": {"team": "x", "tier": "test"}}})
    await ns.merge_task("t1", {"metadata": {"labels": {"team": "x"}}})

    async def names(query: str) -> set[str]:
        return {each["name"] for each in (await api.get(f"/tasks?namespace={ns.name}&{query}"))["items"]}

    async def labelled() -> bool:
        return await names("labelSelector=team") == {"t0", "t1"}

    await until(labelled, PATIENCE, "labels known")
    assert await names("agent=a1") == {"t1", "t3"}
    assert await names("labelSelector=team%3Dx,tier!%3Dtest") == {"t1"}
    assert await names("phase=Running&agent=a0") == {"t0", "t2", "t4"}
    assert await names("phase=Stopped") == set()
    seen: list[str] = []
    query = f"/tasks?namespace={ns.name}&limit=2"
    page = await api.get(query)
    assert page["remaining"] == 3
    while True:
        seen += [each["id"] for each in page["items"]]
        if "continue" not in page:
            break
        await made(ns, f"later{len(seen)}")  # which moves nothing that is still to come
        page = await api.get(f"{query}&continue={page['continue']}")
    assert (len(seen), uids <= set(seen)) == (len(set(seen)), True)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=x",
        "phase=Dead",
        "namespace=..%2F..%2Fpods",
        "namespace=A",
        "labelSelector=a%20b",
        "labelSelector=a%0Ab",
        "continue=x",
        "continue=%C3%A4",
        "agent=",
        "page=2",
        "limit=1&limit=2",
    ],
)
async def test_queries_that_are_none(api: ApiClient, query: str) -> None:
    answer = await api.ask("GET", f"/tasks?{query}")
    assert (answer.code, answer.body["reason"], answer.body["where"].partition(".")[0]) == (422, "Invalid", "query")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"no json", 422),
        (b"[]", 422),
        (b'{"reason": "A", "reason": "B"}', 422),
        (b'{"gracePeriodSeconds": "5"}', 422),
        (b'{"gracePeriodSeconds": 0}', 422),
        (b'{"gracePeriodSeconds": true}', 422),
        (b'{"reason": "two words"}', 422),
        (b'{"message": 5}', 422),
        (b'{"message": "\\ud800"}', 422),
        (b'{"grace": 5}', 422),
        (b'{"a": ' + b"[" * 500 + b"]" * 500 + b"}", 413),
        (b'{"message": "' + b"x" * 2_000_000 + b'"}', 413),
        (b"\xff", 422),
    ],
)
async def test_bodies_that_are_none(ns: Namespace, operator: Operator, api: ApiClient, body: bytes, code: int) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    answer = await api.ask("POST", f"/tasks/{uid}/stop", body)
    assert answer.code == code
    assert answer.body["detail"]
    assert not (await ns.task("a"))["spec"].get("stopRequested")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/tasks/{UNKNOWN}", 404),
        ("/tasks/nobody", 404),
        ("/tasks/%2e%2e%2fpods", 404),
        ("/tasks/a%00b", 422),
        ("/tasks/a%0Ab", 422),
        ("/a%0Ab", 404),
        (f"/tasks/{'x' * 300}", 422),
        ("/tasks/", 404),
        ("/nothing", 404),
        ("//tasks", 404),
    ],
)
async def test_ids_that_are_none(api: ApiClient, path: str, code: int) -> None:
    answer = await api.ask("GET", path)
    assert (answer.code, answer.body["status"], answer.body["type"]) == (code, code, "about:blank")
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_method_that_is_not_there(api: ApiClient) -> None:
    answer = await api.ask("DELETE", f"/tasks/{UNKNOWN}")
    assert (answer.code, answer.headers["Allow"], answer.body["reason"]) == (405, "GET, HEAD", "MethodNotAllowed")


async def test_two_tasks_with_one_id_are_a_conflict(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    uids = [await made(ns, name, externalID=f"run-{ns.name}") for name in "ab"]
    await ns.running("b")
    answer = await api.ask("POST", f"/tasks/run-{ns.name}/stop")
    assert (answer.code, all(uid in answer.body["detail"] for uid in uids)) == (409, True)


async def test_a_family_as_a_tree(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    uids = {"p": await made(ns, "p")}
    uids["m"] = await made(ns, "m", parentRef={"name": "p"})
    for name in ("c0", "c1"):
        uids[name] = await made(ns, name, parentRef={"name": "m"})
    for name in uids:
        await ns.running(name)
    found = await api.get(f"/tasks/{uids['m']}/tree")
    assert ([each["id"] for each in found["ancestors"]], found["task"]["id"]) == ([uids["p"]], uids["m"])
    assert {each["id"] for each in found["descendants"]} == {uids["c0"], uids["c1"]}
    assert {each["parent"]["id"] for each in found["descendants"]} == {uids["m"]}
    found = await api.get(f"/tasks/{uids['p']}/tree")
    assert (found["descendantCount"], found["descendants"][0]["name"]) == (3, "m")


async def test_why_has_the_words_of_the_plugin(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    assert "nobody has asked to stop it" in (await api.get(f"/tasks/{uid}/why"))["headline"]
    await api.ask("POST", f"/tasks/{uid}/stop", b'{"reason": "RunawayCost"}')
    found = await api.get(f"/tasks/{uid}/why")
    task = await ns.task("a")
    expected: dict[str, Any] = plugin_answer(task, [], datetime.now(UTC)).data()
    assert (found["headline"], found["proof"]) == (expected["headline"], expected["proof"])
    assert "they said: RunawayCost" in found["facts"]


async def test_why_of_one_that_ended_by_itself_has_its_events(
    ns: Namespace, operator: Operator, api: ApiClient
) -> None:
    uid = await made(ns, "a", agents.ending(0, 3))
    await ns.ended("a")
    found = await api.get(f"/tasks/{uid}/why")
    assert "nobody stopped a" in found["headline"]


async def test_stops_side_by_side_are_one(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    answers = await asyncio.gather(*(api.ask("POST", f"/tasks/{uid}/stop") for _ in range(5)))
    assert {(each.code, each.body["phase"], each.body["finishedAt"]) for each in answers} == {
        (200, "Stopped", stop_of(await ns.ended("a"))["confirmedAt"])
    }


@pytest.mark.needs(Feature.RBAC)
async def test_others_are_refused_in_the_api_servers_words(
    ns: Namespace, operator: Operator, gateway: Gateway, people: People
) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    joe = ApiClient(gateway, PREFIX, gateway.keys.add("joe"))
    refused = (
        ("GET", f"/tasks/{uid}"),
        ("GET", f"/tasks/{uid}/tree"),
        ("GET", f"/tasks/{uid}/why"),
        ("POST", f"/tasks/{uid}/stop"),
        ("POST", f"/tasks/{uid}/stop?dryRun=All"),
        ("POST", f"/tasks/{uid}/pause"),
        ("GET", f"/tasks?namespace={ns.name}"),
    )
    for method, path in refused:
        answer = await joe.ask(method, path)
        assert (answer.code, 'User "joe" cannot' in answer.body["detail"]) == (403, True), path
    assert (await joe.get("/tasks"))["items"] == []
    await people.bind("joe", "agentstop-view")
    assert (await joe.get(f"/tasks/{uid}"))["phase"] == "Running"
    assert (await joe.ask("POST", f"/tasks/{uid}/stop")).code == 403
    assert not (await ns.task("a"))["spec"].get("stopRequested")
