"""Stop orders: one object stops all that matches, refuses what comes after, and counts right whatever happens."""

# ruff: noqa: S311  (random moments guard no secret)

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from agentstop.api.meta import STOP_FINALIZER
from tests.support import agents, manifests
from tests.support.clusters import Cluster, Feature
from tests.support.kube import NAMESPACES, PODS, TASKS, KubeError, Object
from tests.support.laws import exit_code, moment, stalled, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.orders import CLUSTER_ORDERS, ORDERS, Order, Orders, counted, more_namespaces, outcomes
from tests.support.paper import PaperNode
from tests.support.waiting import PATIENCE, until
from tests.support.workloads import Workloads

TEAM = {"matchLabels": {"team": "a"}}
GRACEFUL = agents.graceful(0.1)

RUNS = 100
ARRIVE = 100
A_SECOND = 50
"""So many tasks run, so many arrive under the hold, and so many of them a second."""


@pytest.fixture
async def orders(ns: Namespace, cluster: Cluster) -> AsyncIterator[Orders]:
    orders = Orders(cluster, ns.name)
    yield orders
    await orders.close()


async def make(
    ns: Namespace, name: str, pod: Object | None = None, labels: dict[str, str] | None = None, **spec: Any
) -> None:
    """Create a task, with labels."""
    body = {
        "apiVersion": "agentstop.dev/v1alpha1",
        "kind": "AgentTask",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"podTemplate": pod or agents.template(GRACEFUL), **spec},
    }
    await ns.kube.create(TASKS, ns.name, body)


async def label(ns: Namespace, name: str, **labels: str) -> None:
    await ns.merge_task(name, {"metadata": {"labels": labels}})


async def now(ns: Namespace) -> dict[str, Object]:
    """Return all tasks of a namespace as they are now."""
    return {each["metadata"]["name"]: each for each in await ns.kube.list(TASKS, ns.name)}


async def check_counts(order: Order, matched: list[Object], refused: int = 0) -> None:
    """Raise AssertionError unless an order has counted just these tasks."""
    found = await order.status()
    assert (found["matched"], found["stopping"], found["refused"]) == (len(matched), 0, refused)
    assert counted(found) == outcomes(matched)


# Whom an order stops


@pytest.mark.parametrize(
    ("spec", "stopped"),
    [
        ({}, {"one", "two", "three"}),
        ({"selector": TEAM}, {"one", "two"}),
        ({"agents": ["crawler"]}, {"two", "three"}),
        ({"taskNames": ["three", "nobody"]}, {"three"}),
        ({"selector": TEAM, "agents": ["crawler"], "taskNames": ["one", "two"]}, {"two"}),
    ],
    ids=["everything", "selector", "agents", "taskNames", "all of them"],
)
async def test_whom_an_order_stops(
    ns: Namespace, operator: Operator, orders: Orders, spec: Object, stopped: set[str]
) -> None:
    await make(ns, "one", labels={"team": "a"}, agent="researcher")
    await make(ns, "two", labels={"team": "a"}, agent="crawler")
    await make(ns, "three", agent="crawler")
    for name in ("one", "two", "three"):
        await ns.running(name)
    order = await orders.make(**spec)
    await order.phase("Complete")

    tasks = await now(ns)
    assert {name for name, task in tasks.items() if status(task)["phase"] == "Stopped"} == stopped
    assert {status(tasks[name])["phase"] for name in set(tasks) - stopped} <= {"Running"}
    await check_counts(order, [tasks[name] for name in stopped])


