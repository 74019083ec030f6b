"""Who is asking: keys, tokens, nobody; and what the gateway answers where it cannot tell."""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
import yaml

from tests.support import agents
from tests.support.clusters import Cluster, Feature
from tests.support.gateways import Gateway
from tests.support.guarded import API_GROUP
from tests.support.kube import ROLE_BINDINGS
from tests.support.laws import stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator

from .api import made
from .conftest import People, gateway_kubeconfig

UNKNOWN = "/xpander/v1/tasks/00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def fresh(cluster: Cluster) -> AsyncIterator[Gateway]:
    """A gateway of the test's own, to which this address has sent nothing wrong yet."""
    gateway = await Gateway.start(cluster, kubeconfig=gateway_kubeconfig(cluster), options=["--wait", "8"])
    yield gateway
    await gateway.program.end()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic amFuZTpqYW5l"},
        {"Authorization": "Bearer no token"},
        {"x-api-key": "agentstop_wrong"},
        {"Authorization": "Bearer agentstop_wrong"},
        {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
        {"Impersonate-User": "admin"},
    ],
)
async def test_nobody_is_told_nothing(fresh: Gateway, headers: dict[str, str]) -> None:
    for path in (UNKNOWN, "/xpander/v1/tasks/malformed", "/xpander/v1/tasks"):
        answer = await fresh.ask("GET", path, headers=headers)
        assert answer.code == 401, (path, answer)
        assert "WWW-Authenticate" in answer.headers
        assert isinstance(answer.body["detail"], str)


