"""How a task ends when nobody stops it: by itself, by its deadline, or by somebody else's hand."""

import pytest

from tests.support import agents
from tests.support.clusters import Feature
from tests.support.laws import conditions_of, containers_of, exit_code, stalled, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator


async def test_an_agent_that_ends_well_completes_its_task(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.ending(0.2)))
    task = await ns.ended("a")
    assert (status(task)["phase"], exit_code(task)) == ("Completed", 0)
    assert status(task)["manuallyStopped"] is False
    assert not stop_of(task)


async def test_an_agent_that_fails_fails_its_task(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.ending(0.2, code=3)))
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"], exit_code(task)) == ("Failed", "ContainerFailed", 3)
    assert "exit code 3" in status(task)["message"]


async def test_a_deadline_stops_the_task(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful()), activeDeadlineSeconds=2)
    await ns.running("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Stopped", "DeadlineExceeded")
    assert status(task)["manuallyStopped"] is False
    assert (stop_of(task)["source"], stop_of(task)["verdict"]) == ("Deadline", "Graceful")
    assert exit_code(task) == 0


async def test_a_deadline_that_comes_after_the_stop_changes_nothing_of_it(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful(2)), activeDeadlineSeconds=2)
    await ns.running("a")
    await ns.stop("a", reason="Mine")
    task = await ns.ended("a")
    assert (stop_of(task)["source"], stop_of(task)["reason"]) == ("User", "Mine")
    assert status(task)["manuallyStopped"] is True


async def test_a_finished_task_is_removed_after_its_time_to_live(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.ending(0.2)), ttlSecondsAfterFinished=1)
    last = await ns.tasks.until_gone("a")
    assert status(last)["phase"] == "Completed"


async def test_a_stopped_task_is_removed_after_its_time_to_live(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful()), ttlSecondsAfterFinished=0)
    await ns.running("a")
    await ns.stop("a")
    last = await ns.tasks.until_gone("a")
    assert (status(last)["phase"], exit_code(last)) == ("Stopped", 0)


@pytest.mark.needs(Feature.GARBAGE_COLLECTION)
async def test_the_pod_goes_with_its_task_after_the_time_to_live(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.ending(0.2)), ttlSecondsAfterFinished=0)
    await ns.tasks.until_gone("a")
    await ns.pods.until_gone("a")


@pytest.mark.parametrize(("code", "phase"), [(0, "Completed"), (4, "Failed")])
async def test_the_main_container_decides_and_what_runs_beside_it_is_stopped(
    ns: Namespace, operator: Operator, code: int, phase: str
) -> None:
    spec = agents.pod_spec(agents.ending(1, code=code))
    spec["containers"].append(agents.container(agents.graceful(code=0), "beside"))
    await ns.create_task("a", {"spec": spec}, mainContainer="agent")
    await ns.ready("a", "beside")
    task = await ns.ended("a")
    assert status(task)["phase"] == phase
    assert not stop_of(task)
    assert status(task)["manuallyStopped"] is False
    assert {name: each["exitCode"] for name, each in containers_of(task).items()} == {"agent": code, "beside": 0}
    assert not ns.processes("a")


async def test_a_native_sidecar_ends_with_the_main_container(ns: Namespace, operator: Operator) -> None:
    sidecar = agents.container(agents.graceful(), "proxy", restartPolicy="Always")
    spec = agents.pod_spec(agents.ending(1), initContainers=[sidecar])
    spec["containers"].append(agents.container(agents.graceful(), "beside"))
    await ns.create_task("a", {"spec": spec}, mainContainer="agent")
    await ns.ready("a", "beside")
    task = await ns.ended("a")
    assert status(task)["phase"] == "Completed"
    assert {name: each["exitCode"] for name, each in containers_of(task).items()} == {
        "agent": 0,
        "beside": 0,
        "proxy": 0,
    }


async def test_a_stop_that_comes_while_what_runs_beside_is_being_ended(ns: Namespace, operator: Operator) -> None:
    spec = agents.pod_spec(agents.ending(0.5))
    spec["containers"].append(agents.container(agents.graceful(2), "beside"))
    await ns.create_task("a", {"spec": spec}, mainContainer="agent")
    await ns.until("a", lambda task: status(task).get("reason") == "MainContainerEnded", what="at its main end")
    await ns.stop("a")
    task = await ns.ended("a")
    # The task's work had ended before the stop was asked for, so it is no stop.
    assert (status(task)["phase"], status(task)["manuallyStopped"]) == ("Completed", False)


