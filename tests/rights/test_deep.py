"""Objects that are nested as deep as the API server lets anybody nest them: they cost nobody but themselves anything.

Each stays in place while all else is tried, and while the operator is started anew. The chart's bounds refuse them, so
an administrator writes them here, who is exempt: they may be from before, or on a cluster without these policies.
"""

import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.support import agents, manifests
from tests.support.clusters import Cluster
from tests.support.kube import DEPLOYMENTS, MERGE, PODS, TASKS, Kind, Kube
from tests.support.laws import stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.waiting import until
from tests.support.workloads import Workloads

from .test_admission import ORDERS, order

DEPTHS = (1_500, 9_900)
"""More than Python reads up to 3.11, and nearly the most that the API server takes."""


def managed(levels: int, kind: Kind) -> str:
    """Return the text of managed fields that are nested so deep."""
    version = kind.prefix.removeprefix("/apis/").removeprefix("/api/")
    entry = {"manager": "m", "operation": "Update", "apiVersion": version, "fieldsType": "FieldsV1", "fieldsV1": "here"}
    return json.dumps([entry]).replace('"here"', '{"f:a":' * levels + "{}" + "}" * levels)


async def nest(kube: Kube, kind: Kind, namespace: str, name: str, levels: int) -> None:
    """Have an object hold what is nested so deep, and see that it does."""
    body = f'{{"metadata":{{"managedFields":{managed(levels, kind)}}}}}'
    await kube.call("PATCH", kind.path(namespace, name), body, content_type=MERGE)


async def is_deep(kube: Kube, kind: Kind, namespace: str, name: str) -> bool:
    text = await kube.text(kind.path(namespace, name))
    return '{"f:a":' * 1_400 in text


@pytest.fixture
async def other(cluster: Cluster) -> AsyncIterator[Namespace]:
    """A namespace that the attacker has no right in."""
    namespace = Namespace(cluster, f"r-{secrets.token_hex(4)}")
    await namespace.open()
    yield namespace
    try:
        namespace.check()
    finally:
        await namespace.close()


async def works(other: Namespace, operator: Operator, round_: int) -> None:
    """See that a stop, an order and a hold in another namespace do what they should, and that the operator is ready."""
    single, ordered, held = f"single-{round_}", f"ordered-{round_}", f"held-{round_}"
    for name in (single, ordered):
        await other.create_task(name, agents.template(agents.graceful(), grace=5))
        await other.running(name)
    await other.stop(single)
    assert stop_of(await other.ended(single))["verdict"] == "Graceful"
    body = {**order(), "metadata": {"name": f"o-{round_}"}, "spec": {"selector": {}, "hold": True}}
    await other.kube.create(ORDERS, other.name, body)
    assert stop_of(await other.ended(ordered))["source"] == "StopOrder"
    await other.create_task(held, agents.template(agents.graceful()))
    assert stop_of(await other.ended(held))["verdict"] == "NotStarted"
    await other.kube.merge(ORDERS, other.name, f"o-{round_}", {"spec": {"hold": False}})
    await other.kube.delete(ORDERS, other.name, f"o-{round_}")

    async def lifted() -> bool:
        return not await other.kube.list(ORDERS, other.name)

    await until(lifted, 20, "no order is left")
    assert (await operator.get("/readyz"))[1] == "ok\n"


Attack = Callable[[Namespace, Workloads, int], Awaitable[None]]


async def a_pod(ns: Namespace, _: Workloads, levels: int) -> None:
    await nest(ns.kube, PODS, ns.name, "a", levels)
    assert await is_deep(ns.kube, PODS, ns.name, "a")


async def a_task(ns: Namespace, _: Workloads, levels: int) -> None:
    await nest(ns.kube, TASKS, ns.name, "a", levels)
    assert await is_deep(ns.kube, TASKS, ns.name, "a")


async def an_adopted_workload(ns: Namespace, workloads: Workloads, levels: int) -> None:
    """A Deployment, and one of its pods."""
    made = await workloads.create(manifests.deployment("worker", agents.graceful()))
    await workloads.adopt("adopted", made)
    (pod,) = await workloads.running(made)
    await nest(ns.kube, DEPLOYMENTS, ns.name, "worker", levels)
    await nest(ns.kube, PODS, ns.name, pod["metadata"]["name"], levels)
    assert await is_deep(ns.kube, DEPLOYMENTS, ns.name, "worker")


async def an_order(ns: Namespace, _: Workloads, levels: int) -> None:
    marked = json.dumps({**order(), "metadata": {"name": "deep", "managedFields": "here"}})
    body = marked.replace('"here"', managed(levels, ORDERS))
    await ns.kube.call("POST", ORDERS.path(ns.name), body)
    assert await is_deep(ns.kube, ORDERS, ns.name, "deep")


@pytest.mark.parametrize("levels", DEPTHS)
@pytest.mark.parametrize("attack", [a_pod, a_task, an_adopted_workload, an_order])
async def test_an_object_that_is_nested_deep_blinds_nobody(
    ns: Namespace,
    other: Namespace,
    workloads: Workloads,
    operators: Operators,
    attack: Attack,
    levels: int,
) -> None:
    operator = await operators.serve(ns.name)
    await ns.create_task("a", agents.template(agents.graceful(), grace=5))
    await ns.running("a")
    await attack(ns, workloads, levels)
    await works(other, operator, 1)

    await operators.end_shared()
    operator = await operators.serve(ns.name)
    await works(other, operator, 2)
    for name in ns.tasks.names():
        await ns.stop(name)
        assert stop_of(await ns.ended(name))["verdict"] == "Graceful"
    assert not operator.mistakes(), operator.mistakes()
