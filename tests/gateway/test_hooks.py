"""Webhooks: whoever has a hook's key stops what the body names, and nothing else."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import agents
from tests.support.clusters import Cluster, Feature
from tests.support.gateways import Client, Gateway
from tests.support.laws import stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.orders import ORDERS
from tests.unit.gateway.test_hooks import alerts

from .api import made
from .conftest import People, gateway_kubeconfig

HOOKS = {
    "hooks": [
        {"name": "alert", "kind": "Alertmanager", "key": "alertmanager", "order": {"reason": "AlertFiring"}},
        {"name": "litellm", "kind": "LiteLLM", "key": "litellm"},
    ]
}


@pytest.fixture
async def gateway(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Gateway]:
    file = tmp_path / "hooks.yaml"
    file.write_text(yaml.safe_dump(HOOKS), encoding="utf-8")
    gateway = await Gateway.start(cluster, kubeconfig=gateway_kubeconfig(cluster), options=["--hooks", str(file)])
    yield gateway
    await gateway.program.end()
    assert not gateway.mistakes()


@pytest.fixture
async def alertmanager(gateway: Gateway, people: People) -> Client:
    await people.bind("jane", "agentstop-stop")
    return Client(gateway, "/hooks", gateway.keys.add("jane", name="alertmanager"))


def body(ns: Namespace, *changes: dict[str, Any]) -> bytes:
    changed = [{**each, "labels": {"namespace": ns.name, **each.get("labels", {})}} for each in changes or ({},)]
    return json.dumps(alerts(*changed)).encode()


async def test_a_firing_alert_stops_and_its_repeats_are_one_order(
    ns: Namespace, operator: Operator, alertmanager: Client
) -> None:
    for name in ("researcher", "other"):
        await made(ns, name, agents.graceful())
        await ns.running(name)
    answer = await alertmanager.ask("POST", "/alert", body(ns))
    assert answer.code == 202
    (order,) = answer.body["orders"]
    assert (order["namespace"], order["repeat"], order["name"].startswith("alert-")) == (ns.name, False, True)
    stop = stop_of(await ns.ended("researcher"))
    assert (stop["order"]["name"], stop["reason"]) == (order["name"], "AlertFiring")
    assert stop["message"] == "researcher costs too much"
    again = await alertmanager.ask("POST", "/alert", body(ns, {"annotations": {}}))
    assert (again.code, again.body["orders"]) == (202, [{**order, "repeat": True}])
    assert len(await ns.kube.list(ORDERS, ns.name)) == 1
    answer = await alertmanager.ask("POST", "/alert", body(ns, {"status": "resolved", "fingerprint": "aa"}))
    assert (answer.code, answer.body) == (200, {"orders": []})
    assert (await ns.task("other"))["status"]["phase"] == "Running"


async def test_an_alert_that_is_refused_does_not_keep_others_from_stopping(
    ns: Namespace, operator: Operator, alertmanager: Client
) -> None:
    await made(ns, "researcher", agents.graceful())
    await ns.running("researcher")
    nowhere = {"fingerprint": "aa", "labels": {"namespace": f"{ns.name}-not-there"}}
    answer = await alertmanager.ask("POST", "/alert", body(ns, nowhere, {}))
    assert answer.code in {403, 404}
    assert answer.body["error"]
    await ns.ended("researcher")


async def test_an_order_of_that_name_that_stops_something_else_is_a_conflict(
    ns: Namespace, operator: Operator, alertmanager: Client
) -> None:
    await alertmanager.ask("POST", "/alert", body(ns))
    answer = await alertmanager.ask("POST", "/alert", body(ns, {"labels": {"task": "another"}}))
    assert (answer.code, "another order" in answer.body["error"]) == (409, True)


@pytest.mark.parametrize(
    ("path", "sent", "code"),
    [
        ("/alert", b"", 422),
        ("/alert", b"[]", 422),
        ("/alert", b'{"version": "4", "version": "4"}', 422),
        ("/alert", b'{"version": "4", "alerts": [{}]}', 422),
        ("/nothing", b"{}", 404),
        ("/%2e%2e", b"{}", 404),
        ("/litellm", b"{}", 403),
    ],
)
async def test_what_is_wrong_changes_nothing(
    ns: Namespace, alertmanager: Client, path: str, sent: bytes, code: int
) -> None:
    answer = await alertmanager.ask("POST", path, sent)
    assert (answer.code, list(answer.body)) == (code, ["error"])
    assert not await ns.kube.list(ORDERS, ns.name)


async def test_an_alert_that_names_nothing_stops_nothing_of_its_group(ns: Namespace, alertmanager: Client) -> None:
    answer = await alertmanager.ask("POST", "/alert", body(ns, {}, {"fingerprint": "aa", "labels": {"task": ""}}))
    assert (answer.code, "no whole namespace" in answer.body["error"]) == (422, True)
    assert not await ns.kube.list(ORDERS, ns.name)


async def test_a_hook_takes_its_own_key_alone(ns: Namespace, gateway: Gateway, alertmanager: Client) -> None:
    other = gateway.keys.add("jane", name="another")
    for headers, code in (({}, 401), ({"x-api-key": "agentstop_wrong"}, 401), ({"x-api-key": other}, 403)):
        assert (await gateway.ask("POST", "/hooks/alert", body=body(ns), headers=headers)).code == code
    answer = await alertmanager.ask("GET", "/alert")
    assert (answer.code, answer.headers["Allow"]) == (405, "POST")
    assert not await ns.kube.list(ORDERS, ns.name)


async def test_litellm_fires_with_a_bearer_and_has_its_answer_at_once(
    ns: Namespace, operator: Operator, gateway: Gateway, people: People
) -> None:
    await people.bind("joe", "agentstop-stop")
    await made(ns, "a", agents.DEAF, agent="inventory-agent", grace=3)
    await ns.running("a")
    key = gateway.keys.add("joe", name="litellm")
    sent = json.dumps({"agent": "inventory-agent", "namespace": ns.name, "reason": "manual stop"}).encode()
    answer = await gateway.ask("POST", "/hooks/litellm", token=key, body=sent)
    assert (answer.code, len(answer.body["orders"])) == (202, 1)
    assert not (await ns.task("a"))["status"].get("finishedAt")
    stop = stop_of(await ns.ended("a"))
    assert stop["message"] == "manual stop"
    if Feature.RBAC in ns.cluster.features:
        assert stop["requestedBy"] == "joe"


async def test_without_a_file_there_are_none(cluster: Cluster) -> None:
    gateway = await Gateway.start(cluster, kubeconfig=gateway_kubeconfig(cluster))
    try:
        key = gateway.keys.add("jane", name="alertmanager")
        assert (await gateway.ask("POST", "/hooks/alert", key=key, body=b"{}")).code == 404
    finally:
        await gateway.program.end()
