"""Pods that others made: they are watched and can be stopped, and are never changed otherwise."""

import pytest

from tests.support import agents
from tests.support.clusters import Feature
from tests.support.kube import CONFIG_MAPS, Object
from tests.support.laws import conditions_of, exit_code, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.waiting import PATIENCE, until


def marks(pod: Object) -> tuple[Object, Object, list[str]]:
    """What an operator might have left on a pod."""
    metadata = pod["metadata"]
    return metadata.get("labels", {}), metadata.get("annotations", {}), metadata.get("finalizers", [])


async def test_an_adopted_pod_is_stopped_and_otherwise_left_alone(ns: Namespace, operator: Operator) -> None:
    made = await ns.create_pod("worker", agents.pod_spec(agents.graceful()), labels={"app": "mine"})
    await ns.adopt("a", "worker")
    task = await ns.running("a")
    assert status(task)["workload"]["uid"] == made["metadata"]["uid"]
    assert marks(await ns.pod("worker")) == marks(made)
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_code(task)) == ("Stopped", "Graceful", 0)
    assert marks(await ns.pod("worker")) == marks(made)
    assert "checkpoint" in await ns.logs("worker")


async def test_an_adopted_pod_that_ends_by_itself(ns: Namespace, operator: Operator) -> None:
    await ns.create_pod("worker", agents.pod_spec(agents.ending(1)))
    await ns.adopt("a", "worker")
    task = await ns.ended("a")
    assert (status(task)["phase"], exit_code(task)) == ("Completed", 0)


async def test_an_adopted_pod_that_had_ended_before(ns: Namespace, operator: Operator) -> None:
    await ns.create_pod("worker", agents.pod_spec(agents.ending(0, code=5)))
    await ns.pods.until("worker", lambda pod: pod["status"]["phase"] == "Failed")
    await ns.adopt("a", "worker", stopRequested=True)
    task = await ns.ended("a")
    assert (status(task)["phase"], exit_code(task)) == ("Failed", 5)
    assert status(task)["manuallyStopped"] is False


async def test_an_adopted_pod_that_somebody_else_deletes(ns: Namespace, operator: Operator) -> None:
    await ns.create_pod("worker", agents.pod_spec(agents.graceful()))
    await ns.adopt("a", "worker")
    await ns.running("a")
    await ns.delete_pod("worker")
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "WorkloadLost")


async def test_another_pod_of_the_same_name_is_not_the_tasks(ns: Namespace, operator: Operator) -> None:
    await ns.create_pod("worker", agents.pod_spec(agents.graceful()))
    await ns.adopt("a", "worker")
    await ns.running("a")
    await ns.delete_pod("worker")
    await ns.pods.until_gone("worker")
    other = await ns.create_pod("worker", agents.pod_spec())
    await ns.stop("a")
    await ns.ended("a")
    await ns.nothing_happens(1)
    pod = await ns.pod("worker")
    assert pod["metadata"]["uid"] == other["metadata"]["uid"]
    assert "deletionTimestamp" not in pod["metadata"]
    assert "activeDeadlineSeconds" not in pod["spec"]
    # Its processes are found by its name, and are none of the task's.
    await ns.delete_pod("worker")
    await ns.pods.until_gone("worker")


async def test_a_pod_with_a_controller_is_refused_and_the_controller_named(ns: Namespace, operator: Operator) -> None:
    owner = await ns.kube.create(CONFIG_MAPS, ns.name, {"metadata": {"name": "web-7d4b"}})
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "web-7d4b",
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    await ns.create_pod("worker", agents.pod_spec(), ownerReferences=[reference])
    await ns.adopt("a", "worker", stopRequested=True)
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "WorkloadHasController")
    assert "ConfigMap web-7d4b" in status(task)["message"]
    pod = await ns.pod("worker")
    assert "activeDeadlineSeconds" not in pod["spec"]
    assert "deletionTimestamp" not in pod["metadata"]


async def test_a_workload_that_does_not_exist_is_waited_for(ns: Namespace, operator: Operator) -> None:
    await ns.adopt("a", "worker")
    task = await ns.until("a", lambda each: status(each).get("reason") == "WorkloadNotFound", what="waiting")
    assert status(task)["phase"] == "Pending"
    assert conditions_of(task)["Reconciling"]["reason"] == "WorkloadNotFound"
    assert f"Pod worker does not exist in namespace {ns.name}" in conditions_of(task)["Reconciling"]["message"]
    await ns.create_pod("worker", agents.pod_spec(agents.graceful()))
    await ns.running("a")
    await ns.stop("a")
    assert (stop_of(await ns.ended("a"))["verdict"]) == "Graceful"


