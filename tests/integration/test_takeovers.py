"""Workloads that somebody else looks after: it goes on elsewhere when they are stopped, and the task says so."""

import asyncio
import os
import shutil

import pytest

from tests.support import agents, manifests
from tests.support.clusters import NODE, Feature
from tests.support.kube import CRON_JOBS, NODES, PODS, TASKS, Object
from tests.support.laws import conditions_of, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.waiting import PATIENCE, until
from tests.support.workloads import Workloads, controller_of

LABELS = {"app": "taken"}

MIRROR = "kubernetes.io/config.mirror"

WAIT = "{.status.finishedAt}"
"""What the README waits for."""


def elsewhere(task: Object) -> tuple[str, str]:
    """Return reason and message of the condition that says what goes on elsewhere."""
    condition = conditions_of(task).get("ControlledElsewhere") or {}
    return str(condition.get("reason")), str(condition.get("message"))


async def test_a_bare_pod_that_a_replica_set_takes_over(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    await ns.create_pod("bare", agents.pod_spec(agents.graceful()), labels=LABELS)
    await ns.adopt("a", "bare")
    await ns.running("a")
    spec = {"selector": {"matchLabels": LABELS}, "replicas": 1}
    pod = {"metadata": {"labels": LABELS}, "spec": agents.pod_spec()}
    made = await workloads.create({**manifests.replica_set("rs"), "spec": {**spec, "template": pod}})
    before = await ns.until("a", lambda task: elsewhere(task)[0] == "WorkloadTakenOver", what="taken over")
    assert "ReplicaSet rs" in elsewhere(before)[1]
    assert status(before)["phase"] == "Running"
    event = await ns.event("a", "WorkloadTakenOver")
    assert event["type"] == "Warning"

    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Graceful")
    assert elsewhere(task)[0] == "WorkloadTakenOver"
    assert not ns.processes("bare")
    # Another agent runs, and this is what the condition is about.
    await until(lambda: replacement(ns, made), PATIENCE, "the ReplicaSet has made another pod")


def replacement(ns: Namespace, made: Object) -> bool:
    last = [ns.pods.of(name)[-1] for name in ns.pods.names() if name != "bare"]
    return any(controller_of(pod) == made["metadata"]["uid"] for pod in last)


async def test_a_job_that_a_cron_job_made(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    job = manifests.job("nightly-1", agents.graceful())
    spec = {
        "schedule": "0 4 * * *",
        "suspend": True,
        "concurrencyPolicy": "Forbid",
        "jobTemplate": {"spec": job["spec"]},
    }
    nightly = await ns.create(CRON_JOBS, {"metadata": {"name": "nightly"}, "spec": spec})
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": nightly["metadata"]["uid"]}
    job["metadata"]["ownerReferences"] = [{**owner, "controller": True, "blockOwnerDeletion": True}]
    made = await workloads.create(job)
    await workloads.adopt("a", made)
    await workloads.running(made)
    before = await ns.until("a", lambda task: elsewhere(task)[0] == "MadeByCronJob", what="made by a CronJob")
    assert "suspend CronJob nightly" in elsewhere(before)[1]
    await ns.event("a", "MadeByCronJob")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], elsewhere(task)[0]) == ("Stopped", "MadeByCronJob")
    assert not workloads.processes(made)


@pytest.mark.needs(Feature.REHEARSAL)
async def test_a_static_pod_is_refused_with_what_ends_it(ns: Namespace, operator: Operator) -> None:
    """What a node writes of a pod that it runs from a file."""
    node = await ns.kube.get(NODES, "", NODE)
    owner = {"apiVersion": "v1", "kind": "Node", "controller": True, "name": node["metadata"]["name"]}
    spec = {**agents.pod_spec(grace=1), "nodeName": node["metadata"]["name"]}
    references = [{**owner, "uid": node["metadata"]["uid"]}]
    await ns.create_pod("static", spec, ownerReferences=references, annotations={MIRROR: "a"})
    await ns.adopt("a", "static")
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "StaticPod")
    assert "manifest" in status(task)["message"]
    assert "workloadRef" not in status(task)["message"]
    assert "deletionTimestamp" not in (await ns.kube.get(PODS, ns.name, "static"))["metadata"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")
async def test_one_wait_is_true_for_every_end(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("completes", agents.template(agents.ending(1)))
    await ns.create_task("fails", agents.template(agents.ending(1, 3)))
    await ns.create_task("stopped", agents.template(agents.graceful()))
    await ns.create_task("never-started", agents.template(nodeSelector={"example.com/nowhere": "true"}))
    names = ["completes", "fails", "stopped", "never-started"]
    await ns.running("stopped")

    async def wait(name: str) -> int:
        words = ["kubectl", "wait", "-n", ns.name, f"--for=jsonpath={WAIT}", f"{TASKS.plural}/{name}", "--timeout=20s"]
        environment = {**os.environ, "KUBECONFIG": str(ns.cluster.kubeconfig)}
        return await (await asyncio.create_subprocess_exec(*words, env=environment)).wait()

    waiting = [asyncio.create_task(wait(name)) for name in names]
    await ns.stop("stopped")
    await ns.stop("never-started")
    assert await asyncio.gather(*waiting) == [0] * len(names)
    phases = {name: status(await ns.task(name))["phase"] for name in names}
    assert phases == dict(zip(names, ["Completed", "Failed", "Stopped", "Stopped"], strict=True))
