"""A2A, spoken by its own client: both versions, both bindings."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

import httpx
import pytest
from a2a.client import A2AClientError, Client, ClientConfig, ClientFactory
from a2a.client.auth import AuthInterceptor, CredentialService
from a2a.client.card_resolver import A2ACardResolver, parse_agent_card
from a2a.client.client import ClientCallContext
from a2a.types.a2a_pb2 import (
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    SubscribeToTaskRequest,
    Task,
    TaskState,
)
from a2a.utils.errors import TaskNotCancelableError, TaskNotFoundError, UnsupportedOperationError

from tests.support import agents
from tests.support import gateways as ours
from tests.support.clusters import Cluster, Feature
from tests.support.gateways import Gateway
from tests.support.laws import status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.waiting import PATIENCE, until

from .api import made
from .conftest import People, gateway_kubeconfig

UNKNOWN = "00000000-0000-4000-8000-000000000000"
Connect = Callable[..., Awaitable[Client]]


class Key(CredentialService):
    """Has one API key, for the scheme of the card that takes one."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def get_credentials(self, security_scheme_name: str, context: ClientCallContext | None) -> str | None:
        return self._key if security_scheme_name == "apiKey" else None


@pytest.fixture
async def connect(gateway: Gateway) -> AsyncIterator[Connect]:
    """Makes clients out of the card that the gateway shows."""
    async with AsyncExitStack() as stack:

        async def one(key: str, version: str = "1.0", binding: str = "HTTP+JSON") -> Client:
            http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
            config = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding])
            card = await A2ACardResolver(http, f"{gateway.url}/a2a").get_agent_card()
            if version == "0.3":
                # What a card had before 1.0 is all that is left.
                raw = (await gateway.ask("GET", "/a2a/.well-known/agent-card.json")).body
                del raw["supportedInterfaces"], raw["securityRequirements"]
                card = parse_agent_card(raw)
            return ClientFactory(config).create(card, [AuthInterceptor(Key(key))])

        yield one


@pytest.fixture(params=[("1.0", "HTTP+JSON"), ("1.0", "JSONRPC"), ("0.3", "HTTP+JSON"), ("0.3", "JSONRPC")])
async def a2a(request: pytest.FixtureRequest, connect: Connect, jane: str) -> Client:
    """The protocol's own client, with jane's key."""
    return await connect(jane, *request.param)


@pytest.fixture
def raw(gateway: Gateway, jane: str) -> ours.Client:
    """Somebody who writes requests by hand, with jane's key."""
    return ours.Client(gateway, "/a2a", jane)


def word(number: int) -> str:
    return str(TaskState.Name(number)).removeprefix("TASK_STATE_")


def state(task: Task) -> str:
    return word(task.status.state)


def said(task: Task) -> str:
    return "".join(part.text for part in task.status.message.parts)


async def unchanged(ns: Namespace, name: str) -> bool:
    return not (await ns.task(name))["spec"].get("stopRequested")


# The client


async def test_a_running_task_is_canceled_and_proven(ns: Namespace, operator: Operator, a2a: Client) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    assert state(await a2a.get_task(GetTaskRequest(id=uid))) == "WORKING"
    found = await a2a.cancel_task(CancelTaskRequest(id=uid))
    assert (found.id, found.context_id, state(found)) == (uid, uid, "CANCELED")
    assert said(found) == "Task was stopped by user"
    proven = datetime.fromisoformat(stop_of(await ns.task("a"))["confirmedAt"])
    assert found.status.timestamp.ToMilliseconds() == int(proven.timestamp() * 1000)
    facts = found.metadata["agentstop.dev"]
    assert (facts["namespace"], facts["name"], facts["verdict"]) == (ns.name, "a", "Graceful")
    assert await a2a.get_task(GetTaskRequest(id=uid)) == found
    with pytest.raises(TaskNotCancelableError):
        await a2a.cancel_task(CancelTaskRequest(id=uid))


async def test_a_deaf_task_is_not_canceled_before_it_is(ns: Namespace, operator: Operator, a2a: Client) -> None:
    """The client gives up after five seconds, and is answered before."""
    uid = await made(ns, "a", agents.DEAF, grace=10)
    await ns.running("a")
    found = await a2a.cancel_task(CancelTaskRequest(id=uid))
    assert (state(found), "A stop is on its way" in said(found)) == ("WORKING", True)
    again = await a2a.cancel_task(CancelTaskRequest(id=uid))
    assert state(again) == "WORKING"
    async with asyncio.timeout(PATIENCE):
        while state(found) == "WORKING":
            found = await a2a.get_task(GetTaskRequest(id=uid))
            await asyncio.sleep(0.2)
    assert state(found) == "CANCELED"
    assert stop_of(await ns.task("a"))["verdict"] == "Killed"