async def test_what_goes_on_record(ns: Namespace, operator: Operator, orders: Orders) -> None:
    await make(ns, "a")
    before = await ns.running("a")
    order = await orders.make(reason="SecurityIncident", message="prompt injection", gracePeriodSeconds=5)
    found = await order.phase("Complete")

    task = await ns.ended("a")
    stop = stop_of(task)
    uid = (await order.get())["metadata"]["uid"]
    assert (stop["source"], stop["order"]) == ("StopOrder", {"kind": "StopOrder", "name": "o", "uid": uid})
    assert (stop["reason"], stop["message"], stop["verdict"]) == ("SecurityIncident", "prompt injection", "Graceful")
    assert (status(task)["reason"], status(task)["manuallyStopped"]) == ("StopOrdered", True)
    assert "StopOrder o" in status(task)["message"]
    assert task["metadata"]["generation"] == before["metadata"]["generation"]
    times = [moment(found[name]) for name in ("startedAt", "signaledAt", "finishedAt")]
    assert times == sorted(times)
    assert (found["signalSeconds"], found["haltSeconds"]) == tuple(
        round((each - times[0]).total_seconds(), 3) for each in times[1:]
    )


async def test_pending_and_paused_tasks_are_stopped_too(ns: Namespace, operator: Operator, orders: Orders) -> None:
    await make(ns, "paused", paused=True)
    await ns.phase("paused", "Paused")
    await make(ns, "waits", parentRef={"name": "nobody"})
    await ns.stalled("waits", "ParentNotFound")
    order = await orders.make()
    await order.phase("Complete")

    assert {stop_of(await ns.ended(name))["verdict"] for name in ("paused", "waits")} == {"NotStarted"}
    await check_counts(order, list((await now(ns)).values()))


async def test_the_grace_period_of_an_order_overrides_others(ns: Namespace, operator: Operator, orders: Orders) -> None:
    await make(ns, "a", agents.template(agents.DEAF, grace=300), stop={"gracePeriodSeconds": 200})
    await ns.running("a")
    order = await orders.make(gracePeriodSeconds=1)
    await order.phase("Complete")

    task = await ns.ended("a")
    assert (stop_of(task)["gracePeriodSeconds"], stop_of(task)["verdict"], exit_code(task)) == (1, "Killed", 137)
    assert counted(await order.status()) == {"killed": 1}


async def test_an_order_takes_the_pods_too_whatever_the_tasks_say(
    ns: Namespace, operator: Operator, orders: Orders
) -> None:
    """With the pod object, the token that it was given is good for nothing any more."""
    await make(ns, "a", labels={"team": "a"}, stop={"podPolicy": "Keep"})
    await make(ns, "b")
    await make(ns, "child", parentRef={"name": "a"})
    for name in ("a", "b", "child"):
        await ns.running(name)
    order = await orders.make(selector=TEAM, podPolicy="Delete")
    await order.phase("Complete")

    for name in ("a", "child"):
        task = await ns.ended(name)
        assert (stop_of(task)["podPolicy"], stop_of(task)["verdict"], exit_code(task)) == ("Delete", "Graceful", 0)
        await ns.pods.until_gone(name)
    assert (await ns.task("b"))["status"]["phase"] == "Running"


async def test_an_order_that_keeps_the_pods_keeps_them(ns: Namespace, operator: Operator, orders: Orders) -> None:
    await make(ns, "a", stop={"podPolicy": "Delete"})
    await ns.running("a")
    order = await orders.make(podPolicy="Keep")
    await order.phase("Complete")
    await ns.ended("a")
    await order.delete()
    await ns.patch("a", ttlSecondsAfterFinished=3600)  # the operator looks at it once more
    await ns.until("a", lambda task: status(task).get("observedGeneration") == 2, what="seen")

    assert (await ns.kube.get(PODS, ns.name, "a"))["status"]["phase"] in {"Succeeded", "Failed"}


async def test_a_job_that_was_adopted(ns: Namespace, operator: Operator, workloads: Workloads, orders: Orders) -> None:
    job = await workloads.create(manifests.job("worker", GRACEFUL, parallelism=2))
    await workloads.adopt("a", job)
    await workloads.running(job, 2)
    await ns.phase("a", "Running")
    order = await orders.make()
    await order.phase("Complete")

    assert stop_of(await ns.ended("a"))["verdict"] == "Graceful"
    await workloads.gone(job)


