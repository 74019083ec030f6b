"""Histories that went wrong once, told from beginning to end, in the world and by the rules of the random ones."""

from datetime import datetime
from typing import Any

import pytest

from agentstop.api.meta import parse_time
from agentstop.api.task import KIND
from agentstop.workloads.objects import ObjectRef

from .world.gateway import Fault
from .world.jobs import JOB
from .world.server import NAMESPACE, Raw
from .world.world import World

CONTAINER: Raw = {"name": "main", "behaviour": {"dies_in": 2, "lives": None, "code": 0}}
POD: Raw = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 30, "containers": [CONTAINER]}
TEMPLATE: Raw = {"podTemplate": {"spec": POD}}
ADOPTS_JOB: Raw = {"workloadRef": {"apiVersion": "batch/v1", "kind": "Job", "name": JOB.name}}
A_JOB: Raw = {"parallelism": 1, "completions": 3, "suspend": False, "template": {"spec": POD}}


@pytest.fixture
def world() -> World:
    world = World()
    world.start_operator()
    return world


def status(world: World, name: str) -> Raw:
    found: Raw = world.server.objects[ObjectRef(KIND, NAMESPACE, name)]["status"]
    return found


def phase(world: World, name: str) -> Any:
    return status(world, name).get("phase")


def goes_well(world: World, seconds: int) -> None:
    """Let time pass in which nobody is hindered."""
    for _ in range(seconds):
        world.schedule()
        world.pass_time(1, attentive=True)
    world.check()


@pytest.mark.parametrize("adopted", [False, True])
def test_an_operator_that_dies_between_the_proof_and_the_deletion(world: World, adopted: bool) -> None:
    """What is left to be done stands in the record: no watch leads to a pod that was adopted and has ended."""
    stop: Raw = {"stopRequested": True, "stop": {"podPolicy": "DeleteAfterProof"}, "ttlSecondsAfterFinished": 0}
    if adopted:
        world.create_pod("pod", POD)
    ref = {"workloadRef": {"apiVersion": "v1", "kind": "Pod", "name": "pod"}}
    world.create_task("a", ref if adopted else TEMPLATE)
    goes_well(world, 5)
    world.gateway.forbidden.add("delete Pod")
    world.patch_spec("a", **stop)
    goes_well(world, 10)
    assert (phase(world, "a"), len(world.server.pods())) == ("Stopped", 1)
    assert status(world, "a")["workload"]["pods"][0]["containers"][0]["exitCode"] == 0
    assert [each["kind"] for each in status(world, "a")["stop"]["remains"]] == ["Pod"]

    world.crash_operator()
    world.gateway.forbidden.clear()
    world.start_operator()
    goes_well(world, 5)
    assert world.server.pods() == []
    assert world.tasks() == [], "its time to live was over"


def child(parent: str) -> Raw:
    return TEMPLATE | {"parentRef": {"name": parent}}


@pytest.mark.parametrize("change", [{"stopRequested": True}, {"paused": True}], ids=["stop", "pause"])
def test_a_pod_whose_creation_was_not_answered_is_not_forgotten(world: World, change: Raw) -> None:
    world.create_task("a", TEMPLATE)
    operator = world.operator
    assert operator is not None
    operator.watch(KIND)
    world.work(1, [Fault.NONE, Fault.NONE, Fault.UNANSWERED])
    assert world.server.pods()
    world.schedule()
    world.pass_time(2)
    world.patch_spec("a", **change)
    operator.watch(KIND)  # the watch of pods is late
    world.work(2)

    assert phase(world, "a") not in {"Stopped", "Paused"}
    goes_well(world, 5)
    assert phase(world, "a") in {"Stopped", "Paused"}
    assert not any(each.running for each in world.node.sandboxes.values())


def test_a_pod_that_was_bound_before_it_is_deleted_is_ended_in_the_same_pass(world: World) -> None:
    world.create_task("a", TEMPLATE)
    operator = world.operator
    assert operator is not None
    operator.watch(KIND)
    world.work(1)
    world.schedule()
    world.patch_spec("a", stopRequested=True)
    operator.watch(KIND)  # the watch of pods is late
    world.work(1)

    (pod,) = world.server.pods()
    assert pod["spec"]["nodeName"]
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 30