async def test_a_stream_tells_each_change_until_the_end(ns: Namespace, operator: Operator, a2a: Client) -> None:
    uid = await made(ns, "a", agents.graceful(1))
    await ns.running("a")
    states: list[str] = []
    async with asyncio.timeout(PATIENCE):
        async for event in a2a.subscribe(SubscribeToTaskRequest(id=uid)):
            if event.HasField("task"):
                assert not states
                assert event.task.id == uid
                states.append(state(event.task))
                await ns.stop("a")
            else:
                assert event.status_update.task_id == uid
                states.append(word(event.status_update.status.state))
    assert (states[0], states[-1]) == ("WORKING", "CANCELED")
    assert set(states[1:-1]) == {"WORKING"}


async def test_what_has_ended_stays_as_it_is(ns: Namespace, operator: Operator, a2a: Client) -> None:
    uid = await made(ns, "a", agents.ending(0))
    await ns.ended("a")
    version = (await ns.task("a"))["metadata"]["resourceVersion"]
    with pytest.raises(TaskNotCancelableError):
        await a2a.cancel_task(CancelTaskRequest(id=uid))
    with pytest.raises(UnsupportedOperationError):
        async for _ in a2a.subscribe(SubscribeToTaskRequest(id=uid)):
            pass
    assert state(await a2a.get_task(GetTaskRequest(id=uid))) == "COMPLETED"
    assert (await ns.task("a"))["metadata"]["resourceVersion"] == version


async def test_a_pending_task_never_starts(ns: Namespace, operator: Operator, a2a: Client) -> None:
    task = await ns.create_task("a", agents.template(nodeSelector={"nobody": "has-it"}))
    uid = task["metadata"]["uid"]
    await ns.until("a", lambda each: bool(status(each).get("workload")), what="seen by the operator")
    assert state(await a2a.get_task(GetTaskRequest(id=uid))) == "SUBMITTED"
    assert state(await a2a.cancel_task(CancelTaskRequest(id=uid))) == "CANCELED"


async def test_a_paused_task_is_canceled(ns: Namespace, operator: Operator, a2a: Client) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    await ns.patch("a", paused=True)
    await ns.phase("a", "Paused")

    async def says_so() -> bool:
        found = await a2a.get_task(GetTaskRequest(id=uid))
        assert state(found) == "WORKING"
        return said(found) == "The task is paused."

    await until(says_so, PATIENCE, "the gateway has heard of the pause")
    assert state(await a2a.cancel_task(CancelTaskRequest(id=uid))) == "CANCELED"


@pytest.mark.parametrize("given", [UNKNOWN, "nothing"])
async def test_a_task_that_is_not_there(a2a: Client, given: str) -> None:
    with pytest.raises(TaskNotFoundError):
        await a2a.get_task(GetTaskRequest(id=given))
    with pytest.raises(TaskNotFoundError):
        await a2a.cancel_task(CancelTaskRequest(id=given))
    with pytest.raises(TaskNotFoundError):
        async for _ in a2a.subscribe(SubscribeToTaskRequest(id=given)):
            pass


@pytest.mark.needs(Feature.RBAC)
async def test_what_is_not_yours_is_not_there(
    ns: Namespace, operator: Operator, gateway: Gateway, people: People, connect: Connect, a2a: Client
) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    key = gateway.keys.add("joe")
    for version, binding in (("1.0", "HTTP+JSON"), ("1.0", "JSONRPC"), ("0.3", "JSONRPC")):
        joe = await connect(key, version, binding)
        with pytest.raises(TaskNotFoundError):
            await joe.get_task(GetTaskRequest(id=uid))
        with pytest.raises(TaskNotFoundError) as caught:
            await joe.cancel_task(CancelTaskRequest(id=uid))
        assert ns.name not in str(caught.value)
    assert not (await (await connect(key)).list_tasks(ListTasksRequest())).tasks
    await people.bind("joe", "agentstop-view")
    joe = await connect(key)
    assert state(await joe.get_task(GetTaskRequest(id=uid))) == "WORKING"
    with pytest.raises(A2AClientError, match="403"):
        await joe.cancel_task(CancelTaskRequest(id=uid))
    assert await unchanged(ns, "a")
    await a2a.cancel_task(CancelTaskRequest(id=uid))
    assert stop_of(await ns.ended("a"))["requestedBy"] == "jane"