async def test_those_below_are_stopped_and_not_counted(ns: Namespace, operator: Operator, orders: Orders) -> None:
    await make(ns, "above", labels={"team": "a"})
    await make(ns, "below", parentRef={"name": "above"})
    await make(ns, "beside", labels={"team": "a"}, parentRef={"name": "above"})
    for name in ("above", "below", "beside"):
        await ns.running(name)
    order = await orders.make(selector=TEAM)
    await order.phase("Complete")

    tasks = {name: await ns.ended(name) for name in ("above", "below", "beside")}
    assert (stop_of(tasks["below"])["source"], stop_of(tasks["below"])["origin"]) == ("Parent", "above")
    assert status(tasks["below"])["manuallyStopped"]
    await check_counts(order, [tasks["above"], tasks["beside"]])


async def test_an_order_writes_to_a_task_as_often_as_a_single_stop_does(
    ns: Namespace, operator: Operator, orders: Orders
) -> None:
    for name in ("single", "ordered"):
        await make(ns, name)
        await ns.running(name)
    await ns.quiet()
    before = {name: len(ns.tasks.of(name)) for name in ("single", "ordered")}
    await ns.stop("single")
    order = await orders.make(taskNames=["ordered"])
    for name in ("single", "ordered"):
        await ns.ended(name)
    await order.phase("Complete")
    await ns.nothing_happens(1)

    written = {name: len(ns.tasks.of(name)) - before[name] for name in before}
    # A single stop takes a patch of the spec as well. It may have had less written, where the operator was busy and
    # it had stopped by the time that it would have been written of: that it stops, and that it has, are two.
    assert written["ordered"] <= max(written["single"] - 1, 2)


# Cluster-wide


@pytest.mark.needs(Feature.OWN_SERVER)
@pytest.mark.parametrize("by", ["namespaceSelector", "selector"])
async def test_a_cluster_wide_order(
    ns: Namespace, operator: Operator, orders: Orders, cluster: Cluster, by: str
) -> None:
    async with more_namespaces(cluster, 2, {"tier": ns.name}) as others:
        for each in (ns, *others):
            await make(each, "a", labels={"team": ns.name})
            await make(each, "b")
            for name in ("a", "b"):
                await each.running(name)
        spec = {"matchLabels": {"tier": ns.name}} if by == "namespaceSelector" else {"matchLabels": {"team": ns.name}}
        order = await orders.make_wide(**{by: spec})
        await order.phase("Complete")

        ended = [task for each in (ns, *others) for task in (await now(each)).values() if stop_of(task)]
        names = {(task["metadata"]["namespace"], task["metadata"]["name"]) for task in ended}
        if by == "namespaceSelector":
            assert names == {(each.name, name) for each in others for name in ("a", "b")}
        else:
            assert names == {(each.name, "a") for each in (ns, *others)}
        assert {stop_of(task)["order"]["kind"] for task in ended} == {"ClusterStopOrder"}
        await check_counts(order, ended)


@pytest.mark.needs(Feature.OWN_SERVER)
async def test_a_namespace_that_is_made_under_the_hold(
    ns: Namespace, operator: Operator, orders: Orders, cluster: Cluster
) -> None:
    order = await orders.make_wide(namespaceSelector={"matchLabels": {"tier": ns.name}}, hold=True)
    await order.phase("Holding")
    new = Namespace(cluster, f"{ns.name}-new")
    metadata = {"name": new.name, "labels": {"tier": ns.name}}
    await cluster.kube.create(NAMESPACES, "", {"metadata": metadata})
    await make(new, "a")

    async def ended() -> bool:
        return all(status(task).get("phase") == "Stopped" for task in (await now(new)).values())

    try:
        await until(ended, PATIENCE, "stopped")
        assert stop_of((await now(new))["a"])["verdict"] == "NotStarted"
        assert not await cluster.kube.list(PODS, new.name)
    finally:
        await cluster.kube.delete(TASKS, new.name, "a")
        await cluster.kube.delete(NAMESPACES, "", new.name)


