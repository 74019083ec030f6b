"""The component on the node kills what no kubelet ends in time, and the kernel proves it.

The judge is the process table. On the playground's node the test puts the processes into the pods' cgroups.
"""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support import agents, cgroups
from tests.support.clusters import Cluster, Feature
from tests.support.components import NodeComponent, controls
from tests.support.kube import POD_CONTROLS, Object
from tests.support.laws import conditions_of, exit_code, moment, pods_of, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.nodes import dead_kubelet
from tests.support.operators import Operator
from tests.support.waiting import PATIENCE, until

PRECISION = 2.0
"""Seconds by which a death may miss its moment: a kubelet's word is in whole ones, and the machine may be busy."""

AFTERWARDS = 2.0
"""Seconds for which nothing may be seen of an agent whose task is Stopped."""


async def deaf(ns: Namespace, node: NodeComponent, name: str, *, grace: int, **spec: object) -> str:
    """Have an agent run that ignores SIGTERM; returns the UID of its pod."""
    await ns.create_task(name, agents.template(agents.DEAF, grace=grace), **spec)
    await ns.running(name)
    return await node.hold(ns, name)


async def gone(ns: Namespace, name: str) -> datetime:
    await until(lambda: not ns.processes(name), PATIENCE, f"the processes of {name} gone")
    return datetime.now(UTC)


async def test_a_grace_period_that_runs_is_ended_and_the_record_is_true(
    ns: Namespace, asking: Operator, node: NodeComponent
) -> None:
    uid = await deaf(ns, node, "a", grace=300)
    await ns.stop("a")
    await ns.until("a", lambda task: "signaledAt" in stop_of(task), what="signaled")
    await ns.nothing_happens(4)
    assert ns.processes("a")
    assert not await controls(ns), "a plain stop asks no node"

    asked_at = datetime.now(UTC)
    await ns.stop("a", gracePeriodSeconds=1)
    death = await gone(ns, "a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_code(task)) == ("Stopped", "Killed", 137)
    assert abs((death - moment(stop_of(task)["killAt"])).total_seconds()) <= PRECISION
    assert moment(stop_of(task)["killAt"]) >= asked_at
    (pod,) = pods_of(task)
    assert moment(pod.get("emptyAt", pod["containers"][0]["finishedAt"])) >= asked_at.replace(microsecond=0)
    assert "logsGone" not in status(task)["workload"], (
        status(task)["workload"]["logsGone"],
        stop_of(task),
        await ns.pod("a"),
    )
    assert "ready" in await ns.logs("a")

    async def answered() -> bool:
        said = (await controls(ns))[uid].get("status", {})
        return (said.get("state"), said.get("empty", False)) == ("Killed", node.proves)

    await until(answered, PATIENCE, "the kernel's word")
    assert (await ns.event("a", "GracePeriodShortened"))["type"] == "Normal"
    _, numbers = await node.get("/metrics")
    assert f"agentstop_node_kill_seconds_count {float(node.proves)}" in numbers


async def test_an_agent_whose_kubelet_is_busy_is_killed_with_its_hook(
    ns: Namespace, asking: Operator, node: NodeComponent
) -> None:
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "while :; do sleep 1; done"]}}}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [agents.container(agents.DEAF, lifecycle=hook)]}
    await ns.create_task("a", {"spec": spec})
    await until(lambda: len(ns.processes("a")) > 2, PATIENCE, "the agent and its hook run")
    await ns.pods.until("a", lambda pod: bool(pod.get("status", {}).get("containerStatuses")), what="taken")
    await node.hold(ns, "a")
    await ns.stop("a")
    await killed_for_good(ns, "a")