async def test_a_stop_while_the_workload_does_not_exist(ns: Namespace, operator: Operator) -> None:
    await ns.adopt("a", "worker")
    await ns.until("a", lambda each: status(each).get("reason") == "WorkloadNotFound", what="waiting")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NotStarted")


async def test_a_deleted_task_leaves_its_adopted_pod_running(ns: Namespace, operator: Operator) -> None:
    await ns.create_pod("worker", agents.pod_spec())
    task = await ns.adopt("a", "worker")
    await ns.running("a")
    await ns.delete_task("a")
    assert (await ns.tasks.until_gone("a"))["metadata"]["uid"] == task["metadata"]["uid"]
    await ns.nothing_happens(1)
    pod = await ns.pod("worker")
    assert pod["status"]["phase"] == "Running"
    assert "activeDeadlineSeconds" not in pod["spec"]


async def test_a_deleted_task_stops_its_adopted_pod_where_it_is_asked_to(ns: Namespace, operator: Operator) -> None:
    await ns.create_pod("worker", agents.pod_spec(agents.graceful(1)))
    await ns.adopt("a", "worker", deletionPolicy="Stop")
    await ns.running("a")
    await ns.tasks.until("a", lambda task: bool(task["metadata"].get("finalizers")), what="protected")
    await ns.delete_task("a")
    last = await ns.tasks.until_gone("a")
    assert (status(last)["phase"], status(last)["reason"]) == ("Stopped", "TaskDeleted")
    assert status(last)["manuallyStopped"] is False
    assert (stop_of(last)["source"], stop_of(last)["verdict"], exit_code(last)) == ("Deletion", "Graceful", 0)
    assert (await ns.pod("worker"))["status"]["phase"] == "Failed"


async def test_a_task_that_is_protected_and_whose_mind_is_changed_goes_at_once(
    ns: Namespace, operator: Operator
) -> None:
    await ns.create_pod("worker", agents.pod_spec())
    await ns.adopt("a", "worker", deletionPolicy="Stop")
    await ns.running("a")
    await ns.tasks.until("a", lambda task: bool(task["metadata"].get("finalizers")), what="protected")
    await ns.patch("a", deletionPolicy="Orphan")
    await ns.tasks.until(
        "a",
        lambda task: task["spec"]["deletionPolicy"] == "Orphan" and not task["metadata"].get("finalizers"),
        what="released",
    )
    await ns.delete_task("a")
    await ns.tasks.until_gone("a")
    await ns.nothing_happens(0.5)
    assert (await ns.pod("worker"))["status"]["phase"] == "Running"


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "once signaled"])
async def test_a_task_that_is_deleted_in_the_middle_of_its_stop(
    ns: Namespace, operator: Operator, at_once: bool
) -> None:
    await ns.create_pod("worker", agents.pod_spec(agents.graceful(1)))
    await ns.adopt("a", "worker")
    await ns.running("a")
    await ns.stop("a")
    if not at_once:
        await ns.until("a", lambda task: "signaledAt" in stop_of(task), what="signaled")
    await ns.delete_task("a")
    await ns.tasks.until_gone("a")
    # In place where the operator sent the signal while there was a task to keep the pod for, and else by deletion.
    pod = await ns.pods.until("worker", lambda each: bool(_exit_of(each)), what="stopped")
    assert pod["status"]["phase"] == "Failed" or (at_once and "deletionTimestamp" in pod["metadata"])
    assert _exit_of(pod)["exitCode"] == 0


def _exit_of(pod: Object) -> Object:
    statuses = pod["status"].get("containerStatuses") or [{"state": {}}]
    exit_: Object = statuses[0]["state"].get("terminated") or {}
    return exit_


@pytest.mark.needs(Feature.GARBAGE_COLLECTION)
@pytest.mark.parametrize("stopped", [True, False], ids=["in the middle of its stop", "while it runs"])
async def test_a_pod_goes_with_the_task_that_owns_it(ns: Namespace, operator: Operator, stopped: bool) -> None:
    await ns.create_task("a", agents.template(agents.graceful(1)))
    await ns.running("a")
    if stopped:
        await ns.stop("a")
    await ns.delete_task("a")
    await ns.tasks.until_gone("a")
    last = await ns.pods.until_gone("a")
    assert "deletionTimestamp" in last["metadata"]
    if Feature.PROCESSES in ns.cluster.features:
        await until(lambda: not ns.processes("a"), PATIENCE, "processes gone")
