"""xpander's REST API: what its clients send, and what they are answered."""

import asyncio

import pytest

from tests.support import agents
from tests.support.clusters import Feature
from tests.support.gateways import Client, Gateway
from tests.support.kube import TASKS
from tests.support.laws import status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator

from .api import made
from .conftest import People

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def xpander(gateway: Gateway, jane: str) -> Client:
    return Client(gateway, "/xpander", jane)


async def test_a_running_task_is_stopped_and_proven(ns: Namespace, operator: Operator, xpander: Client) -> None:
    uid = await made(ns, "a", agents.graceful(), agent="researcher")
    await ns.running("a")
    before = await xpander.get(f"/v1/tasks/{uid}")
    assert (before["status"], before["is_manually_stopped"], before["finished_at"]) == ("executing", False, None)
    assert before["input"] == {"text": "", "files": [], "user": None}
    answer = await xpander.ask("POST", f"/v1/tasks/{uid}/stop")
    assert answer.code == 200
    found = answer.body
    task = await ns.task("a")
    assert (found["id"], found["agent_id"], found["organization_id"]) == (uid, "researcher", ns.name)
    assert (found["status"], found["is_manually_stopped"]) == ("stopped", True)
    assert found["finished_at"] == stop_of(task)["confirmedAt"]
    assert found["started_at"] == status(task)["startedAt"]
    assert await xpander.get(f"/v1/tasks/{uid}") == found


@pytest.mark.needs(Feature.RBAC)
async def test_who_asked_is_on_record(ns: Namespace, operator: Operator, xpander: Client) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    await xpander.ask("POST", f"/v1/tasks/{uid}/stop")
    assert stop_of(await ns.ended("a"))["requestedBy"] == "jane"


async def test_a_deaf_task_is_not_stopped_before_it_is(ns: Namespace, operator: Operator, xpander: Client) -> None:
    uid = await made(ns, "a", agents.DEAF, grace=12)
    await ns.running("a")
    found = (await xpander.ask("POST", f"/v1/tasks/{uid}/stop")).body
    assert (found["status"], found["is_manually_stopped"]) == ("executing", True)
    assert (found["internal_status"], found["finished_at"]) == ("stopping", None)
    await ns.ended("a")
    found = await xpander.get(f"/v1/tasks/{uid}")
    assert (found["status"], found["internal_status"]) == ("stopped", "stopped")


async def test_a_pending_task_never_starts(ns: Namespace, operator: Operator, xpander: Client) -> None:
    task = await ns.create_task("a", agents.template(nodeSelector={"nobody": "has-it"}))
    await ns.until("a", lambda each: bool(status(each).get("workload")), what="seen by the operator")
    found = (await xpander.ask("POST", f"/v1/tasks/{task['metadata']['uid']}/stop")).body
    assert (found["status"], found["started_at"]) == ("stopped", None)


async def test_a_finished_task_stays_as_it_is(ns: Namespace, operator: Operator, xpander: Client) -> None:
    uid = await made(ns, "a", agents.ending(0))
    await ns.ended("a")
    version = (await ns.task("a"))["metadata"]["resourceVersion"]
    answer = await xpander.ask("POST", f"/v1/tasks/{uid}/stop")
    assert (answer.code, answer.body["status"], answer.body["is_manually_stopped"]) == (200, "completed", False)
    assert (await ns.task("a"))["metadata"]["resourceVersion"] == version


async def test_stops_side_by_side_are_one(ns: Namespace, operator: Operator, xpander: Client) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    answers = await asyncio.gather(*(xpander.ask("POST", f"/v1/tasks/{uid}/stop") for _ in range(5)))
    assert {each.code for each in answers} == {200}
    assert {each.body["status"] for each in answers} == {"stopped"}
    assert answers[0].body["finished_at"] == stop_of(await ns.ended("a"))["confirmedAt"]


async def test_an_id_of_elsewhere_leads_to_its_task(ns: Namespace, operator: Operator, xpander: Client) -> None:
    uid = await made(ns, "a", externalID="run 7/ä")
    await ns.running("a")
    found = (await xpander.ask("POST", "/v1/tasks/run%207%2F%C3%A4/stop")).body
    assert (found["id"], found["status"]) == (uid, "stopped")