async def test_an_operator_of_one_namespace_leaves_cluster_wide_orders_alone(
    ns: Namespace, launch: Operators, orders: Orders
) -> None:
    await launch.start(ns.name)
    await make(ns, "a", labels={"team": ns.name})
    await ns.running("a")
    wide = await orders.make_wide(selector={"matchLabels": {"team": ns.name}})
    await ns.nothing_happens(2)
    assert await wide.status() == {}
    assert not stop_of(await ns.task("a"))

    order = await orders.make()
    await order.phase("Complete")
    assert stop_of(await ns.ended("a"))["order"]["kind"] == "StopOrder"


# Holds


@pytest.mark.needs(Feature.OWN_SERVER)
async def test_a_hold_while_tasks_keep_arriving(
    ns: Namespace, operator: Operator, orders: Orders, cluster: Cluster
) -> None:
    async with more_namespaces(cluster, 4, {"tier": ns.name}) as others:
        places = [ns, *others]
        await cluster.kube.merge(NAMESPACES, "", ns.name, {"metadata": {"labels": {"tier": ns.name}}})
        for number in range(RUNS):
            await make(places[number % 5], f"runs-{number}")
        for number in range(RUNS):
            await places[number % 5].phase(f"runs-{number}", "Running")
        order = await orders.make_wide(namespaceSelector={"matchLabels": {"tier": ns.name}}, hold=True)
        making = []
        for number in range(ARRIVE):
            making.append(asyncio.create_task(make(places[number % 5], f"arrives-{number}")))
            await asyncio.sleep(1 / A_SECOND)
        await asyncio.gather(*making)
        found = await order.phase("Holding")

        async def all_ended() -> bool:
            tasks = [task for each in places for task in (await now(each)).values()]
            return all(status(task).get("phase") == "Stopped" for task in tasks)

        await until(all_ended, PATIENCE, "all stopped")
        # Some that arrived before the acceptance may count as matched; all of them count once.
        found = await order.until(lambda found: found["matched"] + found["refused"] == RUNS + ARRIVE, "all counted")
        tasks = {name: task for each in places for name, task in (await now(each)).items()}
        assert len(tasks) == RUNS + ARRIVE
        begun = moment(found["startedAt"])
        matched = [task for task in tasks.values() if moment(task["metadata"]["creationTimestamp"]) <= begun]
        await check_counts(order, matched, refused=RUNS + ARRIVE - len(matched))
        assert RUNS <= len(matched) < RUNS + ARRIVE
        assert {stop_of(tasks[f"arrives-{number}"])["source"] for number in range(ARRIVE)} == {"StopOrder"}
        for each in places:
            pods = await cluster.kube.list(PODS, each.name)
            assert not [pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] == "Running"]
            assert not [name for name in await now(each) if each.processes(name)]
        await order.edit(hold=False)
        await order.phase("Lifted")
        await make(ns, "after")
        await ns.running("after")
        assert not [
            name for name, task in (await now(ns)).items() if status(task)["phase"] not in {"Stopped", "Running"}
        ]


async def test_a_task_that_is_made_under_a_hold(ns: Namespace, operator: Operator, orders: Orders) -> None:
    order = await orders.make(hold=True, reason="Incident")
    await order.phase("Holding")
    await make(ns, "a")
    await make(ns, "paused", paused=True)
    for name in ("a", "paused"):
        task = await ns.ended(name)
        assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NotStarted")
        assert (stop_of(task)["source"], stop_of(task)["order"]["name"]) == ("StopOrder", "o")
    assert ns.pods.names() == []
    await order.until(lambda found: found["refused"] == 2, "2 refused")
    await check_counts(order, [], refused=2)


