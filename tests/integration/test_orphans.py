"""Pods that are the pods of no task: however that came about, and whoever was there to see it, they are ended."""

from collections.abc import AsyncIterator

import pytest

from agentstop.api.meta import TASK_LABEL
from tests.support import agents
from tests.support.clusters import Cluster, Feature
from tests.support.kube import EVENTS, TASKS, Object
from tests.support.laws import status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.orders import Orders
from tests.support.waiting import PATIENCE, until

from .test_rights import Rights, start

DISOWNED = {"metadata": {"ownerReferences": None}}
COUNTED = "agentstop_orphaned_pods_ended_total"


@pytest.fixture
async def orders(ns: Namespace, cluster: Cluster) -> AsyncIterator[Orders]:
    orders = Orders(cluster, ns.name)
    yield orders
    await orders.close()


async def running(ns: Namespace, name: str = "a", script: str = agents.DEAF, grace: int = 2) -> Object:
    await ns.create_task(name, agents.template(script, grace=grace))
    await ns.running(name)
    return await ns.pod(name)


async def orphan(ns: Namespace, name: str = "a") -> None:
    """Delete a task without its pod."""
    await ns.kube.delete(TASKS, ns.name, name, propagation="Orphan")
    await ns.tasks.until_gone(name)


async def ended(ns: Namespace, name: str = "a") -> None:
    await until(lambda: not ns.processes(name), PATIENCE, f"no process of {name}")


async def told(ns: Namespace, pod: str, reason: str) -> Object:
    """Wait for an event about a pod."""
    found: list[Object] = []

    async def there() -> bool:
        events = await ns.kube.list(EVENTS, ns.name)
        about = [each for each in events if (each.get("regarding") or {}).get("kind") == "Pod"]
        found[:] = [each for each in about if (each["regarding"]["name"], each["reason"]) == (pod, reason)]
        return bool(found)

    await until(there, PATIENCE, f"event {reason} about pod {pod}")
    return found[0]


@pytest.mark.exclusive
async def test_a_task_that_is_deleted_without_its_pod(ns: Namespace, operator: Operator) -> None:
    before = await operator.number(COUNTED)
    pod = await running(ns, script=agents.graceful(), grace=5)
    await orphan(ns)
    await ended(ns)
    event = await told(ns, "a", "OrphanedPod")
    assert (event["type"], event["action"], event["regarding"]["uid"]) == ("Warning", "Stop", pod["metadata"]["uid"])
    # In place: what it did can be looked into.
    left = await ns.pods.until("a", lambda each: each["status"].get("phase") in {"Failed", "Succeeded"}, what="ended")
    assert left["spec"]["activeDeadlineSeconds"] == 1
    assert "deletionTimestamp" not in left["metadata"]
    assert await operator.number(COUNTED) == before + 1

    async def none_left() -> bool:
        return await operator.number("agentstop_orphaned_pods") == 0

    await until(none_left, PATIENCE, "seen to no more")


@pytest.mark.parametrize("how", ["orphan", "disown"])
async def test_the_same_while_no_operator_runs(ns: Namespace, launch: Operators, how: str) -> None:
    operator = await launch.start(ns.name)
    await running(ns)
    await operator.program.kill()
    if how == "orphan":
        await orphan(ns)
    else:
        await ns.patch_pod("a", DISOWNED)
        await ns.delete_task("a")
    await ns.nothing_happens(1)
    assert ns.processes("a")
    await launch.start(ns.name)
    await ended(ns)
    await told(ns, "a", "OrphanedPod")


async def test_a_pod_whose_owner_is_taken_off_before_its_task_is_deleted(ns: Namespace, operator: Operator) -> None:
    await running(ns)
    await ns.patch_pod("a", DISOWNED)
    await ns.delete_task("a")
    await ended(ns)


async def test_a_task_with_the_finalizer_orphan_that_is_deleted_plainly(ns: Namespace, operator: Operator) -> None:
    await running(ns)
    await ns.merge_task("a", {"metadata": {"finalizers": ["orphan"]}})
    await ns.delete_task("a")
    await ns.tasks.until_gone("a")
    await ended(ns)


async def test_a_task_that_goes_with_its_pod_as_usual_is_no_news(ns: Namespace, operator: Operator) -> None:
    await running(ns, script=agents.graceful())
    await ns.delete_task("a")
    await ns.pods.until_gone("a")
    await ns.nothing_happens(1.5)
    assert not [each for each in await ns.kube.list(EVENTS, ns.name) if each["reason"] == "OrphanedPod"]