async def test_two_tasks_with_one_id_are_a_conflict(ns: Namespace, operator: Operator, xpander: Client) -> None:
    uids = [await made(ns, name, externalID=f"run-{ns.name}") for name in "ab"]
    await ns.running("b")
    answer = await xpander.ask("POST", f"/v1/tasks/run-{ns.name}/stop")
    assert answer.code == 409
    assert all(uid in answer.body["detail"] for uid in uids)
    for name in "ab":
        assert not (await ns.task(name))["spec"].get("stopRequested")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/v1/tasks/{UNKNOWN}", 404),
        ("/v1/tasks/a", 422),
        ("/v1/tasks/%2e%2e%2fpods", 422),
        ("/v1/tasks/a%00b", 422),
        ("/v1/tasks/a%0Ab", 422),
        (f"/v1/tasks/{'x' * 300}", 422),
        ("/v1/tasks/", 404),
        ("/v1/nothing", 404),
        ("//v1/tasks", 404),
    ],
)
async def test_ids_that_are_none(xpander: Client, path: str, code: int) -> None:
    answer = await xpander.ask("GET", path)
    assert answer.code == code
    if code == 422:
        assert answer.body["detail"][0]["loc"] == ["path", "task_id"]
    else:
        assert isinstance(answer.body["detail"], str)


async def test_a_method_that_is_not_there(xpander: Client) -> None:
    answer = await xpander.ask("PUT", f"/v1/tasks/{UNKNOWN}")
    assert (answer.code, answer.body) == (405, {"detail": "Method Not Allowed"})
    assert answer.headers["Allow"] == "DELETE, GET, HEAD"


async def test_lists_have_pages_and_filters(ns: Namespace, operator: Operator, xpander: Client) -> None:
    parent = await made(ns, "p", agent=ns.name)
    children = {await made(ns, f"c{number}", parentRef={"name": "p"}, agent=ns.name) for number in range(3)}
    for name in ("p", "c0", "c1", "c2"):
        await ns.running(name)
    first = await xpander.get(f"/v1/tasks?agent_id={ns.name}&per_page=3")
    last = await xpander.get(f"/v1/tasks?agent_id={ns.name}&per_page=3&page=2")
    assert (first["total"], first["total_pages"], len(first["items"]), len(last["items"])) == (4, 2, 3, 1)
    assert {each["id"] for each in first["items"] + last["items"]} == {parent, *children}
    found = await xpander.get(f"/v1/tasks?parent_task_id={parent}&triggering_agent_id={ns.name}&status=executing")
    assert {each["id"] for each in found["items"]} == children
    assert (await xpander.get(f"/v1/tasks?agent_id={ns.name}&status=stopped"))["items"] == []
    record = await xpander.get(f"/v1/tasks/{parent}")
    assert set(record["sub_executions"]) == children
    assert (await xpander.get(f"/v1/tasks/{min(children)}"))["parent_execution"] == parent
    for query in ("page=0", "per_page=51", "status=cancelled", "from_date=soon", "page=1&page=2"):
        answer = await xpander.ask("GET", f"/v1/tasks?{query}")
        assert (answer.code, answer.body["detail"][0]["loc"][0]) == (422, "query"), query


async def test_deleting_stops_first_and_takes_the_family(ns: Namespace, operator: Operator, xpander: Client) -> None:
    uid = await made(ns, "p", agents.graceful())
    await made(ns, "c", agents.graceful(), parentRef={"name": "p"})
    await ns.running("p")
    await ns.running("c")
    answer = await xpander.ask("DELETE", f"/v1/tasks/{uid}")
    assert (answer.code, answer.text) == (204, "")
    for name in ("p", "c"):
        assert status(ns.tasks.of(name)[-1])["phase"] == "Stopped"
    assert not await ns.kube.list(TASKS, ns.name)
    assert (await xpander.ask("GET", f"/v1/tasks/{uid}")).code == 404


@pytest.mark.needs(Feature.RBAC)
async def test_others_are_refused_in_the_api_servers_words(
    ns: Namespace, operator: Operator, gateway: Gateway, people: People
) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    joe = Client(gateway, "/xpander", gateway.keys.add("joe"))
    for method, path in (("GET", ""), ("POST", "/stop"), ("DELETE", "")):
        answer = await joe.ask(method, f"/v1/tasks/{uid}{path}")
        assert answer.code == 403
        assert 'User "joe" cannot' in answer.body["detail"]
    assert (await joe.get("/v1/tasks"))["items"] == []
    await people.bind("joe", "agentstop-view")
    assert (await joe.get(f"/v1/tasks/{uid}"))["status"] == "executing"
    assert (await joe.ask("POST", f"/v1/tasks/{uid}/stop")).code == 403
    assert not (await ns.task("a"))["spec"].get("stopRequested")