def test_a_grandchild_under_a_child_that_has_ended_does_not_escape(world: World) -> None:
    world.create_task("a", TEMPLATE)
    brief = {
        "restartPolicy": "Never",
        "containers": [{"name": "m", "behaviour": CONTAINER["behaviour"] | {"lives": 3}}],
    }
    world.create_task("b", {"podTemplate": {"spec": brief}, "parentRef": {"name": "a"}})
    goes_well(world, 2)
    world.create_task("c", child("b"))
    goes_well(world, 5)
    assert [phase(world, name) for name in "abc"] == ["Running", "Completed", "Running"]

    world.crash_operator()
    world.patch_spec("a", stopRequested=True)
    world.pass_time(1)
    world.start_operator()
    assert world.operator is not None
    parent = world.server.objects[ObjectRef(KIND, NAMESPACE, "a")]
    world.operator.event_handler.task(None, parent)  # the others are read in later
    world.work(1)
    assert phase(world, "a") != "Stopped"

    goes_well(world, 8)
    assert [phase(world, name) for name in "abc"] == ["Stopped", "Completed", "Stopped"]
    assert status(world, "c")["stop"]["origin"] == "a"


def test_what_is_read_on_behalf_of_a_relative_is_decided_on(world: World) -> None:
    world.create_task("a", TEMPLATE)
    world.create_task("b", child("a"))
    goes_well(world, 3)
    world.patch_spec("b", stopRequested=True)
    world.patch_spec("a", stopRequested=True)
    operator = world.operator
    assert operator is not None
    raw = world.server.objects[ObjectRef(KIND, NAMESPACE, "b")]
    operator.cache.tasks.put(raw, world.clock.now)  # as an answer to somebody else's question
    goes_well(world, 10)

    assert [phase(world, name) for name in "ab"] == ["Stopped", "Stopped"]
    assert status(world, "b")["stop"]["source"] == "User"


def test_a_circle_can_be_stopped_and_taken_apart(world: World) -> None:
    world.create_task("a", child("b"))
    world.create_task("b", child("a"))
    goes_well(world, 2)
    assert [phase(world, name) for name in "ab"] == ["Pending", "Pending"]
    world.patch_spec("a", stopRequested=True)
    goes_well(world, 3)

    assert [phase(world, name) for name in "ab"] == ["Stopped", "Stopped"]
    assert not world.server.pods()


def test_children_that_are_made_while_their_parent_is_stopping_never_start(world: World) -> None:
    world.create_task("a", TEMPLATE)
    goes_well(world, 3)
    world.patch_spec("a", stopRequested=True)
    for name in ("b", "c", "d"):
        world.create_task(name, child("a"))
        goes_well(world, 1)
    goes_well(world, 5)

    assert {status(world, name)["stop"]["verdict"] for name in "bcd"} == {"NotStarted"}
    assert status(world, "a")["children"] == {"total": 3, "active": 0}
    assert len(world.server.pods()) == 1


def test_a_paused_task_survives_a_restart_as_it_is(world: World) -> None:
    world.create_task("a", TEMPLATE)
    goes_well(world, 3)
    world.patch_spec("a", paused=True)
    goes_well(world, 5)
    before = status(world, "a")
    assert before["phase"] == "Paused"
    world.crash_operator()
    world.start_operator()
    goes_well(world, 120)
    assert status(world, "a") == before

    world.patch_spec("a", paused=False)
    goes_well(world, 3)
    assert (phase(world, "a"), status(world, "a")["attempts"]) == ("Running", 2)


def test_a_job_is_suspended_again_when_somebody_resumes_it(world: World) -> None:
    world.create_job(A_JOB)
    world.create_task("a", ADOPTS_JOB)
    goes_well(world, 4)
    world.patch_spec("a", stopRequested=True)
    goes_well(world, 10)
    assert phase(world, "a") == "Stopped"

    world.change_job(suspend=False)
    goes_well(world, 10)
    assert world.server.objects[JOB]["spec"]["suspend"]
    assert not any(each.running for each in world.node.sandboxes.values())
    assert world.operator is not None
    assert "StoppedAgain" in {reason for _, reason in world.operator.events.notes}