@pytest.mark.parametrize("way", ["lifted", "deleted"])
async def test_a_paused_task_stays_paused_under_a_hold_and_resumes_after_it(
    ns: Namespace, operator: Operator, orders: Orders, way: str
) -> None:
    await make(ns, "a", paused=True)
    await ns.phase("a", "Paused")
    order = await orders.make(selector=TEAM, hold=True)
    await order.phase("Holding")
    await label(ns, "a", team="a")
    await ns.patch("a", paused=False)
    task = await ns.stalled("a", "HeldByOrder")
    assert status(task)["phase"] == "Paused"
    await ns.nothing_happens(1)
    assert ns.pods.names() == []

    await (order.edit(hold=False) if way == "lifted" else order.delete())
    task = await ns.running("a")
    assert stalled(task) is None
    assert not stop_of(await ns.task("a"))


async def test_a_running_task_that_comes_to_match_runs_on(ns: Namespace, operator: Operator, orders: Orders) -> None:
    await make(ns, "a")
    await ns.running("a")
    order = await orders.make(selector=TEAM, hold=True)
    await order.phase("Holding")
    await label(ns, "a", team="a")
    await ns.nothing_happens(1)

    assert status(await ns.task("a"))["phase"] == "Running"
    await check_counts(order, [])


async def test_what_was_labelled_right_before_the_order_is_stopped(
    ns: Namespace, operator: Operator, orders: Orders
) -> None:
    names = [f"a{number}" for number in range(10)]
    for name in names:
        await make(ns, name)
    for name in names:
        await ns.phase(name, "Running")
    await asyncio.gather(*(label(ns, name, team="a") for name in names))
    order = await orders.make(selector=TEAM)
    await order.phase("Complete")

    await check_counts(order, [await ns.ended(name) for name in names])


async def test_a_task_that_leaves_the_selector_in_the_middle_is_stopped_all_the_same(
    ns: Namespace, operator: Operator, orders: Orders
) -> None:
    await make(ns, "a", agents.template(agents.graceful(2)), {"team": "a"})
    await ns.running("a")
    order = await orders.make(selector=TEAM)
    await order.accepted()
    await label(ns, "a", team="b")
    await order.phase("Complete")

    await check_counts(order, [await ns.ended("a")])


async def test_a_task_made_while_the_operator_was_down_is_never_started(
    ns: Namespace, launch: Operators, orders: Orders
) -> None:
    operator = await launch.start(ns.name)
    order = await orders.make(hold=True)
    await order.phase("Holding")
    await operator.program.kill()
    names = [f"a{number}" for number in range(20)]
    for name in names:
        await make(ns, name)
    await launch.start(ns.name)

    assert {stop_of(await ns.ended(name))["verdict"] for name in names} == {"NotStarted"}
    assert ns.pods.names() == []
    await order.until(lambda found: found["refused"] == len(names), "all refused")


# What comes in between


async def test_overlapping_orders_both_count_and_the_first_is_on_record(
    ns: Namespace, operator: Operator, orders: Orders
) -> None:
    await make(ns, "both", agents.template(agents.graceful(5), grace=30), {"team": "a"})
    await make(ns, "second", agents.template(agents.graceful(0.1)))
    for name in ("both", "second"):
        await ns.running(name)
    first = await orders.make("first", selector=TEAM, reason="First")
    await first.accepted()
    second = await orders.make("second", reason="Second")
    for order in (first, second):
        await order.phase("Complete")

    tasks = {name: await ns.ended(name) for name in ("both", "second")}
    assert {name: stop_of(task)["reason"] for name, task in tasks.items()} == {"both": "First", "second": "Second"}
    await check_counts(first, [tasks["both"]])
    await check_counts(second, list(tasks.values()))


async def test_a_later_order_for_less_time_is_on_record_and_changes_nothing(
    ns: Namespace, operator: Operator, orders: Orders
) -> None:
    await make(ns, "a", agents.template(agents.graceful(6), grace=300))
    await ns.running("a")
    first = await orders.make("first", gracePeriodSeconds=200)
    await first.until(lambda found: "signaledAt" in found, "signaled")
    second = await orders.make("second", gracePeriodSeconds=20)

    task = await ns.until("a", lambda task: stop_of(task).get("gracePeriodSeconds") == 20, what="shortened")
    stop = stop_of(task)
    assert stop["order"]["name"] == "first"
    assert (moment(stop["killAt"]) - moment(stop["signaledAt"])).total_seconds() > 190
    assert "no kubelet shortens" in status(task)["message"]
    for order in (first, second):
        await order.phase("Complete")
        await check_counts(order, [await ns.ended("a")])


