"""Maia's API: what its clients send, and what they are answered."""

import asyncio
import re
import subprocess
from typing import Any

import pytest

from tests.support import agents
from tests.support.clusters import Cluster, Feature
from tests.support.gateways import Answer, Client, Gateway
from tests.support.laws import status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.waiting import PATIENCE, until

from .api import made
from .conftest import People, gateway_kubeconfig

TASKS = "/v1/ai/agents/tasks"
UNKNOWN = "550e8400-e29b-41d4-a716-446655440000"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
PROBLEM = ["type", "title", "status", "detail", "instance", "violations"]


@pytest.fixture
def maia(gateway: Gateway, jane: str) -> Client:
    return Client(gateway, "/maia/dpc", jane)


async def said(maia: Client, uid: str, word: str) -> Any:
    """Wait until a task has this status; return its page."""
    found: dict[str, Any] = {}

    async def says_so() -> bool:
        found.update(await maia.get(f"{TASKS}/{uid}"))
        return bool(found["status"] == word)

    await until(says_so, PATIENCE, word)
    return found


def check(answer: Answer, code: int) -> None:
    """Hold an answer against the form that Maia's errors have."""
    assert answer.code == code, answer
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert list(answer.body) == PROBLEM
    assert (answer.body["status"], bool(answer.body["violations"])) == (code, code == 400)


async def test_a_stop_is_taken_and_told_of_until_the_end(ns: Namespace, operator: Operator, maia: Client) -> None:
    uid = await made(ns, "a", agents.DEAF, grace=3, agent="engineer")
    await ns.running("a")
    before = await said(maia, uid, "RUNNING")
    config = {"name": "engineer", "mode": "ACT", "projectId": ns.name, "sourceBranchName": "", "environmentName": ""}
    assert (before["taskId"], before["description"], before["agentConfig"]) == (uid, "a", config)
    answer = await maia.ask("POST", f"{TASKS}/{uid}/stop")
    assert (answer.code, answer.text) == (204, "")
    assert "Content-Type" not in answer.headers
    assert (await maia.get(f"{TASKS}/{uid}"))["status"] == "STOPPING"
    assert ns.processes("a")
    again = await maia.ask("POST", f"{TASKS}/{uid}/stop")
    check(again, 409)
    assert again.body["detail"] == "Task is not in a running state: it is STOPPING"
    after = await said(maia, uid, "STOPPED")
    assert not ns.processes("a")
    for each in (before["createdAt"], before["modifiedAt"], after["modifiedAt"]):
        assert TIME.fullmatch(each)
    assert after["modifiedAt"][:-1] == stop_of(await ns.ended("a"))["confirmedAt"][:-4]
    check(await maia.ask("POST", f"{TASKS}/{uid}/stop"), 409)


async def test_the_words_that_it_has(ns: Namespace, operator: Operator, maia: Client) -> None:
    completed, failed = await made(ns, "c", agents.ending(0)), await made(ns, "f", agents.ending(0, code=1))
    paused = await made(ns, "p", paused=True)
    for name in "cf":
        await ns.ended(name)
    await ns.phase("p", "Paused")
    for uid, word, code in ((completed, "STOPPED", 409), (failed, "ERRORED", 409), (paused, "RUNNING", 204)):
        await said(maia, uid, word)
        assert (await maia.ask("POST", f"{TASKS}/{uid}/stop")).code == code
    await said(maia, paused, "STOPPED")


async def test_an_id_of_elsewhere_leads_to_its_task(ns: Namespace, operator: Operator, maia: Client) -> None:
    uid = await made(ns, "a", agents.graceful(), externalID=f"run 7/{ns.name}")
    await ns.running("a")
    for each in (uid, uid.upper(), f"run%207%2F{ns.name}"):
        assert (await maia.get(f"{TASKS}/{each}"))["taskId"] == uid
    assert (await maia.ask("POST", f"{TASKS}/run%207%2F{ns.name}/stop")).code == 204
    await said(maia, uid, "STOPPED")


async def test_two_tasks_with_one_id_are_a_conflict(ns: Namespace, operator: Operator, maia: Client) -> None:
    uids = [await made(ns, name, externalID=f"run-{ns.name}") for name in "ab"]
    await ns.running("b")
    answer = await maia.ask("POST", f"{TASKS}/run-{ns.name}/stop")
    check(answer, 409)
    assert all(uid in answer.body["detail"] for uid in uids)
    for name in "ab":
        assert not (await ns.task(name))["spec"].get("stopRequested")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", f"{TASKS}/{UNKNOWN}", 404),
        ("POST", f"{TASKS}/{UNKNOWN}/stop", 404),
        ("POST", f"{TASKS}/a/stop", 400),
        ("POST", f"{TASKS}/%2e%2e%2fpods/stop", 400),
        ("POST", f"{TASKS}/a%00b/stop", 400),
        ("POST", f"{TASKS}/a%0Ab/stop", 400),
        ("POST", f"{TASKS}/{'x' * 300}/stop", 400),
        ("POST", f"{TASKS}//stop", 404),
        ("POST", f"{TASKS}/{UNKNOWN}/pause", 404),
        ("GET", f"{TASKS}?page=-1", 400),
        ("GET", f"{TASKS}?page=99999999999", 400),
        ("GET", f"{TASKS}?size=0", 400),
        ("GET", f"{TASKS}?size=101", 400),
        ("GET", f"{TASKS}?status=running", 400),
        ("GET", f"{TASKS}?status=COMPLETED", 400),
        ("GET", f"{TASKS}?projectId=..%2F..", 400),
        ("GET", f"{TASKS}?projectId=", 400),
        ("GET", f"{TASKS}?page=1&page=2", 400),
        ("GET", "/nothing", 404),
    ],
)
async def test_what_leads_to_nothing(maia: Client, method: str, path: str, code: int) -> None:
    answer = await maia.ask(method, path)
    check(answer, code)
    assert answer.body["instance"] == f"/maia/dpc{path.partition('?')[0]}"


