"""Orders that halt first: what matches is frozen by the kernel, and goes on, or is ended, when somebody says so.

The judge is what the agents write. On the playground's node the test puts the processes into the pods' cgroups.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support import agents
from tests.support.clusters import Cluster
from tests.support.components import NodeComponent
from tests.support.kube import TASKS, KubeError, Object
from tests.support.laws import exit_code, pods_of, stalled, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.orders import Order, Orders
from tests.support.waiting import PATIENCE

from .test_node_freezing import beats, goes_on, is_silent

BEATING = (
    "trap 'echo checkpoint; exit 0' TERM; n=0; echo ready; while :; do n=$((n + 1)); echo beat $n; sleep 0.02; done"
)
"""Says a number again and again, and never the same one twice; ends well on SIGTERM."""

FREEZE: Object = {"freeze": True, "reason": "Incident"}


@pytest.fixture
async def orders(ns: Namespace, cluster: Cluster) -> AsyncIterator[Orders]:
    orders = Orders(cluster, ns.name)
    yield orders
    await orders.close()


async def beating(ns: Namespace, node: NodeComponent, *names: str, pod: Object | None = None, **labels: str) -> None:
    """Have agents run that write all the time."""
    for name in names:
        await ns.create_task(name, pod or agents.template(BEATING, grace=30))
        await ns.merge_task(name, {"metadata": {"labels": labels}})
    for name in names:
        await ns.running(name)
        await goes_on(ns, name=name)
        await node.hold(ns, name)  # after its first word: what starts it may fork until then


async def frozen(ns: Namespace, order: Order, *names: str) -> Object:
    """Wait until an order has all frozen, and check that nothing is heard of these."""
    found = await order.phase("Frozen")
    assert (found["matched"], found["frozen"], "startedAt" in found) == (len(names), len(names), False)
    assert 0 <= found["freezeSeconds"] <= PATIENCE
    for name in names:
        task = await ns.task(name)
        assert (status(task)["phase"], status(task)["reason"]) == ("Paused", "Frozen")
        assert status(task)["frozenBy"]["name"] == order.name
        assert "(Incident)" in status(task)["message"]
        await is_silent(ns, name)
    return found


async def never_began_again(ns: Namespace, name: str) -> None:
    numbers = await beats(ns, name)
    assert numbers == sorted(set(numbers))
    (container,) = (await ns.pod(name))["status"]["containerStatuses"]
    assert container["restartCount"] == 0
    assert status(await ns.task(name))["attempts"] == 1


async def test_what_matches_is_frozen_and_goes_on_where_it_was(
    ns: Namespace, asking: Operator, node: NodeComponent, orders: Orders
) -> None:
    await beating(ns, node, "a", "b", team="x")
    await beating(ns, node, "other")
    order = await orders.make(selector={"matchLabels": {"team": "x"}}, **FREEZE)
    await frozen(ns, order, "a", "b")
    await goes_on(ns, (await beats(ns, "other"))[-1], "other")

    await order.edit(then="Resume")
    found = await order.phase("Lifted")
    assert (found["matched"], found["frozen"], "startedAt" in found) == (0, 0, False)
    for name in ("a", "b"):
        await ns.running(name)
        assert "frozenBy" not in status(await ns.task(name))
        await goes_on(ns, (await beats(ns, name))[-1], name)
        await never_began_again(ns, name)
    with pytest.raises(KubeError, match="then is said once: create a new order instead"):
        await order.edit(then="Stop")


async def test_an_order_that_is_deleted_lets_go(
    ns: Namespace, asking: Operator, node: NodeComponent, orders: Orders
) -> None:
    await beating(ns, node, "a")
    order = await orders.make(**FREEZE)
    await frozen(ns, order, "a")
    await order.delete()
    await order.gone()

    await ns.running("a")
    await goes_on(ns, (await beats(ns, "a"))[-1])


async def test_what_comes_meanwhile_neither_starts_nor_runs(
    ns: Namespace, asking: Operator, node: NodeComponent, orders: Orders
) -> None:
    await beating(ns, node, "a")
    order = await orders.make(selector={"matchLabels": {"team": "x"}}, hold=True, **FREEZE)
    await order.phase("Frozen")
    body: Object = {"apiVersion": "agentstop.dev/v1alpha1", "kind": "AgentTask"}
    body |= {"metadata": {"name": "late", "labels": {"team": "x"}}, "spec": {"podTemplate": agents.template(BEATING)}}
    await ns.kube.create(TASKS, ns.name, body)
    await ns.until("late", lambda task: stalled(task) == "HeldByOrder", what="held")
    await ns.merge_task("a", {"metadata": {"labels": {"team": "x"}}})
    await order.until(lambda found: (found["phase"], found["frozen"]) == ("Frozen", 1), "frozen too")
    await is_silent(ns, "a")
    assert status(await ns.task("late"))["phase"] == "Pending"

    await order.edit(then="Resume")
    await ns.running("a")
    await ns.running("late")


async def test_it_is_thawed_into_sigterm_with_its_grace_period(
    ns: Namespace, asking: Operator, node: NodeComponent, orders: Orders
) -> None:
    await beating(ns, node, "a")
    order = await orders.make(**FREEZE)
    await frozen(ns, order, "a")
    await order.edit(then="Stop")
    task = await ns.ended("a")

    assert (stop_of(task)["verdict"], exit_code(task), stop_of(task)["order"]["name"]) == ("Graceful", 0, order.name)
    assert "checkpoint" in await ns.logs("a")
    found = await order.phase("Complete")
    assert (found["matched"], found["stopped"]["graceful"], found["frozen"]) == (1, 1, 0)
    assert found["freezeSeconds"] >= 0


async def test_what_is_killed_never_runs_again(
    ns: Namespace, asking: Operator, node: NodeComponent, orders: Orders
) -> None:
    await beating(ns, node, "a", pod=agents.template(BEATING, grace=300))
    order = await orders.make(**FREEZE)
    await frozen(ns, order, "a")
    last = (await beats(ns, "a"))[-1]
    await order.edit(then="Kill")
    task = await ns.ended("a")

    assert (stop_of(task)["verdict"], exit_code(task)) == ("Killed", 137)
    assert stop_of(task)["gracePeriodSeconds"] == 1
    assert stop_of(task)["durationSeconds"] < 20
    assert "logsGone" not in status(task)["workload"]
    assert (await beats(ns, "a"))[-1] == last
    assert "checkpoint" not in await ns.logs("a")
    await order.phase("Complete")


@pytest.mark.parametrize("then", ["Stop", "Kill"])
async def test_an_emergency_stop_halts_before_it_asks(
    ns: Namespace, asking: Operator, node: NodeComponent, orders: Orders, then: str
) -> None:
    await beating(ns, node, "a", "b")
    order = await orders.make(then=then, hold=True, **FREEZE)
    found = await order.phase("Holding")

    assert found["matched"] == 2
    assert found["freezeSeconds"] >= 0
    assert found["stopped"] == {"graceful": 0, "killed": 0, "notStarted": 0, "other": 0} | (
        {"graceful": 2} if then == "Stop" else {"killed": 2}
    )
    for name in ("a", "b"):
        assert ("checkpoint" in await ns.logs(name)) is (then == "Stop")


async def test_what_cannot_be_frozen_is_named_and_is_stopped_all_the_same(
    ns: Namespace, asking: Operator, node: NodeComponent, orders: Orders
) -> None:
    probe: Object = {"livenessProbe": {"exec": {"command": ["true"]}}}
    probed = {"spec": {"terminationGracePeriodSeconds": 5, "containers": [agents.container(BEATING, **probe)]}}
    await beating(ns, node, "a")
    await beating(ns, node, "probed", pod=probed)
    order = await orders.make(**FREEZE)
    found = await order.until(lambda found: (found.get("stalledCount"), found.get("frozen")) == (1, 1), "named")
    assert found["phase"] == "Freezing"
    assert [(each["name"], each["reason"]) for each in found["stalled"]] == [("probed", "LivenessProbe")]
    await is_silent(ns, "a")
    await goes_on(ns, (await beats(ns, "probed"))[-1], "probed")

    await order.edit(then="Stop")
    await order.phase("Complete")
    assert {stop_of(await ns.ended(name))["source"] for name in ("a", "probed")} == {"StopOrder"}


async def test_a_stop_of_the_task_itself_goes_first(
    ns: Namespace, asking: Operator, node: NodeComponent, orders: Orders
) -> None:
    await beating(ns, node, "a")
    order = await orders.make(**FREEZE)
    await frozen(ns, order, "a")
    await ns.stop("a")
    task = await ns.ended("a")

    assert (stop_of(task)["source"], exit_code(task)) == ("User", 0)
    assert (await order.until(lambda found: found["matched"] == 0, "left to itself"))["phase"] == "Frozen"


async def test_another_operator_goes_on_with_it(
    ns: Namespace, asking: Operator, node: NodeComponent, launch: Operators, orders: Orders
) -> None:
    await beating(ns, node, "a", "b")
    order = await orders.make(**FREEZE)
    await frozen(ns, order, "a", "b")
    await asking.program.kill()
    await is_silent(ns, "a")
    await order.edit(then="Resume")
    await launch.start(ns.name, options=["--ask-nodes"])

    await order.phase("Lifted")
    for name in ("a", "b"):
        await goes_on(ns, (await beats(ns, name))[-1], name)
        await never_began_again(ns, name)


async def test_an_order_that_went_while_no_operator_ran_keeps_nothing_frozen(
    ns: Namespace, asking: Operator, node: NodeComponent, launch: Operators, orders: Orders
) -> None:
    await beating(ns, node, "a")
    order = await orders.make(**FREEZE)
    await frozen(ns, order, "a")
    await asking.program.kill()
    await order.delete()
    await order.gone()
    await launch.start(ns.name, options=["--ask-nodes"])

    await ns.running("a")
    await goes_on(ns, (await beats(ns, "a"))[-1])


async def test_without_components_it_says_so_and_a_stop_waits_for_nothing(
    ns: Namespace, operator: Operator, orders: Orders
) -> None:
    await ns.create_task("a", agents.template(BEATING))
    await ns.running("a")
    order = await orders.make(**FREEZE)
    found = await order.until(lambda found: found.get("stalledCount") == 1, "named")
    assert found["stalled"][0]["reason"] == "NodesNotAsked"
    await goes_on(ns)
    await order.edit(then="Kill")
    await order.phase("Complete")

    task = await ns.ended("a")
    assert stop_of(task)["gracePeriodSeconds"] == 1
    assert pods_of(task)


# The API itself


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"freeze": True, "drill": True}, "spec.drill and spec.freeze exclude each other"),
        ({"then": "Stop"}, "it goes with spec.freeze"),
        ({"freeze": True, "then": "Pause"}, "supported values"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    ns: Namespace, launch: Operators, orders: Orders, spec: Object, message: str
) -> None:
    with pytest.raises(KubeError, match=message):
        await orders.make(**spec)


@pytest.mark.parametrize(
    ("spec", "change", "message"),
    [
        ({"freeze": True}, {"freeze": False}, "freeze is immutable"),
        ({}, {"freeze": True}, "freeze is immutable"),
        ({"freeze": True, "then": "Stop"}, {"then": "Kill"}, "then is said once"),
        ({"freeze": True, "then": "Stop"}, {"then": None}, "then is said once"),
        ({}, {"then": "Stop"}, "it goes with spec.freeze"),
    ],
)
async def test_what_was_said_stands(
    ns: Namespace, launch: Operators, orders: Orders, spec: Object, change: dict[str, Any], message: str
) -> None:
    order = await orders.make(**spec)
    with pytest.raises(KubeError, match=message):
        await order.edit(**change)
