"""The pods of tasks, and who may do what to them: the chart's pod guard, on a real API server."""

from collections.abc import Awaitable
from typing import Any

import pytest

from tests.support import agents
from tests.support.clusters import Cluster
from tests.support.kube import CLUSTER_ROLES, PODS, Object
from tests.support.laws import stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator

from .conftest import Users
from .test_admission import EDIT, refused


async def owned(ns: Namespace) -> Object:
    await ns.create_task("a", agents.template(agents.graceful(), grace=5))
    await ns.running("a")
    return await ns.pod("a")


async def test_nobody_gives_a_tasks_pod_more_time(ns: Namespace, users: Users, operator: Operator) -> None:
    await owned(ns)
    agent = await users.grant("agent", ("", "pods", EDIT))
    error = await refused(agent.delete(PODS, ns.name, "a", grace=31_536_000))
    assert "its own grace period or a shorter one" in error.message
    where = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}}
    await refused(agent.call("POST", PODS.path(ns.name, "a", "eviction"), where))
    await agent.delete(PODS, ns.name, "a", grace=5)
    await ns.ended("a")


async def test_nobody_evicts_a_pod_with_a_year(ns: Namespace, users: Users, operator: Operator) -> None:
    """The operator may not evict, so that whoever does is somebody else."""
    await owned(ns)
    agent = await users.grant("agent", ("", "pods/eviction", ("create",)))

    def evict(**options: Any) -> Awaitable[Any]:
        metadata = {"name": "a", "namespace": ns.name}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata, "deleteOptions": options}
        return agent.call("POST", PODS.path(ns.name, "a", "eviction"), body)

    assert "3600 at most" in (await refused(evict(gracePeriodSeconds=31_536_000))).message
    assert "deletionTimestamp" not in (await ns.pod("a"))["metadata"]
    await evict(gracePeriodSeconds=3600)
    await ns.ended("a")


async def test_the_operator_may_give_more_time(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful(), grace=2))
    await ns.running("a")
    await ns.stop("a", gracePeriodSeconds=20)
    assert stop_of(await ns.ended("a"))["gracePeriodSeconds"] == 20


async def test_nobody_but_nodes_writes_what_became_of_containers(
    ns: Namespace, users: Users, operator: Operator
) -> None:
    await owned(ns)
    agent = await users.grant("agent", ("", "pods", EDIT), ("", "pods/status", EDIT))
    error = await refused(agent.merge(PODS, ns.name, "a", {"status": {"phase": "Succeeded"}}, "status"))
    assert "only its node writes it" in error.message
    await refused(agent.merge(PODS, ns.name, "a", {"status": {"containerStatuses": []}}, "status"))
    await refused(agent.merge(PODS, ns.name, "a", {"status": {"startTime": "2020-01-01T00:00:00Z"}}, "status"))
    # What networks and queues write there does no harm.
    await agent.merge(PODS, ns.name, "a", {"metadata": {"annotations": {"network": "x"}}}, "status")
    await agent.merge(PODS, ns.name, "a", {"metadata": {"annotations": {"note": "x"}}})


@pytest.mark.parametrize("value", [None, "other"])
async def test_the_label_stays(ns: Namespace, users: Users, operator: Operator, value: str | None) -> None:
    await owned(ns)
    agent = await users.grant("agent", ("", "pods", EDIT))
    error = await refused(agent.merge(PODS, ns.name, "a", {"metadata": {"labels": {"agentstop.dev/task": value}}}))
    assert "cannot be changed" in error.message


async def test_other_pods_are_nobodys_business(ns: Namespace, users: Users) -> None:
    await ns.create_pod("x", agents.pod_spec(agents.graceful()))
    agent = await users.grant("agent", ("", "pods", EDIT), ("", "pods/status", EDIT))
    await agent.merge(PODS, ns.name, "x", {"status": {"reason": "Mine"}}, "status")
    await agent.delete(PODS, ns.name, "x", grace=60)
    await ns.kube.delete(PODS, ns.name, "x", grace=1, missing_ok=True)


BINDING_RIGHTS = ("", "pods/binding", ("create",)), ("", "bindings", ("create",))


def binding(name: str) -> Object:
    target = {"apiVersion": "v1", "kind": "Node", "name": "no-such-node"}
    note = {"annotations": {"a": "b"}}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, **note}, "target": target}


async def unscheduled(ns: Namespace, name: str) -> None:
    spec = {**agents.pod_spec(agents.graceful()), "nodeSelector": {"no": "where"}}
    await ns.create_pod(name, spec, labels={"agentstop.dev/task": name})


async def test_an_agent_binds_its_pod_to_no_node(ns: Namespace, users: Users) -> None:
    """On one that is none, nothing would ever tell its end."""
    agent = await users.grant("agent", *BINDING_RIGHTS)
    await unscheduled(ns, "x")
    for path in (PODS.path(ns.name, "x", "binding"), f"/api/v1/namespaces/{ns.name}/bindings"):
        error = await refused(agent.call("POST", path, binding("x")))
        assert "leave it to the scheduler" in error.message
    assert not (await ns.pod("x"))["spec"].get("nodeName")


async def test_a_scheduler_binds_pods(ns: Namespace, users: Users, cluster: Cluster) -> None:
    """One of your own, too: it has the right in all namespaces."""
    rules = [{"apiGroups": [""], "resources": ["pods/binding"], "verbs": ["create"]}]
    name = f"scheduler-{ns.name}"
    await cluster.kube.create(CLUSTER_ROLES, "", {"metadata": {"name": name}, "rules": rules})
    scheduler = await users.bind("neighbour", name, "")
    try:
        await unscheduled(ns, "x")
        await scheduler.call("POST", PODS.path(ns.name, "x", "binding"), binding("x"))
        assert (await ns.pod("x"))["spec"]["nodeName"] == "no-such-node"
    finally:
        await cluster.kube.delete(CLUSTER_ROLES, "", name)