@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
async def test_a_task_that_is_made_again_under_the_same_name(ns: Namespace, launch: Operators, down: bool) -> None:
    operator = await launch.start(ns.name)
    old = await running(ns)
    if down:
        await operator.program.kill()
    await orphan(ns)
    await ns.create_task("a", agents.template(agents.graceful()))
    if down:
        await launch.start(ns.name)
    # It would be in the way.
    await ns.pods.until_gone("a", of=old["metadata"]["uid"])
    await ns.running("a")
    assert status(await ns.task("a"))["workload"]["uid"] != old["metadata"]["uid"]
    await ns.stop("a")
    assert stop_of(await ns.ended("a"))["verdict"] == "Graceful"


async def test_a_pod_that_somebody_gives_our_label(ns: Namespace, operator: Operator) -> None:
    await ns.create_pod("x", agents.pod_spec(agents.DEAF, grace=1), labels={TASK_LABEL: "nobody"})
    await ns.ready("x")
    await ended(ns, "x")


async def test_a_copy_of_a_label_harms_neither_the_task_nor_the_copy(ns: Namespace, operator: Operator) -> None:
    await running(ns, script=agents.graceful())
    await ns.create_pod("copy", agents.pod_spec(), labels={TASK_LABEL: "a"})
    await ns.ready("copy")
    await ns.nothing_happens(3)
    assert ns.processes("a")
    assert ns.processes("copy")
    assert "activeDeadlineSeconds" not in (await ns.pod("a"))["spec"]


async def test_what_a_living_task_has_adopted_is_no_orphan(ns: Namespace, operator: Operator) -> None:
    await ns.adopt("b", "a")
    await ns.create_pod("a", agents.pod_spec(agents.DEAF, grace=1), labels={TASK_LABEL: "a"})
    await ns.phase("b", "Running")
    await ns.nothing_happens(3)
    assert ns.processes("a")
    await ns.delete_task("b")
    await ended(ns)


async def test_a_pod_that_an_administrator_lets_go_runs_on(ns: Namespace, operator: Operator) -> None:
    await running(ns)
    await ns.patch_pod("a", {"metadata": {"labels": {TASK_LABEL: None}}})
    await orphan(ns)
    await ns.nothing_happens(3)
    assert ns.processes("a")


async def test_an_order_over_everything_is_not_over_before_the_orphans(
    ns: Namespace, operator: Operator, orders: Orders
) -> None:
    await running(ns, grace=6)
    await orphan(ns)
    order = await orders.make(hold=True)
    other = await orders.make("narrow", selector={"matchLabels": {"team": "b"}})
    found = await order.until(lambda now: now.get("stalledCount") == 1, "waiting")
    assert found["phase"] == "Stopping"
    assert (found["stalled"][0]["name"], found["stalled"][0]["reason"]) == ("a", "OrphanedPod")
    assert found["matched"] == 0
    await other.phase("Complete")
    found = await order.phase("Holding")
    assert not ns.processes("a")
    assert found.get("stalledCount", 0) == 0
    # Nothing comes back.
    await ns.create_task("a2", agents.template())
    assert stop_of(await ns.ended("a2"))["verdict"] == "NotStarted"


async def test_an_operator_that_dies_in_the_middle(ns: Namespace, launch: Operators) -> None:
    operator = await launch.start(ns.name)
    names = [f"a{each}" for each in range(3)]
    for name in names:
        await ns.create_task(name, agents.template(agents.DEAF, grace=2))
    for name in names:
        await ns.running(name)
    for name, seconds in zip(names, (0, 0.5, 1), strict=True):
        await orphan(ns, name)
        await ns.nothing_happens(seconds)
        await operator.program.kill()
        operator = await launch.start(ns.name)
    for name in names:
        await ended(ns, name)


@pytest.mark.needs(Feature.RBAC)
async def test_an_orphan_that_may_not_be_ended(ns: Namespace, launch: Operators, cluster: Cluster) -> None:
    rights = Rights(ns)
    await rights.begin(patch=False, delete=False)
    operator = await start(launch, ns, cluster)
    await running(ns)
    await orphan(ns)
    event = await told(ns, "a", "DeleteForbidden")
    assert "forbidden" in event["note"]

    async def counted() -> bool:
        return await operator.number('agentstop_stops_stalled{reason="DeleteForbidden"}') == 1

    await until(counted, PATIENCE, "counted as stalled")
    await rights.change()
    await ended(ns)