@pytest.mark.parametrize("binding", ["HTTP+JSON", "JSONRPC"])
async def test_lists_have_pages_and_filters(
    ns: Namespace, operator: Operator, connect: Connect, jane: str, binding: str
) -> None:
    a2a = await connect(jane, "1.0", binding)
    parent = await made(ns, "p")
    children = [await made(ns, f"c{number}", parentRef={"name": "p"}) for number in range(3)]
    for name in ("p", "c0", "c1", "c2"):
        await ns.running(name)
    seen, token = [], ""
    for _ in range(10):
        wanted = ListTasksRequest(tenant=ns.name, page_size=2, page_token=token)
        page = await a2a.list_tasks(wanted)
        assert (page.total_size, page.page_size, len(page.tasks) <= 2) == (4, 2, True)
        seen += [each.id for each in page.tasks]
        token = page.next_page_token
        if not token:
            break
    assert sorted(seen) == sorted([parent, *children])
    family = await a2a.list_tasks(ListTasksRequest(context_id=parent, status=TaskState.TASK_STATE_WORKING))
    assert family.total_size == 4
    await a2a.cancel_task(CancelTaskRequest(id=children[0]))
    newest = await a2a.list_tasks(ListTasksRequest(tenant=ns.name, page_size=1))
    assert [each.id for each in newest.tasks] == [children[0]]
    since = newest.tasks[0].status.timestamp
    late = await a2a.list_tasks(ListTasksRequest(tenant=ns.name, status_timestamp_after=since))
    assert [each.id for each in late.tasks] == [children[0]]
    ended = await a2a.list_tasks(ListTasksRequest(tenant=ns.name, status=TaskState.TASK_STATE_CANCELED))
    assert [each.id for each in ended.tasks] == [children[0]]


# By hand


async def rpc(raw: ours.Client, method: str, params: Any, **headers: str) -> ours.Answer:
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    return await raw.ask("POST", "", json.dumps(body).encode(), **headers)


async def of_version(raw: ours.Client, version: str, method: str, path: str) -> ours.Answer:
    return await raw.ask(method, path, None, **{"A2A-Version": version})


async def test_an_answer_is_in_the_form_of_its_version(ns: Namespace, operator: Operator, raw: ours.Client) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    answer = await of_version(raw, "1.0", "POST", f"/tasks/{uid}:cancel")
    assert (answer.code, answer.headers["Content-Type"].partition(";")[0]) == (200, "application/a2a+json")
    assert answer.body["status"]["state"] == "TASK_STATE_CANCELED"
    assert "kind" not in answer.body
    assert answer.body["status"]["timestamp"].endswith("Z")
    assert await raw.get(f"/tasks/{uid}") == answer.body
    assert await raw.get(f"/{ns.name}/tasks/{uid}") == answer.body
    assert (await rpc(raw, "GetTask", {"id": uid})).body == {"jsonrpc": "2.0", "id": 7, "result": answer.body}
    old = await raw.get(f"/v1/tasks/{uid}")
    assert (old["status"]["state"], "content" in old["status"]["message"]) == ("TASK_STATE_CANCELLED", True)
    old = (await rpc(raw, "tasks/get", {"id": uid})).body["result"]
    assert (old["kind"], old["status"]["state"], old["status"]["message"]["kind"]) == ("task", "canceled", "message")


async def test_errors_have_reasons(ns: Namespace, operator: Operator, raw: ours.Client) -> None:
    uid = await made(ns, "a", agents.ending(0))
    await ns.ended("a")
    answer = await raw.ask("POST", f"/tasks/{uid}:cancel")
    error = answer.body["error"]
    assert (answer.code, error["code"], error["status"]) == (400, 400, "FAILED_PRECONDITION")
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "TASK_NOT_CANCELABLE",
        "domain": "a2a-protocol.org",
        "metadata": {"taskId": uid},
    }
    assert error["details"] == [info]
    answer = await rpc(raw, "CancelTask", {"id": uid})
    assert (answer.code, answer.body["id"], answer.body["error"]["code"]) == (200, 7, -32002)
    assert answer.body["error"]["data"] == [info]
    answer = await rpc(raw, "tasks/cancel", {"id": uid})
    assert (answer.code, answer.body["error"]["code"], "data" in answer.body["error"]) == (200, -32002, False)
    answer = await raw.ask("POST", f"/v1/tasks/{uid}:cancel")
    assert (answer.code, answer.body["type"]) == (400, "TaskNotCancelableError")


