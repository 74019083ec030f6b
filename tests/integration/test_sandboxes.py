"""Sandboxes of agent-sandbox: suspended, proven gone, and never believed on their own word alone."""

from datetime import UTC, datetime, timedelta

import pytest

from agentstop_playground.controllers.quirks import ANNOTATION as QUIRKS
from tests.support import agents, laws, manifests
from tests.support.clusters import Feature
from tests.support.kube import SANDBOXES, Object
from tests.support.laws import changed_by_us, conditions_of, exit_codes, stalled, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.workloads import Workloads

HASH_LABEL = "agents.x-k8s.io/sandbox-name-hash"


def suspended(sandbox: Object) -> bool:
    return bool(sandbox["spec"].get("operatingMode") == "Suspended")


def says_suspended(sandbox: Object) -> bool:
    """Whether its controller says of this generation that it is suspended."""
    condition = conditions_of(sandbox).get("Suspended", {})
    current = condition.get("observedGeneration") == sandbox["metadata"]["generation"]
    return suspended(sandbox) and current and condition.get("status") == "True"


def ready_reason(sandbox: Object) -> str:
    return str(conditions_of(sandbox).get("Ready", {}).get("reason"))


async def begin(ns: Namespace, workloads: Workloads, script: str, *, grace: int = 5) -> Object:
    """Have task "a" run an agent in Sandbox "box"."""
    box = await workloads.create(manifests.sandbox("box", script, grace=grace))
    await workloads.adopt("a", box)
    await workloads.running(box)
    await ns.phase("a", "Running")
    return box


