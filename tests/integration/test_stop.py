"""A running agent is stopped, gracefully where it can be, and the proof of it is kept."""

import pytest

from tests.support import agents, laws
from tests.support.kube import Object
from tests.support.laws import containers_of, exit_code, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator

HOLD = "example.com/hold"


def seconds_between(stop: Object, first: str, second: str) -> float:
    return (laws.moment(stop[second]) - laws.moment(stop[first])).total_seconds()


async def test_an_agent_that_traps_sigterm_is_stopped_gracefully(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful(2), grace=10))
    await ns.running("a")
    await ns.stop("a", reason="RunawayCost", message="spent 40 USD")
    task = await ns.ended("a")
    assert status(task)["phase"] == "Stopped"
    assert status(task)["manuallyStopped"] is True
    assert status(task)["reason"] == "UserRequested"
    stop = stop_of(task)
    assert (stop["verdict"], stop["source"]) == ("Graceful", "User")
    assert (stop["reason"], stop["message"]) == ("RunawayCost", "spent 40 USD")
    assert exit_code(task) == 0
    assert (await ns.pod("a"))["metadata"]["uid"] == status(task)["workload"]["uid"]
    assert "checkpoint" in await ns.logs("a")


async def test_an_agent_that_ignores_sigterm_is_killed_when_its_grace_ends(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.DEAF, grace=2))
    await ns.running("a")
    await ns.stop("a")
    task = await ns.ended("a")
    assert status(task)["phase"] == "Stopped"
    assert stop_of(task)["verdict"] == "Killed"
    assert exit_code(task) == 137
    assert seconds_between(stop_of(task), "signaledAt", "confirmedAt") >= 2
    assert "ready" in await ns.logs("a")


async def test_who_asked_for_the_stop_is_copied_from_the_annotation(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    who = {"annotations": {"agentstop.dev/stop-requested-by": "jane@example.com"}}
    await ns.merge_task("a", {"metadata": who, "spec": {"stopRequested": True}})
    assert stop_of(await ns.ended("a"))["requestedBy"] == "jane@example.com"


async def test_pod_policy_delete_removes_the_pod_and_keeps_its_evidence(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await ns.stop("a", podPolicy="Delete")
    task = await ns.ended("a")
    assert stop_of(task)["verdict"] == "Graceful"
    assert exit_code(task) == 0
    await ns.pods.until_gone("a")


async def test_a_pod_is_deleted_once_the_proof_is_on_record(ns: Namespace, operator: Operator) -> None:
    """In place first: the exit code is the agent's own, however long the pod's last states can be seen."""
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}
    volumes = [{"name": "token", "projected": {"sources": [source]}}]
    template = agents.template(agents.graceful(), serviceAccountName="default", volumes=volumes)
    for name, policy in (("kept", "Keep"), ("goes", "DeleteAfterProof")):
        await ns.create_task(name, template)
        await ns.running(name)
        await ns.stop(name, podPolicy=policy)
    task = await ns.ended("goes")
    assert (stop_of(task)["verdict"], exit_code(task)) == ("Graceful", 0)
    last = await ns.pods.until_gone("goes")
    assert (last["spec"]["activeDeadlineSeconds"], last["status"]["phase"]) == (1, "Failed")
    assert laws.moment(stop_of(task)["confirmedAt"]) >= laws.moment(last["status"]["startTime"])
    await ns.tasks.until("goes", lambda each: "verdict" in stop_of(each) and "remains" not in stop_of(each))
    kept = stop_of(await ns.ended("kept"))
    assert [(each["kind"], each["name"]) for each in kept["remains"]] == [
        ("Pod", "kept"),
        ("ServiceAccountToken", "default"),
    ]
    assert seconds_between({**kept, **kept["remains"][1]}, "confirmedAt", "until") == 600
    await ns.delete_pod("kept")
    await ns.tasks.until("kept", lambda each: "verdict" in stop_of(each) and "remains" not in stop_of(each))


async def test_a_grace_period_shorter_than_the_pods_own(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.DEAF, grace=120))
    await ns.running("a")
    await ns.stop("a", gracePeriodSeconds=1)
    task = await ns.ended("a")
    stop = stop_of(task)
    assert (stop["verdict"], stop["gracePeriodSeconds"], exit_code(task)) == ("Killed", 1, 137)
    assert seconds_between(stop, "signaledAt", "killAt") <= 2
    why = "the pod's own grace period is 120 s, and only a deletion gives it another one, of 1 s"
    assert status(task)["workload"]["logsGone"] == why
    event = await ns.event("a", "LogsGone")
    assert (event["type"], event["note"]) == ("Warning", f"The logs go with the pod: {why}")
    await ns.pods.until_gone("a")


