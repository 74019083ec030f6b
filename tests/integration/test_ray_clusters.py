"""RayClusters of KubeRay: suspended, proven gone, and refused where that would not last."""

import pytest

from tests.support import agents, manifests
from tests.support.clusters import Feature
from tests.support.kube import Object
from tests.support.laws import changed_by_us, conditions_of, exit_codes, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.workloads import Workloads

pytestmark = pytest.mark.needs(Feature.RAY_CLUSTERS)


def says_suspended(cluster: Object) -> bool:
    found = conditions_of(cluster).get("RayClusterSuspended", {})
    return bool(cluster["spec"].get("suspend") and found.get("status") == "True")


async def begin(ns: Namespace, workloads: Workloads, script: str, **more: int) -> Object:
    """Have task "a" run a head and a worker in RayCluster "ray"."""
    ray = await workloads.create(manifests.ray_cluster("ray", script, **more))
    await workloads.adopt("a", ray)
    await workloads.running(ray, 2)
    await ns.phase("a", "Running")
    return ray


async def test_a_ray_cluster_is_stopped(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    ray = await begin(ns, workloads, agents.graceful())
    assert changed_by_us(await workloads.get(ray)) == set()
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Graceful", [0, 0])
    workload = status(task)["workload"]
    assert (workload["kind"], workload["uid"]) == ("RayCluster", ray["metadata"]["uid"])
    assert not workloads.processes(ray)
    ended = await workloads.get(ray)
    assert says_suspended(ended)
    assert changed_by_us(ended) == {"suspend"}
    await workloads.gone(ray)


async def test_agents_that_ignore_sigterm_are_killed(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    ray = await begin(ns, workloads, agents.DEAF, grace=2)
    await ns.stop("a")
    task = await ns.ended("a")
    assert (stop_of(task)["verdict"], exit_codes(task)) == ("Killed", [137, 137])
    assert not workloads.processes(ray)


async def test_one_that_somebody_resumes_is_stopped_again(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    """As the agent itself may do: with an autoscaler, KubeRay gives the head the right to patch its cluster."""
    ray = await begin(ns, workloads, agents.graceful())
    await ns.stop("a")
    first = await ns.ended("a")
    await workloads.patch(ray, suspend=False)
    event = await ns.event("a", "StoppedAgain")
    assert "RayCluster ray" in event["note"]
    await workloads.until(ray, says_suspended, what="suspended again")
    await workloads.gone(ray)
    assert status(await ns.task("a")) == status(first)


async def test_a_pause_ends_its_pods_and_brings_the_same_number_back(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    ray = await begin(ns, workloads, agents.graceful())
    await ns.patch("a", paused=True)
    await ns.phase("a", "Paused")
    await workloads.gone(ray)
    await ns.patch("a", paused=False)
    await ns.until("a", lambda each: status(each).get("attempts") == 2, what="running again")
    await workloads.running(ray, 2)
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Graceful")
    await workloads.gone(ray)


async def test_one_that_a_ray_job_controls_is_refused(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    made = manifests.ray_cluster("ray", agents.graceful())
    owner = {"apiVersion": manifests.RAY_VERSION, "kind": "RayJob", "name": "train", "uid": "train-uid"}
    made["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
    ray = await workloads.create(made)
    await workloads.adopt("a", ray)
    task = await ns.phase("a", "Failed")
    assert status(task)["reason"] == "WorkloadHasController"
    assert "suspend RayJob train" in status(task)["message"]


async def test_one_that_nobody_looks_after_has_its_pods_ended_and_its_stop_waits(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    """As where KubeRay does not run, or takes no such name, or not this spec."""
    name = "x" * 60
    ray = await workloads.create(manifests.ray_cluster(name, agents.graceful()))
    owner = {"apiVersion": ray["apiVersion"], "kind": "RayCluster", "name": name, "uid": ray["metadata"]["uid"]}
    references = [{**owner, "controller": True}]
    spec = agents.pod_spec(agents.graceful())
    await ns.create_pod("head", spec, labels={"ray.io/cluster": name}, ownerReferences=references)
    await workloads.adopt("a", ray)
    await workloads.running(ray)
    await ns.phase("a", "Running")
    await ns.stop("a", gracePeriodSeconds=1)
    await workloads.gone(ray)
    task = await ns.stalled("a", "ControllerNotActing")
    assert status(task)["phase"] == "Stopping"
    await workloads.delete(ray)
    task = await ns.ended("a")
    assert status(task)["phase"] == "Stopped"