def test_a_job_that_is_resumed_and_suspended_within_a_moment(world: World) -> None:
    """Its condition is still that of the first suspension, and its controller is about to make a pod."""
    world.create_job(A_JOB)
    world.create_task("a", ADOPTS_JOB)
    goes_well(world, 10)
    world.patch_spec("a", paused=True)
    goes_well(world, 30)
    assert phase(world, "a") == "Paused"
    world.jobs.lag = 1
    world.change_job(suspend=False)
    assert world.operator is not None
    world.patch_spec("a", stopRequested=True)
    goes_well(world, 10)

    assert phase(world, "a") == "Stopped"
    assert not any(each.running for each in world.node.sandboxes.values())


def test_pods_of_a_job_that_was_deleted_without_them_are_ended(world: World) -> None:
    world.create_job(A_JOB)
    world.create_task("a", ADOPTS_JOB)
    goes_well(world, 4)
    world.delete_job(orphan=True)
    goes_well(world, 2)
    world.patch_spec("a", stopRequested=True)
    goes_well(world, 10)

    assert phase(world, "a") == "Stopped"
    assert not any(each.running for each in world.node.sandboxes.values())


def test_a_job_whose_controller_is_away_is_ended_all_the_same(world: World) -> None:
    world.create_job(A_JOB)
    world.create_task("a", ADOPTS_JOB)
    goes_well(world, 4)
    world.jobs.stop()
    world.patch_spec("a", stopRequested=True)
    goes_well(world, 10)
    assert not any(each.running for each in world.node.sandboxes.values())

    world.jobs.start()
    goes_well(world, 5)
    assert phase(world, "a") == "Stopped"


def deaf(grace: int) -> Raw:
    container = CONTAINER | {"behaviour": {"dies_in": None, "lives": None, "code": 0}}
    return {"podTemplate": {"spec": POD | {"terminationGracePeriodSeconds": grace, "containers": [container]}}}


def test_a_grace_period_that_is_shortened_while_it_runs_is_not_said_to_be_over(world: World) -> None:
    world.create_task("a", deaf(300))
    goes_well(world, 3)
    world.patch_spec("a", stopRequested=True, stop={"gracePeriodSeconds": 60})
    goes_well(world, 1)
    due = status(world, "a")["stop"]["killAt"]
    world.patch_spec("a", stop={"gracePeriodSeconds": 2})
    goes_well(world, 20)

    after = status(world, "a")
    assert (after["stop"]["killAt"], after["stop"]["gracePeriodSeconds"]) == (due, 2)
    assert "no kubelet shortens" in after["message"]
    assert stalled(after) is None, "nothing is wrong with the kubelet"
    goes_well(world, 45)
    after = status(world, "a")
    assert (after["phase"], after["stop"]["verdict"]) == ("Stopped", "Killed")
    (sandbox,) = world.node.done.values() if world.node.done else world.node.sandboxes.values()
    killed_at = sandbox.processes[0].finished_at
    assert killed_at is not None
    assert abs((killed_at - parse_time_of(due)).total_seconds()) <= 1


def test_how_long_a_stop_would_leave_is_on_record_while_something_runs(world: World) -> None:
    own = TEMPLATE | {"podTemplate": {"spec": POD | {"terminationGracePeriodSeconds": 600}}}
    world.create_task("a", own | {"stop": {"gracePeriodSeconds": 90}})
    world.create_task("b", own)
    assert "gracePeriodSeconds" not in status(world, "b")
    goes_well(world, 3)
    assert (status(world, "a")["gracePeriodSeconds"], status(world, "b")["gracePeriodSeconds"]) == (90, 600)
    world.patch_spec("b", stopRequested=True)
    goes_well(world, 1)
    assert "gracePeriodSeconds" not in status(world, "b")
    assert status(world, "b")["stop"]["gracePeriodSeconds"] == 600