@pytest.mark.parametrize(
    ("method", "path", "code", "reason"),
    [
        ("GET", f"/tasks/{UNKNOWN}", 404, "TASK_NOT_FOUND"),
        ("GET", "/tasks/%2e%2e%2fpods", 404, "TASK_NOT_FOUND"),
        ("GET", "/tasks/a%00b", 404, "TASK_NOT_FOUND"),
        ("GET", "/tasks/a%0Ab", 404, "TASK_NOT_FOUND"),
        ("GET", f"/tasks/{'x' * 300}", 404, "TASK_NOT_FOUND"),
        ("POST", "/tasks/..%2f..%2fpods:cancel", 404, "TASK_NOT_FOUND"),
        ("POST", "/tasks/a%0Ab:cancel", 404, "TASK_NOT_FOUND"),
        ("POST", f"/..%2f..%2fapi/tasks/{UNKNOWN}:cancel", 404, "TASK_NOT_FOUND"),
        ("GET", f"/tasks/{UNKNOWN}:subscribe", 404, "TASK_NOT_FOUND"),
        ("GET", f"/tasks/{UNKNOWN}?tenant=a&tenant=b", 400, "INVALID_PARAMS"),
        ("GET", f"/tasks/{UNKNOWN}?historyLength=-1", 400, "INVALID_PARAMS"),
        ("GET", "/tasks?pageSize=0", 400, "INVALID_PARAMS"),
        ("GET", "/tasks?pageSize=101", 400, "INVALID_PARAMS"),
        ("GET", "/tasks?status=canceled", 400, "INVALID_PARAMS"),
        ("GET", "/tasks?pageToken=none-of-ours", 400, "INVALID_PARAMS"),
        ("GET", "/tasks?statusTimestampAfter=soon", 400, "INVALID_PARAMS"),
        ("GET", "/..%2f..%2fapi/tasks", 400, "INVALID_PARAMS"),
        ("GET", "/tasks?tenant=..%2f..%2fpods", 400, "INVALID_PARAMS"),
        ("GET", "/a/tasks?tenant=b", 400, "INVALID_PARAMS"),
        ("GET", f"/tasks/{UNKNOWN}:cancel", 405, "METHOD_NOT_FOUND"),
        ("DELETE", f"/tasks/{UNKNOWN}", 405, "METHOD_NOT_FOUND"),
        ("GET", "/nothing", 404, "METHOD_NOT_FOUND"),
        ("POST", f"/tasks/{UNKNOWN}:pause", 405, "METHOD_NOT_FOUND"),
        ("POST", "/message:send", 400, "UNSUPPORTED_OPERATION"),
        ("POST", "/v1/message:stream", 400, "UNSUPPORTED_OPERATION"),
        ("GET", f"/tasks/{UNKNOWN}/pushNotificationConfigs", 400, "PUSH_NOTIFICATION_NOT_SUPPORTED"),
        ("GET", "/extendedAgentCard", 400, "EXTENDED_AGENT_CARD_NOT_CONFIGURED"),
        ("GET", "/v1/card", 400, "EXTENDED_AGENT_CARD_NOT_CONFIGURED"),
    ],
)
async def test_what_is_not_there_over_http(raw: ours.Client, method: str, path: str, code: int, reason: str) -> None:
    answer = await raw.ask(method, path)
    assert (answer.code, answer.body["error"]["details"][0]["reason"]) == (code, reason)
    assert ("Allow" in answer.headers) == (code == 405)


async def test_methods_that_are_not_there_are_told_from_those_that_are(raw: ours.Client) -> None:
    assert (await raw.ask("PUT", f"/tasks/{UNKNOWN}:cancel")).headers["Allow"] == "POST"
    answer = await raw.ask("GET", "")
    assert (answer.code, answer.headers["Allow"], answer.body["error"]["code"]) == (405, "POST", -32601)