async def test_logs_that_stay_or_were_not_to_stay_are_not_said_to_go(ns: Namespace, operator: Operator) -> None:
    for name, stop in (
        ("own", {"gracePeriodSeconds": 5}),
        ("delete", {"podPolicy": "Delete", "gracePeriodSeconds": 4}),
    ):
        await ns.create_task(name, agents.template(agents.graceful(), grace=5))
        await ns.running(name)
        await ns.stop(name, **stop)
        assert "logsGone" not in status(await ns.ended(name))["workload"]
    assert "checkpoint" in await ns.logs("own")


async def test_an_agent_that_makes_it_within_a_shorter_grace_period(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful(0.2), grace=120))
    await ns.running("a")
    await ns.stop("a", gracePeriodSeconds=10)
    task = await ns.ended("a")
    assert (stop_of(task)["verdict"], exit_code(task)) == ("Graceful", 0)


async def test_a_grace_period_longer_than_the_pods_own(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful(3), grace=1))
    await ns.running("a")
    await ns.stop("a", gracePeriodSeconds=60)
    task = await ns.ended("a")
    stop = stop_of(task)
    assert (stop["verdict"], stop["gracePeriodSeconds"], exit_code(task)) == ("Graceful", 60, 0)


@pytest.mark.parametrize("policy", ["Keep", "Delete"])
async def test_a_second_request_for_less_time_is_on_record_and_changes_nothing(
    ns: Namespace, operator: Operator, policy: str
) -> None:
    """No kubelet shortens a grace period that runs: the moment of SIGKILL stays what it was, and it is said so."""
    await ns.create_task("a", agents.template(agents.DEAF, grace=6))
    await ns.running("a")
    await ns.stop("a", reason="First", podPolicy=policy)
    await ns.until("a", lambda task: "signaledAt" in stop_of(task), what="signaled")
    await ns.stop("a", reason="Second", gracePeriodSeconds=1)
    task = await ns.ended("a")
    stop = stop_of(task)
    assert (stop["verdict"], stop["gracePeriodSeconds"], exit_code(task)) == ("Killed", 1, 137)
    assert 5 <= seconds_between(stop, "signaledAt", "killAt") <= 7
    assert stop["reason"] == "First"


async def test_a_stop_of_a_pod_that_nobody_could_schedule(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(nodeSelector={"example.com/nowhere": "true"}))
    await ns.until("a", lambda task: status(task).get("reason") == "Unschedulable", what="unschedulable")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NotStarted")
    await ns.pods.until_gone("a")


async def test_a_stop_in_the_manifest_that_creates_the_task_makes_no_pod(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(), stopRequested=True)
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NotStarted")
    assert status(task)["attempts"] == 0
    await ns.nothing_happens(1)
    assert ns.pods.names() == []


async def test_a_finished_task_stays_as_it_ended_however_often_it_is_stopped(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.ending(0.2)))
    first = await ns.phase("a", "Completed")
    assert exit_code(first) == 0
    for number in range(10):
        asked = await ns.stop("a", message=f"request {number}")
        generation = asked["metadata"]["generation"]

        def observed(task: Object, generation: int = generation) -> bool:
            return bool(status(task).get("observedGeneration") == generation)

        task = await ns.until("a", observed, what=f"observed at {generation}")
        assert status(task) == {**status(first), "observedGeneration": generation}