async def test_an_order_that_is_deleted_in_the_middle_has_stopped_all(
    ns: Namespace, operator: Operator, orders: Orders
) -> None:
    names = [f"a{number}" for number in range(20)]
    for name in names:
        await make(ns, name)
    for name in names:
        await ns.phase(name, "Running")
    order = await orders.make()
    await order.accepted()
    await order.delete()

    assert {stop_of(await ns.ended(name))["source"] for name in names} == {"StopOrder"}
    await order.gone()
    await make(ns, "after")
    await ns.running("after")


async def accepted_only(ns: Namespace, order: Order) -> None:
    """Do to an order what an operator does on acceptance, and die before anything is sent to a task."""
    where = ORDERS if order.namespace else CLUSTER_ORDERS
    await ns.kube.merge(where, order.namespace, order.name, {"metadata": {"finalizers": [STOP_FINALIZER]}})
    begun = {"phase": "Stopping", "startedAt": datetime.now(UTC).isoformat(timespec="microseconds")}
    await ns.kube.merge(where, order.namespace, order.name, {"status": begun}, "status")


@pytest.mark.parametrize("written", [True, False], ids=["accepted", "accepted, and that not written"])
async def test_an_order_that_is_deleted_between_acceptance_and_signals_while_no_operator_runs(
    ns: Namespace, launch: Operators, orders: Orders, written: bool
) -> None:
    operator = await launch.start(ns.name)
    for name in ("one", "two"):
        await make(ns, name)
        await ns.running(name)
    await operator.program.kill()
    order = await orders.make(hold=True, reason="Incident")
    uid = (await order.get())["metadata"]["uid"]
    if written:
        await accepted_only(ns, order)
    else:
        await ns.kube.merge(ORDERS, ns.name, order.name, {"metadata": {"finalizers": [STOP_FINALIZER]}})
    await order.delete()
    await asyncio.sleep(1.1)  # creations are noted in whole seconds
    await make(ns, "later")
    await launch.start(ns.name)

    for name in ("one", "two"):
        stop = stop_of(await ns.ended(name))
        assert (stop["source"], stop["order"]["uid"], stop["reason"]) == ("StopOrder", uid, "Incident")
    await order.gone()
    await ns.running("later")


async def test_an_order_that_is_deleted_before_it_was_accepted_has_stopped_nothing(
    ns: Namespace, launch: Operators, orders: Orders
) -> None:
    operator = await launch.start(ns.name)
    await make(ns, "a")
    await ns.running("a")
    await operator.program.kill()
    await (await orders.make(hold=True)).delete()
    await launch.start(ns.name)
    await ns.nothing_happens(1)

    assert status(await ns.task("a"))["phase"] == "Running"


async def test_an_order_has_no_finalizer_once_its_tasks_have_their_own_record(
    ns: Namespace, operator: Operator, orders: Orders
) -> None:
    await make(ns, "a", agents.template(agents.graceful(6), grace=30))
    await ns.running("a")
    order = await orders.make()
    await order.until(lambda found: "signaledAt" in found, "signaled")

    async def free() -> bool:
        return "finalizers" not in (await order.get())["metadata"]

    await until(free, PATIENCE, "without a finalizer")
    assert (await order.status())["phase"] == "Stopping"