BODIES = [
    (b"no json", 400),
    (b"[]", 400),
    (b"3", 400),
    (b'{"id": 3}', 400),
    (b'{"id": "another"}', 400),
    (b'{"tenant": []}', 400),
    (b'{"metadata": "text"}', 400),
    (b'{"id": "a", "id": "b"}', 400),
    (b'{"metadata": {"a": NaN}}', 400),
    (b'{"metadata": {"deep": ' + b"[" * 500 + b"]" * 500 + b"}}", 413),
    (b"[" * 100_000, 413),
    (b'{"metadata": {"a": "' + b"x" * 2_000_000 + b'"}}', 413),
    (b"\xff", 400),
]


async def test_bodies_that_are_none(ns: Namespace, operator: Operator, raw: ours.Client) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    for path in (f"/tasks/{uid}:cancel", f"/v1/tasks/{uid}:cancel", f"/{ns.name}/tasks/{uid}:cancel"):
        for body, code in BODIES:
            answer = await raw.ask("POST", path, body)
            assert (answer.code, answer.body["error"]["status"]) == (code, "INVALID_ARGUMENT"), (path, body[:60])
    assert await unchanged(ns, "a")


async def test_requests_that_are_none_over_json_rpc(ns: Namespace, operator: Operator, raw: ours.Client) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    cancel = f'"method": "CancelTask", "params": {{"id": "{uid}"}}'
    deep = "[" * 500 + "]" * 500
    for body, code, request_id in [
        ("", -32600, None),
        ("no json", -32700, None),
        ("\xff", -32700, None),
        ("3", -32600, None),
        (f'[{{"jsonrpc": "2.0", "id": 1, {cancel}}}]', -32600, None),
        (f'{{"id": 1, {cancel}}}', -32600, 1),
        (f'{{"jsonrpc": 2.0, "id": 1, {cancel}}}', -32600, 1),
        (f'{{"jsonrpc": "2.0", "id": true, {cancel}}}', -32600, None),
        (f'{{"jsonrpc": "2.0", "id": {{}}, {cancel}}}', -32600, None),
        (f'{{"jsonrpc": "2.0", "id": 1.5, {cancel}}}', -32600, None),
        (f'{{"jsonrpc": "2.0", "id": 1, "method": "GetTask", {cancel}}}', -32600, None),
        (f'{{"jsonrpc": "2.0", "id": 1, "deep": {deep}, {cancel}}}', -32600, None),
        ("[" * 100_000, -32600, None),
        ('{"jsonrpc": "2.0", "id": "x", "method": 3}', -32600, "x"),
        ('{"jsonrpc": "2.0", "id": "x", "method": "PauseTask"}', -32601, "x"),
        ('{"jsonrpc": "2.0", "id": "x", "method": "canceltask"}', -32601, "x"),
        ('{"jsonrpc": "2.0", "id": "\\ud800", "method": "no"}', -32601, "\ud800"),
        ('{"jsonrpc": "2.0", "id": "x", "method": "CancelTask"}', -32602, "x"),
        (f'{{"jsonrpc": "2.0", "id": "x", "method": "CancelTask", "params": ["{uid}"]}}', -32602, "x"),
        ('{"jsonrpc": "2.0", "id": "x", "method": "CancelTask", "params": {"id": 3}}', -32602, "x"),
        (f'{{"jsonrpc": "2.0", "id": 1, "method": "CancelTask", "params": {{"id": "{uid}", "tenant": 3}}}}', -32602, 1),
        ('{"jsonrpc": "2.0", "id": 1, "method": "CancelTask", "params": {"id": "../../pods"}}', -32001, 1),
        ('{"jsonrpc": "2.0", "id": 1, "method": "CancelTask", "params": {"id": "\\ud800"}}', -32001, 1),
        (
            f'{{"jsonrpc": "2.0", "id": 1, "method": "CancelTask", "params": {{"id": "{uid}", "tenant": "x"}}}}',
            -32001,
            1,
        ),
        ('{"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {"tenant": "../../pods"}}', -32602, 1),
        ('{"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {}}', -32004, 1),
        ('{"jsonrpc": "2.0", "id": 1, "method": "message/stream", "params": {}}', -32004, 1),
        ('{"jsonrpc": "2.0", "id": 1, "method": "CreateTaskPushNotificationConfig"}', -32003, 1),
        ('{"jsonrpc": "2.0", "id": 1, "method": "GetExtendedAgentCard"}', -32007, 1),
    ]:
        answer = await raw.ask("POST", "", body.encode("latin-1"))
        assert (answer.code, answer.body["jsonrpc"]) == (200, "2.0"), body[:80]
        assert (answer.body["error"]["code"], answer.body["id"]) == (code, request_id), body[:80]
    assert await unchanged(ns, "a")