async def test_a_stop_before_the_main_container_ends(ns: Namespace, operator: Operator) -> None:
    spec = agents.pod_spec(agents.graceful(1))
    spec["containers"].append(agents.container(agents.graceful(), "beside"))
    await ns.create_task("a", {"spec": spec}, mainContainer="agent")
    await ns.running("a")
    await ns.ready("a", "beside")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Graceful")


async def test_a_main_container_that_is_not_there_is_named(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful()), mainContainer="agnet")
    task = await ns.stalled("a", "MainContainerNotFound")
    assert "agnet" in conditions_of(task)["Stalled"]["message"]
    await ns.ready("a")
    await ns.stop("a")
    assert stop_of(await ns.ended("a"))["verdict"] == "Graceful"


@pytest.mark.parametrize("grace", [None, 0], ids=["gracefully", "by force"])
async def test_a_pod_that_somebody_else_deletes_is_lost(ns: Namespace, operator: Operator, grace: int | None) -> None:
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await ns.delete_pod("a", grace)
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "WorkloadLost")
    assert status(task)["manuallyStopped"] is False
    await ns.nothing_happens(0.5)
    assert len({pod["metadata"]["uid"] for pod in ns.pods.of("a")}) == 1


@pytest.mark.needs(Feature.MEMORY_LIMITS)
@pytest.mark.parametrize("stopped", [False, True], ids=["by itself", "when it is stopped"])
async def test_an_agent_that_runs_out_of_memory(ns: Namespace, operator: Operator, stopped: bool) -> None:
    greedy = "exec tail /dev/zero"
    script = f"trap '{greedy}' TERM; echo ready; sleep 1000 & wait" if stopped else f"echo ready; sleep 1; {greedy}"
    limits = {"limits": {"memory": "32Mi"}}
    spec = {**agents.pod_spec(grace=60), "containers": [agents.container(script, resources=limits)]}
    await ns.create_task("a", {"spec": spec})
    await ns.running("a")
    if stopped:
        await ns.stop("a")
    task = await ns.ended("a")
    assert containers_of(task)["agent"]["reason"] == "OOMKilled"
    if stopped:
        assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Graceful")
    else:
        assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "OOMKilled")


async def test_a_template_that_the_api_server_refuses(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", {"spec": {"containers": [{"name": "Bad_Name", "image": "busybox"}]}})
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "InvalidPodTemplate")
    assert "spec.containers[0].name" in status(task)["message"]
    assert ns.pods.names() == []


async def test_a_template_that_no_pod_can_have(ns: Namespace, operator: Operator) -> None:
    """What the definition does not know to be wrong, the API server says of the pod."""
    await ns.create_task("a", {"spec": {"containers": [{"name": "a", "image": "a", "imagePullPolicy": "Sometimes"}]}})
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "InvalidPodTemplate")
    assert "containers" in status(task)["message"]


async def test_a_pod_name_that_is_taken_is_waited_for(ns: Namespace, operator: Operator) -> None:
    foreign = await ns.create_pod("a", agents.pod_spec(grace=1))
    await ns.create_task("a", agents.template(agents.ending(0.2)))
    task = await ns.stalled("a", "PodNameTaken")
    assert "Pod a " in conditions_of(task)["Stalled"]["message"]
    await ns.delete_pod("a")
    assert (await ns.pods.until_gone("a"))["metadata"]["uid"] == foreign["metadata"]["uid"]
    task = await ns.phase("a", "Completed")
    assert stalled(task) is None
    assert status(task)["workload"]["uid"] != foreign["metadata"]["uid"]


async def test_a_stop_leaves_a_pod_alone_that_only_has_the_name(ns: Namespace, operator: Operator) -> None:
    await ns.create_pod("a", agents.pod_spec())
    await ns.ready("a")
    await ns.create_task("a", agents.template())
    await ns.stalled("a", "PodNameTaken")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NotStarted")
    await ns.nothing_happens(0.5)
    pod = await ns.pod("a")
    assert pod["status"]["phase"] == "Running"
    assert "activeDeadlineSeconds" not in pod["spec"]
    assert "deletionTimestamp" not in pod["metadata"]
