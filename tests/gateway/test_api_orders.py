"""Our own API: stop orders of both kinds."""

import json
from typing import Any

import pytest

from tests.support import agents
from tests.support.clusters import Cluster, Feature
from tests.support.gateways import Gateway
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.orders import CLUSTER_ORDERS, ORDERS
from tests.support.waiting import PATIENCE, until

from .api import PREFIX, ApiClient, made
from .conftest import People


@pytest.fixture
async def api(gateway: Gateway, jane: str, people: People) -> ApiClient:
    await people.bind("jane", "agentstop-admin")
    return ApiClient(gateway, PREFIX, jane)


def body(**order: Any) -> bytes:
    return json.dumps(order).encode()


async def test_an_order_stops_what_it_selects_and_waits(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    for name, agent in (("a", "x"), ("b", "x"), ("c", "y")):
        await made(ns, name, agents.graceful(), agent=agent)
        await ns.running(name)
    where = f"/namespaces/{ns.name}/stoporders"
    answer = await api.ask(
        "POST", where, body(name="incident", selector={}, agents=["x"], reason="SecurityIncident", message="now")
    )
    assert (answer.code, answer.headers["Location"]) == (201, f"{PREFIX}{where}/incident")
    found = answer.body
    assert (found["kind"], found["status"]["phase"], found["status"]["matched"]) == ("StopOrder", "Complete", 2)
    assert (found["spec"]["agents"], found["spec"]["reason"]) == (["x"], "SecurityIncident")
    assert await api.get(f"{where}/incident") == found
    assert (await api.ask("POST", where, body(name="incident", selector={}))).code == 409
    assert (await api.get(f"/tasks?namespace={ns.name}&phase=Running"))["items"][0]["name"] == "c"


async def test_where_the_proof_is_out_it_is_accepted(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    await made(ns, "a", agents.DEAF, grace=3)
    await ns.running("a")
    answer = await api.ask("POST", f"/namespaces/{ns.name}/stoporders", body(selector={}), Prefer="wait=1")
    assert (answer.code, answer.body["name"].startswith("stop-")) == (202, True)
    assert answer.body["status"]["phase"] in {"Pending", "Stopping"}
    found = answer.body

    async def complete() -> bool:
        nonlocal found
        found = await api.get(answer.headers["Location"].removeprefix(PREFIX))
        return bool(found["status"]["phase"] == "Complete")

    await until(complete, PATIENCE, "order complete")
    assert found["status"]["stopped"]["killed"] == 1


async def test_a_drill_stops_nothing_and_says_what_it_would(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    await made(ns, "a", agent="x")
    await ns.running("a")
    answer = await api.ask("POST", f"/namespaces/{ns.name}/stoporders/drill", body(selector={}))
    assert (answer.code, answer.body["status"]["phase"]) == (201, "Drilled")
    assert answer.body["status"]["drill"]["running"] == 1
    assert answer.headers["Location"] == f"{PREFIX}/namespaces/{ns.name}/stoporders/{answer.body['name']}"
    assert not (await ns.task("a"))["spec"].get("stopRequested")
    assert (await ns.task("a"))["status"]["phase"] == "Running"


async def test_a_hold_stands_until_it_is_lifted(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    where = f"/namespaces/{ns.name}/stoporders"
    answer = await api.ask("POST", where, body(name="hold", selector={}, hold=True))
    assert (answer.code, answer.body["status"]["phase"]) == (201, "Holding")
    answer = await api.ask("POST", f"{where}/hold/lift?dryRun=All")
    assert (answer.code, answer.body["status"]["phase"]) == (200, "Holding")
    assert (await api.get(f"{where}/hold"))["spec"]["hold"] is True
    for _ in range(2):
        answer = await api.ask("POST", f"{where}/hold/lift")
        assert (answer.code, answer.body["status"]["phase"]) == (200, "Lifted")
    await api.ask("POST", where, body(name="plain", selector={}))
    answer = await api.ask("POST", f"{where}/plain/lift")
    assert (answer.code, "nothing to lift" in answer.body["detail"]) == (409, True)


async def test_a_freeze_is_lifted_as_a_hold_is(
    ns: Namespace, operator: Operator, api: ApiClient, cluster: Cluster
) -> None:
    where = f"/namespaces/{ns.name}/stoporders"
    spec = {"selector": {}, "freeze": True}
    order = {"apiVersion": "agentstop.dev/v1alpha1", "kind": "StopOrder", "metadata": {"name": "f"}, "spec": spec}
    await cluster.kube.create(ORDERS, ns.name, order)
    answer = await api.ask("POST", f"{where}/f/lift")
    assert (answer.code, answer.body["status"]["phase"], answer.body["spec"]["then"]) == (200, "Lifted", "Resume")


async def test_lists_have_pages(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    where = f"/namespaces/{ns.name}/stoporders"
    for name in "abc":
        await api.ask("POST", where, body(name=name, selector={}, taskNames=["nobody"]))
    first = await api.get(f"{where}?limit=2")
    last = await api.get(f"{where}?limit=2&continue={first['continue']}")
    assert [each["name"] for each in first["items"] + last["items"]] == ["a", "b", "c"]
    assert "continue" not in last
    assert (await api.get(f"{where}?labelSelector=team%3Dx"))["items"] == []


# Other tests make cluster orders on the same API server meanwhile; theirs don't say this.
MARK = "to be refused"


def wrong(**order: Any) -> bytes:
    return body(message=MARK, **order)


REFUSED = [
    b"",
    b"{}",
    wrong(name="x"),
    wrong(selector={"matchLabel": {"team": "x"}}),
    wrong(selector={"matchLabels": {"team": 5}}),
    wrong(selector={"matchLabels": {"a b": "c"}}),
    wrong(selector={"matchExpressions": [{"key": "team", "operator": "Maybe"}]}),
    wrong(selector={}, agent="x"),
    wrong(selector={}, agents=[]),
    wrong(selector={}, agents=["x y"]),
    wrong(selector={}, name="../tasks"),
    wrong(selector={}, drill=True),
    wrong(selector={}, hold="true"),
    wrong(selector={}, gracePeriodSeconds=0),
    wrong(selector={}, gracePeriodSeconds=1.5),
    wrong(selector={}, reason="two words"),
    wrong(selector=[]),
    wrong(selector=None),
]


@pytest.mark.parametrize("where", ["/namespaces/{}/stoporders", "/clusterstoporders"])
async def test_what_does_not_say_clearly_what_is_meant_is_refused(
    ns: Namespace, api: ApiClient, where: str, people: People
) -> None:
    await people.bind("jane", "agentstop-admin", "")
    path = where.format(ns.name)
    for refused in REFUSED:
        answer = await api.ask("POST", path, refused)
        assert (answer.code, answer.body["reason"]) == (422, "Invalid"), refused
    other = "namespaceSelector" if "{}" in where else "taskNames"
    value: Any = {} if "{}" in where else ["a"]
    assert (await api.ask("POST", path, wrong(selector={}, **{other: value}))).code == 422
    assert not await ns.kube.list(ORDERS, ns.name)
    assert MARK not in {order["spec"].get("message") for order in await ns.kube.list(CLUSTER_ORDERS)}


@pytest.mark.parametrize(
    "path",
    [
        "/namespaces/%2e%2e/stoporders",
        "/namespaces/A/stoporders",
        "/clusterstoporders/%2e%2e%2fx",
        "/clusterstoporders/a%00",
    ],
)
async def test_names_that_are_none(api: ApiClient, path: str) -> None:
    answer = await api.ask("GET", path)
    assert (answer.code, answer.body["reason"]) == (422, "InvalidID")


async def test_a_dry_run_makes_nothing(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    where = f"/namespaces/{ns.name}/stoporders"
    answer = await api.ask("POST", f"{where}?dryRun=All", body(name="x", selector={}))
    assert (answer.code, answer.body["name"]) == (200, "x")
    assert (await api.ask("GET", f"{where}/x")).code == 404


async def test_a_cluster_stop_order_is_made_seen_and_lifted(ns: Namespace, api: ApiClient, people: People) -> None:
    """Without an operator of all namespaces: it stops nothing of other tests."""
    await people.bind("jane", "agentstop-admin", "")
    name = ns.name
    never = {"matchLabels": {"kubernetes.io/metadata.name": "nowhere"}}
    order = body(name=name, selector={}, namespaceSelector=never, hold=True)
    answer = await api.ask("POST", "/clusterstoporders", order, Prefer="wait=0")
    assert (answer.code, answer.headers["Location"]) == (202, f"{PREFIX}/clusterstoporders/{name}")
    assert "namespace" not in answer.body
    try:
        assert (await api.get(f"/clusterstoporders/{name}"))["spec"]["namespaceSelector"]["matchLabels"] == never[
            "matchLabels"
        ]
        assert name in {each["name"] for each in (await api.get("/clusterstoporders"))["items"]}
        answer = await api.ask("POST", f"/clusterstoporders/{name}/lift", Prefer="wait=0")
        assert (answer.code, answer.body["spec"]["hold"]) == (202, False)
    finally:
        await ns.kube.delete(CLUSTER_ORDERS, "", name)


@pytest.mark.needs(Feature.RBAC)
async def test_who_made_it_is_on_record_and_others_are_refused(
    ns: Namespace, operator: Operator, gateway: Gateway, api: ApiClient, people: People
) -> None:
    where = f"/namespaces/{ns.name}/stoporders"
    answer = await api.ask("POST", where, body(name="x", selector={}))
    assert answer.body["status"]["requestedBy"] == "jane"
    joe = ApiClient(gateway, PREFIX, gateway.keys.add("joe"))
    for method, path in (
        ("POST", where),
        ("POST", f"{where}?dryRun=All"),
        ("POST", f"{where}/drill"),
        ("GET", where),
        ("GET", f"{where}/x"),
        ("POST", f"{where}/x/lift"),
        ("GET", "/stoporders"),
        ("GET", "/clusterstoporders"),
        ("POST", "/clusterstoporders"),
    ):
        given = body(selector={}) if method == "POST" and "lift" not in path else None
        answer = await joe.ask(method, path, given)
        assert (answer.code, 'User "joe" cannot' in answer.body["detail"]) == (403, True), path