@pytest.mark.exclusive
async def test_a_pod_that_was_removed_by_force_is_killed_and_proven_without_it(
    ns: Namespace, asking: Operator, node: NodeComponent
) -> None:
    if not node.proves:
        pytest.skip("this node has cgroups of version 1 besides, so that its kernel proves nothing")
    uid = await deaf(ns, node, "a", grace=300)
    await ns.stop("a", gracePeriodSeconds=3)
    await ns.until("a", lambda task: "signaledAt" in stop_of(task), what="signaled")
    await ns.patch_pod("a", {"metadata": {"finalizers": None}})
    await ns.delete_pod("a", grace=0)
    await ns.pods.until_gone("a")
    task = await killed_for_good(ns, "a")
    assert pods_of(task)[0]["emptyAt"]
    (owner,) = (await controls(ns))[uid]["metadata"]["ownerReferences"]
    assert owner["kind"] == "AgentTask", "there is no pod any more that it could go with"


@pytest.mark.needs(Feature.REHEARSAL)
@pytest.mark.exclusive
async def test_a_node_whose_kubelet_is_dead_answers_by_its_component(
    ns: Namespace, asking: Operator, node: NodeComponent, cluster: Cluster
) -> None:
    await deaf(ns, node, "a", grace=1)
    async with dead_kubelet(cluster):
        await ns.stop("a")
        await killed_for_good(ns, "a")


async def killed_for_good(ns: Namespace, name: str) -> Object:
    task = await ns.ended(name)
    assert not ns.processes(name), "Stopped, and there is a process"
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Killed")
    await ns.nothing_happens(AFTERWARDS)
    assert not ns.processes(name), "Stopped, and then there is a process"
    return task


async def test_a_component_that_was_away_does_what_was_asked_meanwhile_and_it_is_said_who_is_waited_for(
    ns: Namespace, asking: Operator, node: NodeComponent
) -> None:
    await deaf(ns, node, "a", grace=300)
    await node.kill()
    await ns.stop("a")
    await ns.until("a", lambda task: "signaledAt" in stop_of(task), what="signaled")
    await ns.stop("a", gracePeriodSeconds=1)
    task = await ns.stalled("a", "NodeComponentSilent")
    assert "has not answered" in conditions_of(task)["Stalled"]["message"]
    assert ns.processes("a")
    await node.start()
    await gone(ns, "a")
    assert stop_of(await ns.ended("a"))["verdict"] == "Killed"


async def test_what_was_asked_for_goes_with_its_pod(ns: Namespace, asking: Operator, node: NodeComponent) -> None:
    await deaf(ns, node, "a", grace=300)
    await ns.stop("a", gracePeriodSeconds=1, podPolicy="DeleteAfterProof")
    await ns.stop("a")
    await ns.ended("a")
    await ns.pods.until_gone("a")

    async def tidy() -> bool:
        return not await controls(ns)

    if Feature.GARBAGE_COLLECTION in ns.cluster.features:
        await until(tidy, PATIENCE, "the PodControl gone with its pod")


async def test_a_pod_of_no_task_or_of_another_one_is_left_alone(
    ns: Namespace, asking: Operator, node: NodeComponent
) -> None:
    """What admission refuses already, where it is there."""
    uid = await deaf(ns, node, "a", grace=1)
    await ns.create_task("b", agents.template())
    await ns.running("b")
    name = (await ns.pod("a"))["spec"]["nodeName"]
    body = {"metadata": {"name": uid}, "spec": {"nodeName": name, "podUID": uid, "taskName": "b", "state": "Killed"}}
    await ns.create(POD_CONTROLS, {"apiVersion": "agentstop.dev/v1alpha1", "kind": "PodControl", **body})

    async def refused() -> bool:
        conditions = (await controls(ns))[uid].get("status", {}).get("conditions") or [{}]
        return bool(conditions[0].get("reason") == "NotTheTasks")

    await until(refused, PATIENCE, "refused")
    await ns.nothing_happens(AFTERWARDS)
    assert ns.processes("a")
    assert not cgroup_is_closed(node.root, uid)


def cgroup_is_closed(root: Path, uid: str) -> bool:
    found = [each for each in root.glob(f"kubepods*/**/*{uid}*") if (each / "cgroup.max.descendants").exists()]
    assert found or not cgroups.missing()
    return any((each / "cgroup.max.descendants").read_text(encoding="ascii").strip() == "0" for each in found)