async def test_a_sandbox_is_stopped(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    box = await begin(ns, workloads, agents.graceful())
    (pod,) = await workloads.pods(box)
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Graceful", [0])
    workload = status(task)["workload"]
    assert (workload["kind"], workload["uid"]) == ("Sandbox", box["metadata"]["uid"])
    assert [each["uid"] for each in workload["pods"]] == [pod["metadata"]["uid"]]
    assert not workloads.processes(box)
    assert says_suspended(await workloads.get(box))
    await workloads.gone(box)


async def test_to_suspend_it_is_all_that_is_done_to_a_sandbox(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    box = await begin(ns, workloads, agents.graceful())
    assert changed_by_us(await workloads.get(box)) == set()
    await ns.stop("a")
    await ns.ended("a")
    assert changed_by_us(await workloads.get(box)) == {"operatingMode"}


async def test_a_sandbox_that_somebody_resumes_is_stopped_again(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    box = await begin(ns, workloads, agents.graceful())
    await ns.stop("a")
    first = await ns.ended("a")
    await workloads.patch(box, operatingMode="Running")
    event = await ns.event("a", "StoppedAgain")
    assert "Sandbox box" in event["note"]
    await workloads.until(box, suspended, what="suspended again")
    await workloads.gone(box)
    assert status(await ns.task("a")) == status(first)


async def test_a_sandbox_whose_agent_ignores_sigterm_is_killed(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    await begin(ns, workloads, agents.DEAF, grace=2)
    await ns.stop("a")
    task = await ns.ended("a")
    assert (stop_of(task)["verdict"], exit_codes(task)) == ("Killed", [137])


async def test_a_pod_that_somebody_deletes_is_made_again_by_its_sandbox_and_stopped_all_the_same(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    box = await begin(ns, workloads, agents.graceful())
    (first,) = await workloads.pods(box)
    name = first["metadata"]["name"]
    await ns.delete_pod(name)
    await ns.pods.until_gone(name, of=first["metadata"]["uid"])
    (second,) = await workloads.running(box)
    assert status(await ns.task("a"))["phase"] == "Running"
    await ns.stop("a")
    task = await ns.ended("a")
    assert (stop_of(task)["verdict"], exit_codes(task)) == ("Graceful", [0, 0])
    assert {each["uid"] for each in laws.pods_of(task)} == {each["metadata"]["uid"] for each in (first, second)}
    await workloads.gone(box)


# What its controller says is not always so


@pytest.mark.needs(Feature.SANDBOX_QUIRKS)
async def test_a_sandbox_that_calls_itself_suspended_too_early_is_not_believed(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    made = manifests.sandbox("box", agents.graceful(0.5))
    made["metadata"]["annotations"] = {QUIRKS: "stale-suspended=1.5"}
    box = await workloads.create(made)
    await workloads.adopt("a", box)
    (pod,) = await workloads.running(box)
    await ns.phase("a", "Running")
    await ns.stop("a")
    await workloads.until(box, says_suspended, what="said to be suspended")
    assert "deletionTimestamp" not in (await ns.pod(pod["metadata"]["name"]))["metadata"]
    await ns.nothing_happens(0.5)
    assert status(await ns.task("a"))["phase"] == "Stopping"
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Graceful", [0])
    assert not workloads.processes(box)


async def test_several_pods_of_one_sandbox_are_stopped_one_by_one(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    box = await begin(ns, workloads, agents.graceful())
    (first,) = await workloads.pods(box)
    owner = {"apiVersion": box["apiVersion"], "kind": "Sandbox", "name": "box", "uid": box["metadata"]["uid"]}
    labels = {HASH_LABEL: first["metadata"]["labels"][HASH_LABEL]}
    spec = agents.pod_spec(agents.graceful())
    await ns.create_pod("second", spec, labels=labels, ownerReferences=[{**owner, "controller": True}])
    await ns.ready("second")
    await workloads.until(box, lambda each: ready_reason(each) == "MultiplePods", what="with several pods")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Graceful", [0, 0])
    await workloads.gone(box)


async def test_a_pod_that_is_not_the_sandboxs_own_is_never_touched(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    await ns.create_pod("box", agents.pod_spec())
    await ns.ready("box")
    box = await workloads.create(manifests.sandbox("box"))
    await workloads.adopt("a", box, stopRequested=True)
    task = await ns.stalled("a", "PodNotOwned")
    assert status(task)["phase"] == "Stopping"
    assert "Sandbox box" in conditions_of(task)["Stalled"]["message"]
    await ns.nothing_happens(1)
    pod = await ns.pod("box")
    assert pod["status"]["phase"] == "Running"
    assert "deletionTimestamp" not in pod["metadata"]
    await ns.delete_pod("box", grace=1)
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], stalled(task)) == ("Stopped", "NotStarted", None)


async def test_a_sandbox_of_a_warm_pool_that_nobody_claimed_is_refused(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    await workloads.create(manifests.sandbox_template("template"))
    pool = await workloads.create(manifests.warm_pool("pool", "template", replicas=1))
    await workloads.running(pool, 1)
    (box,) = await ns.kube.list(SANDBOXES, ns.name)
    await workloads.adopt("a", {**box, "apiVersion": manifests.SANDBOX_VERSION, "kind": "Sandbox"}, stopRequested=True)
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "SandboxUnclaimed")
    assert "warm pool pool" in status(task)["message"]
    await ns.nothing_happens(0.5)
    assert not suspended(await ns.kube.get(SANDBOXES, ns.name, box["metadata"]["name"]))


# Its end, as against its stop


def shutdown_in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_a_sandbox_that_has_expired_is_not_gone_before_its_pod_is(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    box = await begin(ns, workloads, agents.graceful(1))
    await workloads.patch(box, shutdownTime=shutdown_in(0))
    await workloads.until(box, lambda each: ready_reason(each) == "SandboxExpired", what="expired")
    assert status(await ns.task("a"))["phase"] == "Running"
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"], exit_codes(task)) == ("Failed", "SandboxExpired", [0])
    assert not workloads.processes(box)


async def test_a_stop_of_a_sandbox_that_has_just_expired(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    box = await begin(ns, workloads, agents.graceful(1))
    await workloads.patch(box, shutdownTime=shutdown_in(0))
    await workloads.until(box, lambda each: ready_reason(each) == "SandboxExpired", what="expired")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Graceful", [0])
    assert not workloads.processes(box)


@pytest.mark.parametrize("code", [0, 3])
async def test_a_sandbox_whose_agent_has_finished(
    ns: Namespace, operator: Operator, workloads: Workloads, code: int
) -> None:
    pod = {"spec": agents.pod_spec(agents.ending(0.5, code=code), restartPolicy="Never")}
    box = await workloads.create(manifests.sandbox("box", podTemplate=pod))
    await workloads.adopt("a", box)
    first = await ns.ended("a")
    expected = ("Completed", "Completed") if code == 0 else ("Failed", "SandboxFailed")
    assert (status(first)["phase"], status(first)["reason"]) == expected
    assert exit_codes(first) == [code]
    await ns.stop("a")
    await ns.nothing_happens(0.5)
    assert status(await ns.task("a"))["phase"] == expected[0]
    assert not suspended(await workloads.get(box))


async def test_a_sandbox_that_is_suspended_when_it_is_adopted(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    box = await workloads.create(manifests.sandbox("box", operatingMode="Suspended"))
    await workloads.adopt("a", box)
    await ns.until("a", lambda each: status(each).get("reason") == "WorkloadHalted", what="waiting")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NotStarted")


@pytest.mark.needs(Feature.GARBAGE_COLLECTION)
@pytest.mark.parametrize("stopping", [True, False], ids=["in the middle of its stop", "while it runs"])
async def test_a_sandbox_that_somebody_deletes(
    ns: Namespace, operator: Operator, workloads: Workloads, stopping: bool
) -> None:
    box = await begin(ns, workloads, agents.graceful(1))
    if stopping:
        await ns.stop("a")
        await ns.until("a", lambda task: "signaledAt" in stop_of(task), what="signaled")
    await workloads.delete(box)
    task = await ns.ended("a")
    assert status(task)["phase"] == ("Stopped" if stopping else "Failed")
    assert exit_codes(task) == [0]
    assert not workloads.processes(box)


async def test_a_deleted_task_leaves_its_sandbox_running(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    box = await begin(ns, workloads, agents.graceful())
    await ns.delete_task("a")
    await ns.tasks.until_gone("a")
    await ns.nothing_happens(0.5)
    assert not suspended(await workloads.get(box))
    assert len(await workloads.pods(box)) == 1