async def test_a_stopped_task_stays_as_it_ended_when_it_is_stopped_again(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await ns.stop("a", reason="First")
    first = await ns.ended("a")
    asked = await ns.stop("a", reason="Second", message="again")
    generation = asked["metadata"]["generation"]
    task = await ns.until("a", lambda each: status(each).get("observedGeneration") == generation)
    assert status(task) == {**status(first), "observedGeneration": generation}


async def test_an_init_container_is_stopped(ns: Namespace, operator: Operator) -> None:
    first = agents.container(agents.graceful(0.5), "prepare")
    await ns.create_task("a", agents.template(initContainers=[first]))
    await ns.pods.until("a", lambda pod: "startTime" in pod["status"])
    await ns.ready("a", "prepare")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Graceful")
    assert containers_of(task)["prepare"]["exitCode"] == 0
    assert "startedAt" not in containers_of(task).get("agent", {})


async def test_all_containers_of_a_pod_are_stopped(ns: Namespace, operator: Operator) -> None:
    spec = agents.pod_spec(agents.graceful(), grace=2)
    spec["containers"].append(agents.container(agents.DEAF, "deaf"))
    await ns.create_task("a", {"spec": spec})
    await ns.running("a")
    await ns.ready("a", "deaf")
    await ns.stop("a")
    task = await ns.ended("a")
    assert stop_of(task)["verdict"] == "Killed"
    assert {name: each["exitCode"] for name, each in containers_of(task).items()} == {"agent": 0, "deaf": 137}


async def test_a_native_sidecar_is_stopped_too(ns: Namespace, operator: Operator) -> None:
    sidecar = agents.container(agents.graceful(), "proxy", restartPolicy="Always")
    await ns.create_task("a", agents.template(agents.graceful(), initContainers=[sidecar]))
    await ns.running("a")
    await ns.ready("a", "proxy")
    await ns.stop("a")
    task = await ns.ended("a")
    assert stop_of(task)["verdict"] == "Graceful"
    assert {name: each["exitCode"] for name, each in containers_of(task).items()} == {"agent": 0, "proxy": 0}


async def test_a_container_that_is_always_restarted_stays_down(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.ending(0.2), restartPolicy="Always"))
    await ns.pods.until("a", lambda pod: _restarts(pod) > 0, what="restarted")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["attempts"]) == ("Stopped", 1)
    restarts = _restarts(await ns.pod("a"))
    await ns.nothing_happens(1)
    assert _restarts(await ns.pod("a")) == restarts


async def test_a_container_that_is_restarted_on_failure_is_killed_for_good(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.DEAF, grace=1, restartPolicy="OnFailure"))
    await ns.running("a")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (stop_of(task)["verdict"], exit_code(task)) == ("Killed", 137)
    await ns.nothing_happens(1)
    assert _restarts(await ns.pod("a")) == 0


def _restarts(pod: Object) -> int:
    return sum(each["restartCount"] for each in pod["status"].get("containerStatuses") or ())


async def test_an_agent_that_takes_our_label_off_its_pod_is_stopped_all_the_same(
    ns: Namespace, operator: Operator
) -> None:
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await ns.patch_pod("a", {"metadata": {"labels": {"agentstop.dev/task": None}}})
    await ns.nothing_happens(0.5)
    assert status(await ns.task("a"))["phase"] == "Running"
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_code(task)) == ("Stopped", "Graceful", 0)


async def test_the_end_of_a_pod_without_our_label_is_seen(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.ending(1.5)))
    await ns.running("a")
    await ns.patch_pod("a", {"metadata": {"labels": {"agentstop.dev/task": None}}})
    assert exit_code(await ns.phase("a", "Completed")) == 0


async def test_a_finalizer_on_the_pod_does_not_hold_up_the_stop(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await ns.patch_pod("a", {"metadata": {"finalizers": [HOLD]}})
    await ns.stop("a", podPolicy="Delete")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_code(task)) == ("Stopped", "Graceful", 0)
    assert HOLD in (await ns.pod("a"))["metadata"]["finalizers"]


async def test_a_pod_that_is_force_deleted_during_its_stop(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.DEAF, grace=2))
    await ns.running("a")
    await ns.stop("a")
    await ns.until("a", lambda task: "signaledAt" in stop_of(task), what="signaled")
    await ns.delete_pod("a", grace=0)
    task = await ns.ended("a")
    assert status(task)["phase"] == "Stopped"
    assert stop_of(task)["verdict"] in {"Gone", "Killed"}


async def test_a_pod_that_is_started_again_after_the_stop_is_stopped_again(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await ns.stop("a", podPolicy="Delete")
    task = await ns.ended("a")
    await ns.pods.until_gone("a")
    owner = {
        "apiVersion": "agentstop.dev/v1alpha1",
        "kind": "AgentTask",
        "name": "a",
        "uid": task["metadata"]["uid"],
        "controller": True,
    }
    for count in (1, 2):
        again = await ns.create_pod(
            "a", agents.pod_spec(grace=1), labels={"agentstop.dev/task": "a"}, ownerReferences=[owner]
        )
        await ns.pods.until_gone("a", of=again["metadata"]["uid"])
        event = await ns.event("a", "StoppedAgain", repeated=count)
        assert (event["type"], event["action"]) == ("Warning", "Stop")
        assert event.get("series", {"count": 1})["count"] == count
    assert len([each for each in await ns.events("a") if each["reason"] == "StoppedAgain"]) == 1
    assert status(await ns.task("a")) == status(task)