async def test_a_method_that_is_not_there(maia: Client) -> None:
    for path, allowed in (
        (TASKS, "GET, HEAD"),
        (f"{TASKS}/{UNKNOWN}", "GET, HEAD"),
        (f"{TASKS}/{UNKNOWN}/stop", "POST"),
    ):
        answer = await maia.ask("DELETE", path)
        check(answer, 405)
        assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"no json", 400),
        (b"[]", 400),
        (b'{"a": 1, "a": 2}', 400),
        (b'{"a": ' + b"[" * 500 + b"]" * 500 + b"}", 413),
        (b'{"a": "' + b"x" * 2_000_000 + b'"}', 413),
    ],
)
async def test_bodies_that_are_none(ns: Namespace, operator: Operator, maia: Client, body: bytes, code: int) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    check(await maia.ask("POST", f"{TASKS}/{uid}/stop", body), code)
    assert not (await ns.task("a"))["spec"].get("stopRequested")


async def test_lists_have_pages_and_filters(ns: Namespace, operator: Operator, maia: Client) -> None:
    uids = {await made(ns, f"a{number}", agent="engineer") for number in range(3)}
    for number in range(3):
        await ns.running(f"a{number}")
    first = await maia.get(f"{TASKS}?projectId={ns.name}&size=2&status=RUNNING")
    last = await maia.get(f"{TASKS}?projectId={ns.name}&size=2&page=1")
    assert ([first[each] for each in ("page", "size", "total")], len(first["tasks"])) == ([0, 2, 3], 2)
    assert {each["taskId"] for each in first["tasks"] + last["tasks"]} == uids
    assert {each["agentName"] for each in first["tasks"]} == {"engineer"}
    for query in ("status=STOPPED", "branchId=main", "page=7"):
        assert (await maia.get(f"{TASKS}?projectId={ns.name}&{query}"))["tasks"] == []


@pytest.mark.needs(Feature.RBAC)
async def test_others_are_refused_in_the_api_servers_words(
    ns: Namespace, operator: Operator, gateway: Gateway, people: People
) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    joe = Client(gateway, "/maia/dpc", gateway.keys.add("joe"))
    for method, path in (("GET", f"/{uid}"), ("POST", f"/{uid}/stop"), ("GET", f"?projectId={ns.name}")):
        answer = await joe.ask(method, f"{TASKS}{path}")
        check(answer, 403)
        assert 'User "joe" cannot' in answer.body["detail"]
    assert (await joe.get(TASKS))["tasks"] == []
    assert not (await ns.task("a"))["spec"].get("stopRequested")


@pytest.mark.needs(Feature.RBAC)
async def test_who_asked_is_on_record(
    ns: Namespace, operator: Operator, gateway: Gateway, people: People, cluster: Cluster
) -> None:
    await people.bind("jane", "agentstop-stop")
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    answer = await gateway.ask("POST", f"/maia/dpc{TASKS}/{uid}/stop", token=cluster.tokens["jane"])
    assert answer.code == 204
    assert stop_of(await ns.ended("a"))["requestedBy"] == "jane"


async def test_nobody_is_told_nothing(gateway: Gateway) -> None:
    for path in (TASKS, f"{TASKS}/{UNKNOWN}", f"{TASKS}/malformed"):
        answer = await gateway.ask("GET", f"/maia/dpc{path}")
        check(answer, 401)
        assert "WWW-Authenticate" in answer.headers


@pytest.mark.needs(Feature.OWN_SERVER)
async def test_an_api_server_that_is_away_is_said(
    ns: Namespace, operator: Operator, maia: Client, cluster: Cluster
) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    with cluster.halted():
        answer = await maia.ask("POST", f"{TASKS}/{uid}/stop")
        check(answer, 504)
        assert "API server" in answer.body["detail"]
    assert status(await ns.task("a"))["phase"] == "Running"


async def test_its_own_host_has_its_own_prefix(cluster: Cluster, people: People, ns: Namespace) -> None:
    hosts = cluster.folder / "maia-hosts.yaml"
    hosts.write_text("hosts:\n  eu1.api.matillion.com: maia\n")
    gateway = await Gateway.start(cluster, kubeconfig=gateway_kubeconfig(cluster), options=["--hosts", str(hosts)])
    await people.bind("jane", "agentstop-view")
    key = gateway.keys.add("jane")
    for path, code in ((f"/dpc{TASKS}", 200), (TASKS, 404)):
        answer = await gateway.ask("GET", path, token=key, headers={"Host": "eu1.api.matillion.com"})
        assert answer.code == code
    await gateway.program.end()


CURL = """
curl --request POST \\
  --url https://eu1.api.matillion.com/dpc/v1/ai/agents/tasks/{taskId}/stop \\
  --header 'Authorization: Bearer <token>'
"""


async def test_what_the_documents_tell_people_to_run(
    ns: Namespace, operator: Operator, maia: Client, gateway: Gateway
) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    text = CURL.replace("{taskId}", uid).replace("<token>", maia.key)
    text = text.replace("https://eu1.api.matillion.com", f"{gateway.url}/maia")
    command = ["sh", "-ec", f"{text.strip()} --silent --include"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    assert "204 No Content" in done.stdout.splitlines()[0]
    await said(maia, uid, "STOPPED")