def test_what_the_kubelet_is_busy_with_is_said_once_the_stop_is_late(world: World) -> None:
    hooked = CONTAINER | {"behaviour": CONTAINER["behaviour"] | {"hook": 120}, "lifecycle": {"postStart": {}}}
    world.create_task("a", {"podTemplate": {"spec": POD | {"containers": [hooked]}}})
    goes_well(world, 3)
    world.patch_spec("a", stopRequested=True, stop={"gracePeriodSeconds": 5})
    goes_well(world, 10)
    assert stalled(status(world, "a")) is None, "its time is not over"
    goes_well(world, 10)
    assert stalled(status(world, "a")) == "KubeletBusy"
    goes_well(world, 120)
    assert phase(world, "a") == "Stopped"


def test_a_node_that_is_ready_and_reports_no_end_is_not_confirmed_once_the_grace_period_is_over(world: World) -> None:
    world.create_task("a", deaf(5))
    goes_well(world, 3)
    world.node.kubelet_runs = False
    world.patch_spec("a", stopRequested=True)
    goes_well(world, 14)
    assert stalled(status(world, "a")) is None
    goes_well(world, 3)
    assert stalled(status(world, "a")) == "NotConfirmed"


def stalled(status: Raw) -> str | None:
    for each in status["conditions"]:
        if each["type"] == "Stalled" and each["status"] == "True":
            return str(each["reason"])
    return None


def parse_time_of(text: str) -> datetime:
    moment = parse_time(text)
    assert moment is not None
    return moment


def test_a_pause_waits_for_a_controller_that_is_late(world: World) -> None:
    world.create_job(A_JOB | {"completions": 1, "backoffLimit": 0})
    world.create_task("a", ADOPTS_JOB)
    goes_well(world, 5)
    world.jobs.stop()
    world.patch_spec("a", paused=True)
    goes_well(world, 20)
    assert phase(world, "a") == "Pausing"
    world.jobs.start()
    goes_well(world, 10)
    assert phase(world, "a") == "Paused"
    world.patch_spec("a", paused=False)
    goes_well(world, 10)
    assert phase(world, "a") == "Running"


def test_a_job_is_not_complete_because_its_stop_was_helped_along(world: World) -> None:
    world.create_job(A_JOB | {"completions": 1, "backoffLimit": 0})
    world.create_task("a", ADOPTS_JOB)
    goes_well(world, 5)
    world.jobs.stop()
    world.patch_spec("a", stopRequested=True)
    goes_well(world, 20)
    assert not any(each.running for each in world.node.sandboxes.values()), "nobody waits for the controller"
    world.jobs.start()
    goes_well(world, 10)

    assert phase(world, "a") == "Stopped"
    conditions = {
        each["type"] for each in world.server.objects[JOB]["status"]["conditions"] if each["status"] == "True"
    }
    assert conditions == {"Suspended"}


def test_a_jobs_pod_that_no_selector_finds_and_that_is_gone_holds_up_no_stop(world: World) -> None:
    world.create_job(A_JOB | {"completions": 1})
    world.create_task("a", ADOPTS_JOB)
    goes_well(world, 4)
    world.jobs.stop()
    pods = [raw["metadata"]["name"] for raw in world.server.pods()]
    assert pods
    for name in pods:
        world.change_pod(name, labels={})
    goes_well(world, 1)
    for name in pods:
        world.change_pod(name, finalizers=[])
        world.delete_pod(name, 0)
    world.patch_spec("a", stopRequested=True)
    goes_well(world, 5)
    world.jobs.start()
    goes_well(world, 145)

    assert phase(world, "a") == "Stopped"


def test_a_stop_that_comes_just_before_the_pod_is_made_is_seen(world: World) -> None:
    """The template is read live, and with it all that was asked of the task up to then."""
    world.create_task("a", TEMPLATE)
    operator = world.operator
    assert operator is not None
    operator.watch(KIND)

    def stop() -> None:
        world.patch_spec("a", stopRequested=True)

    world.gateway.interfere = stop
    world.work(1, [Fault.NONE, Fault.INTERFERE])
    assert not world.server.pods()
    assert (phase(world, "a"), status(world, "a")["stop"]["verdict"]) == ("Stopped", "NotStarted")