async def test_what_is_no_http_is_refused_and_fills_no_log(fresh: Gateway) -> None:
    port = int(fresh.url.rpartition(":")[2])
    for text in (b"GET / HTTP/1.1\r\nHost: a\r\nx: a\x00b\r\n\r\n", b"nonsense\r\n\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(text)
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()
    assert not fresh.mistakes()


async def test_who_tries_many_keys_is_slowed_down_and_nobody_else(fresh: Gateway) -> None:
    right = fresh.keys.add("jane")
    codes = [(await fresh.ask("GET", UNKNOWN, key=f"agentstop_{number}")).code for number in range(8)]
    assert codes == [401] * 6 + [429] * 2
    answer = await fresh.ask("GET", UNKNOWN, token="made-up")
    assert (answer.code, int(answer.headers["Retry-After"]) > 0) == (429, True)
    assert (await fresh.ask("GET", UNKNOWN, key=right)).code == 404


async def test_a_key_works_in_either_header_until_it_is_revoked(fresh: Gateway) -> None:
    key = fresh.keys.add("jane")
    assert (await fresh.ask("GET", UNKNOWN, key=key)).code == 404
    assert (await fresh.ask("GET", UNKNOWN, token=key)).code == 404
    fresh.keys.revoke("jane")
    assert (await fresh.ask("GET", UNKNOWN, key=key)).code == 401
    assert (await fresh.ask("GET", UNKNOWN, token=key)).code == 401


async def test_a_file_of_keys_with_a_slip_leaves_the_former_ones(fresh: Gateway) -> None:
    key = fresh.keys.add("jane")
    assert (await fresh.ask("GET", UNKNOWN, key=key)).code == 404
    fresh.keys.path.write_text("keys: [")
    assert (await fresh.ask("GET", UNKNOWN, key=key)).code == 404
    assert "still counts" in fresh.program.text()


async def test_a_token_of_the_api_servers_is_passed_on(
    ns: Namespace, operator: Operator, gateway: Gateway, people: People, cluster: Cluster
) -> None:
    await people.bind("jane", "agentstop-stop")
    token = cluster.tokens["jane"] if Feature.RBAC in cluster.features else token_of(cluster)
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    answer = await gateway.ask("POST", f"/xpander/v1/tasks/{uid}/stop", token=token)
    assert (answer.code, answer.body["status"]) == (200, "stopped")
    if Feature.RBAC in cluster.features:
        assert stop_of(await ns.ended("a"))["requestedBy"] == "jane"


def token_of(cluster: Cluster) -> str:
    """Return the one token of a playground."""
    return str(yaml.safe_load(cluster.kubeconfig.read_text())["users"][0]["user"]["token"])


@pytest.mark.needs(Feature.RBAC)
async def test_headers_of_impersonation_are_not_passed_on(
    ns: Namespace, operator: Operator, gateway: Gateway, cluster: Cluster
) -> None:
    """joe may do nothing, whomever he says that he is."""
    uid = await made(ns, "a")
    await ns.running("a")
    answer = await gateway.ask(
        "POST", f"/xpander/v1/tasks/{uid}/stop", token=cluster.tokens["joe"], headers={"Impersonate-User": "admin"}
    )
    assert (answer.code, 'User "joe" cannot' in answer.body["detail"]) == (403, True)


@pytest.mark.needs(Feature.RBAC)
async def test_whom_the_gateway_may_not_be_is_said(ns: Namespace, gateway: Gateway, operator: Operator) -> None:
    key = gateway.keys.add("somebody", name="not-in-the-chart")
    uid = await made(ns, "a")
    await ns.running("a")
    answer = await gateway.ask("POST", f"/xpander/v1/tasks/{uid}/stop", key=key)
    assert (answer.code, "cannot impersonate" in answer.body["detail"]) == (403, True)


@pytest.mark.needs(Feature.RBAC)
async def test_groups_count(ns: Namespace, gateway: Gateway, operator: Operator, cluster: Cluster) -> None:
    subjects = [{"apiGroup": API_GROUP, "kind": "Group", "name": "night-shift"}]
    role = {"apiGroup": API_GROUP, "kind": "ClusterRole", "name": "agentstop-stop"}
    binding = {"metadata": {"name": "night"}, "roleRef": role, "subjects": subjects}
    await cluster.kube.create(ROLE_BINDINGS, ns.name, binding)
    uid = await made(ns, "a")
    await ns.running("a")
    stop = f"/xpander/v1/tasks/{uid}/stop"
    assert (await gateway.ask("POST", stop, key=gateway.keys.add("joe", "oncall", name="one-group"))).code == 403
    both = gateway.keys.add("joe", "oncall", "night-shift", name="two-groups")
    answer = await gateway.ask("POST", stop, key=both)
    assert (answer.code, answer.body["status"]) == (200, "stopped")
    assert stop_of(await ns.ended("a"))["requestedBy"] == "joe"


async def test_the_log_has_no_keys_no_queries_and_no_bodies(gateway: Gateway, jane: str) -> None:
    since = len(gateway.program.text())
    await gateway.ask("GET", "/xpander/v1/tasks?agent_id=secret-query", key=jane)
    await gateway.ask("POST", UNKNOWN + "/stop", token=jane, body=b'{"a": "secret-body"}')
    await gateway.ask("GET", UNKNOWN, token="secret-token")
    text = gateway.program.text()[since:]
    assert f"xpander GET {UNKNOWN} 401" in text
    assert "jane from 127.0.0.1" in text
    assert "secret" not in text
    assert jane not in text
    numbers = (await gateway.ask("GET", "/metrics")).text
    assert 'agentstop_gateway_requests_total{code="401",dialect="xpander"}' in numbers
    assert 'agentstop_gateway_request_duration_seconds_count{dialect="xpander"}' in numbers


async def test_a_client_that_leaves_does_not_take_its_stop_with_it(
    ns: Namespace, operator: Operator, gateway: Gateway, jane: str
) -> None:
    uid = await made(ns, "a", agents.DEAF, grace=4)
    await ns.running("a")
    leaving = asyncio.create_task(gateway.ask("POST", f"/xpander/v1/tasks/{uid}/stop", key=jane))
    await ns.phase("a", "Stopping")
    leaving.cancel()
    assert stop_of(await ns.ended("a"))["verdict"] == "Killed"


async def test_what_has_begun_is_answered_when_the_gateway_ends(
    ns: Namespace, operator: Operator, fresh: Gateway, people: People
) -> None:
    await people.bind("jane", "agentstop-stop")
    uid = await made(ns, "a", agents.DEAF, grace=6)
    await ns.running("a")
    stopping = asyncio.create_task(fresh.ask("POST", f"/xpander/v1/tasks/{uid}/stop", key=fresh.keys.add("jane")))
    await ns.phase("a", "Stopping")
    fresh.program.signal(signal.SIGTERM)
    answer = await stopping
    assert (answer.code, answer.body["status"], answer.body["internal_status"]) == (200, "executing", "stopping")
    assert await fresh.program.ended() == 0


@pytest.mark.needs(Feature.OWN_SERVER)
async def test_an_api_server_that_is_away_is_said(
    ns: Namespace, operator: Operator, gateway: Gateway, jane: str, cluster: Cluster
) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    with cluster.halted():
        answer = await gateway.ask("POST", f"/xpander/v1/tasks/{uid}/stop", key=jane)
        assert (answer.code, "API server" in answer.body["detail"]) == (503, True)
    answer = await gateway.ask("POST", f"/xpander/v1/tasks/{uid}/stop", key=jane)
    assert (answer.code, answer.body["status"]) == (200, "stopped")


async def test_a_host_leads_to_a_dialect(cluster: Cluster) -> None:
    hosts = cluster.folder / "hosts.yaml"
    hosts.write_text("hosts:\n  API.xpander.ai: xpander\n")
    gateway = await Gateway.start(
        cluster, kubeconfig=gateway_kubeconfig(cluster), options=["--hosts", str(hosts), "--wait", "8"]
    )
    key = gateway.keys.add("jane")
    for host in ("api.xpander.ai", "api.xpander.ai:443", "API.XPANDER.AI."):
        answer = await gateway.ask("GET", "/v1/tasks", key=key, headers={"Host": host})
        assert (answer.code, answer.body["page"]) == (200, 1)
    assert (await gateway.ask("GET", "/healthz", headers={"Host": "api.xpander.ai"})).body == {"detail": "Not Found"}
    assert (await gateway.ask("GET", "/v1/tasks", key=key)).code == 404
    hosts.write_text("hosts: {}")
    assert (await gateway.ask("GET", "/v1/tasks", key=key, headers={"Host": "api.xpander.ai"})).code == 404
    await gateway.program.end()
