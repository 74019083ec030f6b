"""Whoever may change a pod, a workload or a task can make it too large to be changed: a stop ends it all the same."""

import pytest

from tests.support import agents, manifests, padding
from tests.support.kube import JOBS, PODS, KubeError, Object
from tests.support.laws import exit_code, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.waiting import until
from tests.support.workloads import Workloads

pytestmark = pytest.mark.usefixtures("operator")

LABEL = "agentstop.dev/task"


async def test_a_task_whose_pod_is_too_large_to_be_changed_is_stopped(ns: Namespace) -> None:
    """Nobody can end such a pod by any of the usual ways."""
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await padding.fill(ns.kube, PODS, ns.name, "a")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a", "namespace": ns.name}}
    for attempt in (
        ns.kube.merge(PODS, ns.name, "a", {"spec": {"activeDeadlineSeconds": 1}}),
        ns.kube.delete(PODS, ns.name, "a"),
        ns.kube.delete(PODS, ns.name, "a", grace=0),
        ns.kube.call("POST", PODS.path(ns.name, "a", "eviction"), eviction),
    ):
        with pytest.raises(KubeError, match="request is too large") as caught:
            await attempt
        assert caught.value.code == 500
    await ns.stop("a")
    last = await ns.ended("a")
    assert (status(last)["phase"], stop_of(last)["verdict"], exit_code(last)) == ("Stopped", "Graceful", 0)
    assert (await ns.kube.get(PODS, ns.name, "a"))["metadata"]["labels"] == {LABEL: "a"}


async def test_an_adopted_pod_that_is_too_large_is_stopped(ns: Namespace) -> None:
    """With less time than it would have by itself, it has to be deleted."""
    await ns.create_pod("x", agents.pod_spec(agents.graceful()))
    await ns.adopt("a", "x")
    await ns.running("a")
    await padding.fill(ns.kube, PODS, ns.name, "x")
    await ns.stop("a", gracePeriodSeconds=3)
    last = await ns.ended("a")
    assert (status(last)["phase"], stop_of(last)["verdict"], exit_code(last)) == ("Stopped", "Graceful", 0)


async def test_a_pod_that_becomes_large_while_it_ends_is_made_small_again(ns: Namespace) -> None:
    """Else what its node reports in the end would not fit."""
    await ns.create_task("a", agents.template(agents.graceful(5), grace=30))
    await ns.running("a")
    await ns.stop("a")
    await ns.until("a", lambda each: "signaledAt" in stop_of(each), what="signaled")
    assert await padding.burden(ns.kube, PODS, ns.name, "a")

    async def is_small() -> bool:
        return (await ns.kube.get(PODS, ns.name, "a"))["metadata"]["labels"] == {LABEL: "a"}

    await until(is_small, 20, "the pod is small again")
    last = await ns.ended("a")
    assert (status(last)["phase"], exit_code(last)) == ("Stopped", 0)


async def test_a_job_that_is_too_large_to_be_suspended_is_stopped(ns: Namespace, workloads: Workloads) -> None:
    job = await workloads.create(manifests.job("j", agents.graceful()))
    await workloads.adopt("a", job)
    await workloads.running(job)
    await ns.phase("a", "Running")
    await padding.fill(ns.kube, JOBS, ns.name, "j")
    await ns.stop("a")
    last = await ns.ended("a")
    assert (status(last)["phase"], stop_of(last)["verdict"]) == ("Stopped", "Graceful")


async def test_a_jobs_pod_that_is_too_large_is_stopped(ns: Namespace, workloads: Workloads) -> None:
    job = await workloads.create(manifests.job("j", agents.graceful()))
    await workloads.adopt("a", job)
    await workloads.running(job)
    await ns.phase("a", "Running")
    (pod,) = await ns.kube.list(PODS, ns.name)
    await padding.fill(ns.kube, PODS, ns.name, pod["metadata"]["name"])
    await ns.stop("a")
    last = await ns.ended("a")
    assert (status(last)["phase"], stop_of(last)["verdict"]) == ("Stopped", "Graceful")