async def test_orders_that_are_deleted_when_the_operator_is_killed_at_random_moments(
    ns: Namespace, launch: Operators, orders: Orders, request: pytest.FixtureRequest
) -> None:
    operator = await launch.start(ns.name)
    for number in range(max(1, request.config.getoption("kills") // 3)):
        names = [f"r{number}-{each}" for each in range(20)]
        for name in names:
            await make(ns, name, labels={"round": f"r{number}"})
        for name in names:
            await ns.phase(name, "Running")
        order = await orders.make(f"o{number}", selector={"matchLabels": {"round": f"r{number}"}})
        await order.accepted()
        await asyncio.sleep(random.uniform(0, 0.3) ** 2)
        await operator.program.kill()
        await order.delete()
        operator = await launch.start(ns.name, wait=False)

        assert {stop_of(await ns.ended(name))["source"] for name in names} == {"StopOrder"}
        await order.gone()


async def test_tasks_that_end_by_themselves_or_are_removed_meanwhile(
    ns: Namespace, operator: Operator, orders: Orders
) -> None:
    for number in range(20):
        await make(ns, f"ends-{number}", agents.template(agents.ending(2 + number / 10)))
    await make(ns, "removed", agents.template(agents.graceful(3)))
    await make(ns, "stays", agents.template(GRACEFUL))
    for name in ("removed", "stays"):
        await ns.phase(name, "Running")
        await ns.ready(name)
    order = await orders.make()
    await ns.until("removed", lambda task: "signaledAt" in stop_of(task), what="signaled")
    await ns.delete_task("removed")
    found = await order.phase("Complete")

    tasks = list((await now(ns)).values())
    assert len(tasks) == 21
    assert found["matched"] + found["alreadyFinished"] == 22
    # Those that had ended by themselves before the order do not count; more of them on a busy machine.
    ends = outcomes(tasks) - Counter(other=found["alreadyFinished"])
    # What was removed counts by its verdict if its end was seen, and else as other.
    removed = counted(found) - ends
    assert not ends - counted(found)
    assert removed.total() == 1
    assert removed.keys() <= {"graceful", "other"}


async def test_counts_of_an_operator_that_is_killed_at_random_moments(
    ns: Namespace, launch: Operators, orders: Orders, request: pytest.FixtureRequest
) -> None:
    operator = await launch.start(ns.name)
    for number in range(max(1, request.config.getoption("kills") // 3)):
        labels = {"round": f"r{number}"}
        names = [f"r{number}-{each}" for each in range(15)]
        for each, name in enumerate(names):
            deaf = each % 5 == 4
            script = agents.DEAF if deaf else agents.graceful(0.2 * (each % 5))
            await make(ns, name, agents.template(script, grace=1 if deaf else 5), labels)
        for name in names:
            await ns.phase(name, "Running")
            await ns.ready(name)
        order = await orders.make(f"o{number}", selector={"matchLabels": labels}, hold=number % 2 == 0)
        await asyncio.sleep(random.uniform(0, 1.5) ** 2)
        await operator.program.kill()
        await make(ns, f"r{number}-late", agents.template(GRACEFUL), labels)
        operator = await launch.start(ns.name, wait=False)
        await asyncio.sleep(random.uniform(0, 1))
        await operator.program.kill()
        operator = await launch.start(ns.name, wait=False)
        found = await order.phase("Holding" if number % 2 == 0 else "Complete")

        tasks = [await ns.ended(name) for name in names]
        assert {stop_of(task)["source"] for task in tasks} == {"StopOrder"}
        late = await ns.task(f"r{number}-late")
        if moment(late["metadata"]["creationTimestamp"]) <= moment(found["startedAt"]):
            await check_counts(order, [*tasks, await ns.ended(f"r{number}-late")])
        elif number % 2 == 0:
            await order.until(lambda found: found["refused"] == 1, "the late one refused")
            await check_counts(order, tasks, refused=1)
        else:
            await check_counts(order, tasks)
        await order.delete()


# Drills


async def test_a_drill_changes_no_object_but_the_order(
    ns: Namespace, operator: Operator, orders: Orders, workloads: Workloads
) -> None:
    job = await workloads.create(manifests.job("worker", GRACEFUL, grace=77))
    await workloads.adopt("adopted", job)
    await workloads.running(job, 1)
    await make(ns, "runs", agent="researcher")
    await make(ns, "paused", paused=True)
    await ns.running("runs")
    await ns.phase("adopted", "Running")
    await ns.phase("paused", "Paused")

    async def versions() -> dict[str, str]:
        job_now = await workloads.get(job)
        return {**await ns.versions(), job_now["metadata"]["uid"]: job_now["metadata"]["resourceVersion"]}

    await ns.quiet()
    before = await versions()
    order = await orders.make(drill=True)
    found = await order.phase("Drilled")
    await ns.nothing_happens(1)

    assert await versions() == before
    assert (found["matched"], found["drill"]["running"], found["drill"]["waiting"]) == (3, 2, 1)
    assert found["drill"]["longestGraceSeconds"] == 77
    assert found["drill"]["problems"] == []
    assert found["drill"]["groups"][0]["namespace"] == ns.name
    assert "stopped" not in found


@pytest.mark.needs(Feature.PAPER_NODES)
async def test_a_drill_names_what_could_not_be_stopped(ns: Namespace, operator: Operator, orders: Orders) -> None:
    node = PaperNode(ns)
    await node.register()
    try:
        await make(ns, "a", node.template())
        await node.run("a")
        await ns.phase("a", "Running")
        await node.say("Unknown")
        found = await (await orders.make(drill=True)).phase("Drilled")
    finally:
        await node.remove()

    (problem,) = found["drill"]["problems"]
    assert (problem["namespace"], problem["name"], problem["reason"]) == (ns.name, "a", "NodeUnreachable")
    assert node.name in problem["message"]


# The API itself


@pytest.mark.parametrize(
    "change",
    [
        {"selector": {"matchLabels": {"team": "b"}}},
        {"agents": ["other"]},
        {"taskNames": ["other"]},
        {"reason": "Other"},
        {"message": "other"},
        {"gracePeriodSeconds": 9},
        {"ttlSecondsAfterFinished": 9},
        {"drill": True},
        {"reason": None},
        {"gracePeriodSeconds": None},
    ],
    ids=str,
)
async def test_an_order_cannot_be_changed(ns: Namespace, launch: Operators, orders: Orders, change: Object) -> None:
    whole: Object = {
        "agents": ["one"],
        "taskNames": ["one"],
        "reason": "One",
        "message": "one",
        "gracePeriodSeconds": 5,
    }
    order = await orders.make(selector=TEAM, ttlSecondsAfterFinished=5, **whole)
    with pytest.raises(KubeError) as caught:
        await order.edit(**change)

    assert caught.value.code == 422
    assert f"{next(iter(change))} is immutable: create a new order instead" in caught.value.message


async def test_a_hold_can_only_be_lifted(ns: Namespace, launch: Operators, orders: Orders) -> None:
    order = await orders.make(hold=True)
    await order.edit(hold=False)
    with pytest.raises(KubeError, match="hold cannot be set later: create a new order instead"):
        await order.edit(hold=True)


async def test_a_drill_holds_nothing(ns: Namespace, launch: Operators, orders: Orders) -> None:
    with pytest.raises(KubeError, match="exclude each other"):
        await orders.make(hold=True, drill=True)


@pytest.mark.parametrize("spec", [{}, {"drill": True}], ids=["order", "drill"])
async def test_an_order_goes_when_its_time_to_live_is_over(
    ns: Namespace, operator: Operator, orders: Orders, spec: Object
) -> None:
    order = await orders.make(ttlSecondsAfterFinished=1, **spec)
    await order.until(lambda found: "finishedAt" in found, "finished")

    await order.gone()


async def test_an_order_over_nothing_is_complete_at_once(ns: Namespace, operator: Operator, orders: Orders) -> None:
    found = await (await orders.make()).phase("Complete")

    assert (found["matched"], found["stopping"], found["alreadyFinished"]) == (0, 0, 0)
    assert {each["type"]: each["status"] for each in found["conditions"]} == {
        "Ready": "True",
        "Reconciling": "False",
        "Stalled": "False",
    }
