"""Agents from Git that run, are stopped, and are synced on: with the operator."""

import pytest

from tests.gitops import lua, tools
from tests.gitops.files import EXAMPLES, customization, load
from tests.gitops.test_replays import Act
from tests.gitops.tools import NAME, Repository
from tests.support import agents
from tests.support.clusters import Feature
from tests.support.kube import PODS, TASKS
from tests.support.laws import kstatus, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.orders import ORDERS, Order
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.skipif(tools.kubectl() is None, reason="no kubectl in $KUBEBUILDER_ASSETS or on PATH")

HEALTH = customization("AgentTask") / "health.lua"


@pytest.mark.parametrize("sync", [tools.argo, tools.argo_client_side, tools.flux])
async def test_it_is_stopped_once_and_stays_stopped(
    ns: Namespace, operator: Operator, repository: Repository, sync: Act
) -> None:
    await sync(repository)
    await ns.running(NAME)
    await tools.by_plugin(repository)
    await sync(repository)
    ended = await ns.ended(NAME)
    assert (status(ended)["phase"], stop_of(ended)["verdict"]) == ("Stopped", "Graceful")
    await sync(repository)
    live = await repository.live()
    assert status(live) == status(ended)
    assert (kstatus(live), lua.health(HEALTH.read_text(), live)["status"]) == ("Current", "Healthy")
    assert len(await ns.kube.list(PODS, ns.name)) == 1


async def test_a_refused_sync_does_not_hold_up_the_stop(
    ns: Namespace, operator: Operator, repository: Repository
) -> None:
    await tools.flux(repository)
    await ns.running(NAME)
    await tools.by_kubectl(repository)
    with pytest.raises(tools.SyncError):
        await tools.flux(repository)
    assert status(await ns.ended(NAME))["phase"] == "Stopped"


@pytest.mark.parametrize("hold", [True, False], ids=["held", "not held"])
async def test_what_is_made_anew_runs_unless_an_order_holds(
    ns: Namespace, operator: Operator, repository: Repository, hold: bool
) -> None:
    await tools.flux(repository)
    first = await ns.running(NAME)
    order = load(EXAMPLES / "stops/incident-4711.yaml")
    order["spec"]["hold"] = hold
    made = Order(ns.kube, await ns.create(ORDERS, order))
    assert status(await ns.ended(NAME))["phase"] == "Stopped"
    await made.phase("Holding" if hold else "Complete")
    await ns.delete_task(NAME)
    await tools.flux(repository)

    if hold:
        task = await ns.until(NAME, lambda task: stop_of(task).get("verdict") == "NotStarted", what="refused")
        assert (status(task)["phase"], stop_of(task)["source"]) == ("Stopped", "StopOrder")
        assert lua.health(HEALTH.read_text(), task)["status"] == "Healthy"
    else:
        await ns.until(
            NAME,
            lambda task: task["metadata"]["uid"] != first["metadata"]["uid"] and "phase" in status(task),
            what="made anew",
        )
        task = await repository.live()
        assert stop_of(task) == {}


@pytest.mark.parametrize("propagation", ["Foreground", "Background"], ids=["argo", "flux"])
@pytest.mark.needs(Feature.GARBAGE_COLLECTION)
async def test_a_pod_of_ours_goes_with_a_pruned_task(
    ns: Namespace, operator: Operator, repository: Repository, propagation: str
) -> None:
    await tools.flux(repository)
    await ns.running(NAME)
    await ns.kube.delete(TASKS, ns.name, NAME, propagation=propagation)

    async def gone() -> bool:
        return not await ns.kube.list(PODS, ns.name)

    await until(gone, PATIENCE, "the pod gone")


@pytest.mark.parametrize("policy", ["Stop", "Orphan"])
async def test_what_a_pruned_task_has_adopted(
    ns: Namespace, operator: Operator, repository: Repository, policy: str
) -> None:
    await ns.create_pod("worker", agents.pod_spec(agents.graceful()))
    repository.commit(podTemplate=None, workloadRef={"apiVersion": "v1", "kind": "Pod", "name": "worker"})
    repository.commit(deletionPolicy=policy)
    await tools.argo(repository)
    await ns.running(NAME)
    if policy == "Stop":
        await ns.until(NAME, lambda task: bool(task["metadata"].get("finalizers")), what="protected")
        await tools.argo(repository)
    await ns.delete_task(NAME)

    async def gone() -> bool:
        return not await ns.kube.list(TASKS, ns.name)

    await until(gone, PATIENCE, "the task gone")
    assert bool(ns.processes("worker")) is (policy == "Orphan")
    if policy == "Orphan":
        await ns.delete_pod("worker", grace=1)
