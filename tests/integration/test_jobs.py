"""Jobs: what makes the pods is stopped, never the pods under it, and nothing of it comes back."""

import asyncio

import pytest

from tests.support import agents, manifests
from tests.support.clusters import Feature
from tests.support.kube import JOBS, PODS, Object
from tests.support.laws import changed_by_us, conditions_of, exit_codes, pods_of, stalled, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.paper import PaperNode
from tests.support.waiting import PATIENCE, until
from tests.support.workloads import Workloads


def suspended(job: Object) -> bool:
    return bool(job["spec"].get("suspend"))


async def test_a_job_of_three_agents_is_stopped(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    job = await workloads.create(manifests.job("worker", agents.graceful(), parallelism=3))
    await workloads.adopt("a", job)
    pods = await workloads.running(job, 3)
    await ns.phase("a", "Running")
    await ns.stop("a", reason="RunawayCost")
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Stopped", "UserRequested")
    assert (stop_of(task)["verdict"], stop_of(task)["reason"]) == ("Graceful", "RunawayCost")
    assert exit_codes(task) == [0, 0, 0]
    assert {each["uid"] for each in pods_of(task)} == {each["metadata"]["uid"] for each in pods}
    workload = status(task)["workload"]
    assert (workload["kind"], workload["uid"], workload["podCount"]) == ("Job", job["metadata"]["uid"], 3)
    assert not workloads.processes(job)
    await workloads.gone(job)


async def test_a_job_that_was_stopped_stays_suspended(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    job = await workloads.create(manifests.job("worker", agents.graceful(), parallelism=2))
    await workloads.adopt("a", job)
    await workloads.running(job, 2)
    await ns.stop("a")
    first = await ns.ended("a")
    await ns.nothing_happens(1)
    now = await workloads.get(job)
    assert suspended(now)
    assert not (now.get("status") or {}).get("active")
    assert len(await workloads.ever(job)) == 2
    assert status(await ns.task("a")) == status(first)


async def test_to_suspend_it_is_all_that_is_done_to_a_job(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    job = await workloads.create(manifests.job("worker", agents.graceful()))
    await workloads.adopt("a", job)
    await workloads.running(job)
    assert changed_by_us(await workloads.get(job)) == set()
    await ns.stop("a")
    await ns.ended("a")
    assert changed_by_us(await workloads.get(job)) == {"suspend"}


def two_known(task: Object) -> bool:
    """Whether the operator knows two pods of a task's, whatever their controller counts."""
    return len((status(task).get("workload") or {}).get("pods") or ()) == 2


async def test_a_job_that_somebody_resumes_is_stopped_again(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    job = await workloads.create(manifests.job("worker", agents.graceful(), parallelism=2))
    await workloads.adopt("a", job)
    await workloads.running(job, 2)
    await ns.stop("a")
    first = await ns.ended("a")
    for count in (1, 2):
        await workloads.patch(job, suspend=False)
        event = await ns.event("a", "StoppedAgain", repeated=count)
        assert (event["type"], event["action"]) == ("Warning", "Stop")
        assert "Job worker" in event["note"]
        await workloads.until(job, suspended, what="suspended again")
        await workloads.gone_for_good(job)
    assert status(await ns.task("a")) == status(first)


async def test_a_job_that_a_queue_resumes_for_as_long_as_it_is_stopped(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    """It is said what the stop waits for, and once the queue gives up, it is over."""
    job = await workloads.create(manifests.job("worker", agents.graceful()))
    await workloads.adopt("a", job)
    await workloads.running(job)
    await ns.stop("a")
    async with asyncio.timeout(PATIENCE):
        while stalled(await ns.task("a")) != "StartedAgain":
            await workloads.until(job, suspended, what="suspended again")
            await workloads.patch(job, suspend=False)
            await asyncio.sleep(1.5)
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["message"]) == ("Stopped", "Task was stopped by user")
    assert not workloads.processes(job)


async def test_a_job_whose_agents_ignore_sigterm_is_killed(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    job = await workloads.create(manifests.job("worker", agents.DEAF, parallelism=2, grace=2))
    await workloads.adopt("a", job)
    await workloads.running(job, 2)
    await ns.until("a", two_known, what="with two pods")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (stop_of(task)["verdict"], stop_of(task)["gracePeriodSeconds"]) == ("Killed", 2)
    assert exit_codes(task) == [137, 137]


async def test_a_grace_period_shorter_than_that_of_the_jobs_pods(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    # Which deletion a kubelet hears of first, the operator's or the Job controller's, is chance, and it does not
    # shorten a grace period that runs already: so the pods' own is short as well.
    job = await workloads.create(manifests.job("worker", agents.DEAF, parallelism=2, grace=6))
    await workloads.adopt("a", job)
    await workloads.running(job, 2)
    await ns.stop("a", gracePeriodSeconds=1)
    for name in ns.pods.names():
        await ns.pods.until(name, _hurried, what="asked to go within 1 second")
    task = await ns.ended("a")
    assert (stop_of(task)["verdict"], stop_of(task)["gracePeriodSeconds"]) == ("Killed", 1)
    assert exit_codes(task) == [137, 137]
    assert suspended(await workloads.get(job))
    assert len(await workloads.ever(job)) == 2


async def test_a_pod_that_somebody_deletes_is_made_again_by_its_job_and_stopped_all_the_same(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    # With an exit code of 0 the deleted pod counts as done, so that the Job makes the next one without a pause.
    job = await workloads.create(manifests.job("worker", agents.graceful(), completions=2))
    await workloads.adopt("a", job)
    (first,) = await workloads.running(job)
    await ns.phase("a", "Running")
    await ns.delete_pod(first["metadata"]["name"])
    await ns.pods.until_gone(first["metadata"]["name"])
    (second,) = await workloads.running(job)
    assert status(await ns.task("a"))["phase"] == "Running"
    await ns.stop("a")
    task = await ns.ended("a")
    assert (stop_of(task)["verdict"], exit_codes(task)) == ("Graceful", [0, 0])
    names = {first["metadata"]["name"], second["metadata"]["name"]}
    assert {each["metadata"]["name"] for each in await workloads.ever(job)} == names


async def test_a_job_that_has_not_been_able_to_start_is_stopped(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    made = manifests.job("worker", parallelism=2)
    made["spec"]["template"]["spec"]["nodeSelector"] = {"example.com/nowhere": "true"}
    job = await workloads.create(made)
    await workloads.adopt("a", job)
    await ns.until("a", two_known, what="with two pods")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NotStarted")
    await workloads.gone(job)


async def test_a_job_that_completes_by_itself(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    job = await workloads.create(manifests.job("worker", agents.ending(1), parallelism=2))
    await workloads.adopt("a", job)
    task = await ns.ended("a")
    assert (status(task)["phase"], exit_codes(task), status(task)["attempts"]) == ("Completed", [0, 0], 1)


async def test_a_job_that_fails_by_itself(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    job = await workloads.create(manifests.job("worker", agents.ending(0.5, code=7), backoffLimit=0))
    await workloads.adopt("a", job)
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "BackoffLimitExceeded")
    assert exit_codes(task) == [7]


@pytest.mark.parametrize("before", [True, False], ids=["before its task was made", "afterwards"])
async def test_a_stop_of_a_job_that_is_complete_changes_nothing(
    ns: Namespace, operator: Operator, workloads: Workloads, before: bool
) -> None:
    job = await workloads.create(manifests.job("worker", agents.ending(0)))
    complete = await workloads.until(job, lambda each: "Complete" in conditions_of(each), what="complete")
    await workloads.adopt("a", job, stopRequested=before)
    first = await ns.ended("a")
    assert (status(first)["phase"], status(first)["reason"]) == ("Completed", "Completed")
    assert not stop_of(first)
    asked = await ns.stop("a")
    generation = asked["metadata"]["generation"]
    task = await ns.until("a", lambda each: status(each).get("observedGeneration") == generation, what="observed")
    assert status(task) == {**status(first), "observedGeneration": generation}
    assert (await workloads.get(job))["metadata"]["generation"] == complete["metadata"]["generation"]


async def test_a_job_that_is_suspended_when_it_is_adopted(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    job = await workloads.create(manifests.job("worker", agents.graceful(), suspend=True))
    await workloads.adopt("a", job)
    task = await ns.until("a", lambda each: status(each).get("reason") == "WorkloadHalted", what="waiting")
    assert status(task)["phase"] == "Pending"
    await workloads.patch(job, suspend=False)
    await workloads.running(job)
    await ns.phase("a", "Running")
    await ns.stop("a")
    assert exit_codes(await ns.ended("a")) == [0]


async def test_a_stop_of_a_job_that_is_suspended(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    job = await workloads.create(manifests.job("worker", suspend=True))
    await workloads.adopt("a", job, stopRequested=True)
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NotStarted")
    await ns.nothing_happens(0.5)
    assert ns.pods.names() == []


async def test_a_job_that_somebody_deletes(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    job = await workloads.create(manifests.job("worker", agents.graceful()))
    await workloads.adopt("a", job)
    await workloads.running(job)
    await ns.phase("a", "Running")
    await workloads.delete(job)
    if Feature.GARBAGE_COLLECTION not in ns.cluster.features:
        for pod in await workloads.pods(job):
            await ns.delete_pod(pod["metadata"]["name"])
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"], exit_codes(task)) == ("Failed", "WorkloadLost", [0])


@pytest.mark.needs(Feature.GARBAGE_COLLECTION)
async def test_a_job_that_is_deleted_in_the_middle_of_its_stop(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    job = await workloads.create(manifests.job("worker", agents.graceful(1), parallelism=2))
    await workloads.adopt("a", job)
    await workloads.running(job, 2)
    await ns.stop("a")
    await ns.until("a", lambda task: "signaledAt" in stop_of(task), what="signaled")
    await workloads.delete(job)
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Graceful", [0, 0])


async def test_a_job_whose_pods_are_left_over_when_it_is_deleted(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    job = await workloads.create(manifests.job("worker", agents.graceful()))
    await workloads.adopt("a", job)
    (pod,) = await workloads.running(job)
    await ns.phase("a", "Running")
    await ns.kube.delete(JOBS, ns.name, "worker", propagation="Orphan")
    await ns.nothing_happens(1)
    assert status(await ns.task("a"))["phase"] == "Running"
    await ns.delete_pod(pod["metadata"]["name"])
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"], exit_codes(task)) == ("Failed", "WorkloadLost", [0])


async def test_a_deleted_task_leaves_its_job_running(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    job = await workloads.create(manifests.job("worker"))
    await workloads.adopt("a", job)
    (pod,) = await workloads.running(job)
    await ns.phase("a", "Running")
    await ns.delete_task("a")
    await ns.tasks.until_gone("a")
    await ns.nothing_happens(1)
    assert not suspended(await workloads.get(job))
    assert "deletionTimestamp" not in (await ns.pod(pod["metadata"]["name"]))["metadata"]


async def test_a_deleted_task_stops_its_job_where_it_is_asked_to(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    job = await workloads.create(manifests.job("worker", agents.graceful(1)))
    await workloads.adopt("a", job, deletionPolicy="Stop")
    await workloads.running(job)
    await ns.tasks.until("a", lambda task: bool(task["metadata"].get("finalizers")), what="protected")
    await ns.delete_task("a")
    last = await ns.tasks.until_gone("a")
    assert (stop_of(last)["source"], stop_of(last)["verdict"], exit_codes(last)) == ("Deletion", "Graceful", [0])
    assert suspended(await workloads.get(job))


async def test_a_job_whose_manager_does_not_act(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    job = await workloads.create(manifests.job("worker", managedBy="example.com/manager"))
    pod = await managed_pod(ns, job, agents.graceful())
    await workloads.adopt("a", job)
    await ns.ready(pod)
    await ns.phase("a", "Running")
    await ns.stop("a")
    # Its pod is ended all the same, but nobody can say that the manager makes no other.
    await workloads.gone(job)
    task = await ns.stalled("a", "ControllerNotActing")
    assert (status(task)["phase"], exit_codes(task)) == ("Stopping", [0])
    assert "example.com/manager" in conditions_of(task)["Stalled"]["message"]
    assert suspended(await workloads.get(job))
    await suspended_by_manager(workloads, job)
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Graceful", [0])
    assert stalled(task) is None


async def managed_pod(ns: Namespace, job: Object, script: str) -> str:
    """Make a pod of a Job that nobody of the cluster looks after; returns its name."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "worker", "uid": job["metadata"]["uid"]}
    made = await ns.create_pod(
        "worker-0",
        agents.pod_spec(script, grace=1),
        labels=job["spec"]["template"]["metadata"]["labels"],
        ownerReferences=[{**owner, "controller": True, "blockOwnerDeletion": True}],
    )
    return str(made["metadata"]["name"])


async def suspended_by_manager(workloads: Workloads, job: Object) -> None:
    now = "2026-01-01T00:00:00Z"
    condition = {"type": "Suspended", "status": "True", "reason": "JobSuspended", "message": ""}
    condition |= {"lastProbeTime": now, "lastTransitionTime": now}
    await workloads.merge(job, {"status": {"active": 0, "conditions": [condition]}}, "status")


@pytest.mark.needs(Feature.PAPER_NODES)
async def test_a_pod_that_hangs_in_its_deletion_is_asked_once_more(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    node = PaperNode(ns)
    await node.register()
    made = manifests.job("worker", grace=2)
    made["spec"]["template"]["spec"]["nodeName"] = node.name
    job = await workloads.create(made)
    try:
        await until(ns.pods.names, PATIENCE, "pod made")
        (name,) = ns.pods.names()
        await node.run(name)
        await workloads.adopt("a", job)
        await ns.phase("a", "Running")
        await ns.stop("a")
        asked = await ns.pods.until(name, _hurried, what="asked to go within 1 second")
        assert status(await ns.task("a"))["phase"] == "Stopping"
        await ns.nothing_happens(1)
        again = (await ns.pod(name))["metadata"]
        assert again["deletionTimestamp"] == asked["metadata"]["deletionTimestamp"]
        await node.end(name, 137)
        await ns.kube.delete(PODS, ns.name, name, grace=0, missing_ok=True)
        task = await ns.ended("a")
        assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Killed", [137])
    finally:
        await node.remove()


def _hurried(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionGracePeriodSeconds") == 1)