async def test_versions_that_are_not_spoken(ns: Namespace, operator: Operator, raw: ours.Client) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    for path, version in (
        ("/tasks", "2.0"),
        ("/tasks", "0.3"),
        ("/v1/tasks", "0.2"),
        ("/tasks", "no"),
        ("/x/tasks", "0.3"),
    ):
        answer = await of_version(raw, version, "POST", f"{path}/{uid}:cancel")
        assert answer.code == 400, (path, version)
        assert answer.body["error"]["details"][0]["reason"] == "VERSION_NOT_SUPPORTED"
    for method, version in (("CancelTask", "0.3"), ("tasks/cancel", "1.0"), ("CancelTask", "1.1")):
        answer = await rpc(raw, method, {"id": uid}, **{"A2A-Version": version})
        assert (answer.code, answer.body["error"]["code"]) == (200, -32009)
    assert await unchanged(ns, "a")
    answer = await rpc(raw, "GetTask", {"id": uid}, **{"A2A-Version": "1.0.1"})
    assert answer.body["result"]["id"] == uid
    # A tenant may be called v1.
    answer = await of_version(raw, "1.0", "GET", f"/v1/tasks/{uid}")
    assert (answer.code, answer.body["error"]["details"][0]["reason"]) == (404, "TASK_NOT_FOUND")


async def test_an_id_of_elsewhere_leads_to_its_task(ns: Namespace, operator: Operator, raw: ours.Client) -> None:
    uid = await made(ns, "a", externalID=f"run:7/{ns.name}")
    await ns.running("a")
    answer = await raw.ask("POST", f"/tasks/run:7%2F{ns.name}:cancel")
    assert (answer.code, answer.body["id"]) == (200, uid)


async def test_two_tasks_with_one_id_are_a_conflict(ns: Namespace, operator: Operator, raw: ours.Client) -> None:
    uids = [await made(ns, name, externalID=f"run-{ns.name}") for name in "ab"]
    await ns.running("b")
    answer = await raw.ask("POST", f"/tasks/run-{ns.name}:cancel")
    assert (answer.code, all(uid in answer.body["error"]["message"] for uid in uids)) == (409, True)
    assert await unchanged(ns, "a")
    assert await unchanged(ns, "b")


async def test_the_card_is_for_everybody_and_nothing_else_is(gateway: Gateway) -> None:
    answer = await gateway.ask("GET", "/a2a/.well-known/agent-card.json")
    assert (answer.code, answer.body["url"]) == (200, f"{gateway.url}/a2a")
    behind = {"Host": "agents.example", "X-Forwarded-Proto": "https"}
    card = (await gateway.ask("GET", "/a2a/.well-known/agent-card.json", headers=behind)).body
    assert {each["url"] for each in card["supportedInterfaces"]} == {"https://agents.example/a2a"}
    strange = {"Host": "agents.example/evil?"}
    assert (await gateway.ask("GET", "/a2a/.well-known/agent-card.json", headers=strange)).code == 400
    answer = await gateway.ask("GET", f"/a2a/tasks/{UNKNOWN}")
    assert (answer.code, answer.body["error"]["status"]) == (401, "UNAUTHENTICATED")
    answer = await gateway.ask("POST", "/a2a", body=b"{}")
    assert (answer.code, answer.body["jsonrpc"], answer.body["id"]) == (401, "2.0", None)
    assert "WWW-Authenticate" in answer.headers


async def test_a_host_of_its_own_has_it_at_the_root(cluster: Cluster) -> None:
    hosts = cluster.folder / "a2a-hosts.yaml"
    hosts.write_text("hosts:\n  agents.example: a2a\n")
    gateway = await Gateway.start(
        cluster, kubeconfig=gateway_kubeconfig(cluster), options=["--hosts", str(hosts), "--wait", "8"]
    )
    key, headers = gateway.keys.add("jane"), {"Host": "agents.example"}
    card = (await gateway.ask("GET", "/.well-known/agent-card.json", headers=headers)).body
    assert card["url"] == "http://agents.example"
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": UNKNOWN}}).encode()
    answer = await gateway.ask("POST", "/", key=key, body=body, headers=headers)
    assert (answer.code, answer.body["error"]["code"]) == (200, -32001)
    answer = await gateway.ask("GET", f"/v1/tasks/{UNKNOWN}", key=key, headers=headers)
    assert (answer.code, answer.body["type"]) == (404, "TaskNotFoundError")
    await gateway.program.end()
