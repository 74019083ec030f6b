"""What is read off a pod."""

from typing import Any

import pytest

from agentstop.workloads.pods.container import State
from agentstop.workloads.pods.record import STOP_MANAGER
from agentstop.workloads.pods.recorded import has_ended
from agentstop.workloads.pods.restarting import Role
from tests.unit.objects import at, end, ended, never_found, pod, running, waiting, when

Raw = dict[str, Any]


def test_a_running_pod() -> None:
    seen = pod()

    assert (seen.phase, seen.node, seen.task, seen.grace_seconds) == ("Running", "n", "x", 30)
    assert seen.started_at == at(1)
    assert seen.taken_at == at(0)
    assert seen.ran
    assert not seen.ended


def test_a_pod_without_status() -> None:
    seen = pod(spec={"nodeName": None}, status={"phase": None, "startTime": None, "containerStatuses": None})

    assert (seen.phase, seen.node, seen.taken_at, seen.started_at) == ("Pending", None, None, None)
    assert not seen.ran
    assert not seen.ended


def test_why_it_is_not_scheduled() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}

    assert pod(status={"conditions": [condition]}).unscheduled == "0/1 nodes"
    assert pod(status={"conditions": [condition | {"status": "True"}]}).unscheduled is None


def test_grace_of_zero_is_a_grace() -> None:
    assert pod(spec={"terminationGracePeriodSeconds": 0}).grace_seconds == 0


# Roles and restarts


@pytest.mark.parametrize(
    ("policy", "own", "group", "code", "over"),
    [
        ("Never", None, "containers", 0, True),
        ("Never", None, "containers", 1, True),
        ("OnFailure", None, "containers", 0, True),
        ("OnFailure", None, "containers", 1, False),
        ("Always", None, "containers", 0, False),
        ("Always", None, "initContainers", 0, True),
        ("Always", None, "initContainers", 1, False),
        ("Never", None, "initContainers", 1, True),
        ("Never", "Always", "initContainers", 0, False),
    ],
)
def test_whether_a_container_that_ended_is_over(
    policy: str, own: str | None, group: str, code: int, over: bool
) -> None:
    statuses = {"containers": "containerStatuses", "initContainers": "initContainerStatuses"}
    container: Raw = {"name": "c"} | ({"restartPolicy": own} if own else {})
    seen = pod(
        spec={"restartPolicy": policy, group: [container]},
        status={"containerStatuses": None, statuses[group]: [ended("c", code=code)]},
    )

    assert seen.containers[0].over is over


def test_a_native_sidecar_is_told_from_an_init_container() -> None:
    seen = pod(
        spec={"initContainers": [{"name": "init"}, {"name": "side", "restartPolicy": "Always"}]},
        status={"initContainerStatuses": [ended("init"), running("side")]},
    )

    assert {each.name: each.role for each in seen.containers} == {
        "init": Role.INIT,
        "side": Role.SIDECAR,
        "main": Role.MAIN,
    }


def test_a_debug_container_counts_as_a_process_too() -> None:
    seen = pod(status={"phase": "Failed", "containerStatuses": [ended()], "ephemeralContainerStatuses": [running("d")]})

    assert seen.containers[-1].role is Role.EPHEMERAL
    assert not seen.ended


def test_between_two_runs_the_end_of_the_last_one_is_shown() -> None:
    last = end(code=3, finished=7)
    seen = pod(
        spec={"restartPolicy": "Always"},
        status={"containerStatuses": [waiting(reason="CrashLoopBackOff", last=last)]},
    )
    (container,) = seen.containers

    assert container.state is State.WAITING
    assert (container.exit_code, container.finished_at, container.started_at) == (3, at(7), at(1))
    assert container.ran
    assert not container.over
    assert not seen.ended


# Whether it ended


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_terminal_phase_with_a_running_container_is_no_end(phase: str) -> None:
    """The pod garbage collector writes Failed on pods of lost nodes, and leaves the containers as they were."""
    assert not pod(status={"phase": phase}).ended
    assert pod(status={"phase": phase, "containerStatuses": [ended()]}).ended


@pytest.mark.parametrize("statuses", [[ended()], [waiting()], [waiting(last=end(code=1)), ended("other")]])
def test_a_pod_that_is_deleted_is_over_when_the_kubelet_says_so(statuses: list[Raw]) -> None:
    """What its containers' states say may be older than the deletion."""
    going = {"deletionTimestamp": when(35), "deletionGracePeriodSeconds": 30}

    assert not pod(metadata=going, status={"containerStatuses": statuses}).ended
    assert pod(metadata=going, status={"phase": "Failed", "containerStatuses": statuses}).ended


# Evidence


COLLECTED: Raw = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}


@pytest.mark.parametrize(
    ("statuses", "policy", "over"),
    [
        pytest.param([waiting()], "Never", False, id="it waited, and may have been started since"),
        pytest.param([], "Never", False, id="its node had said nothing yet"),
        pytest.param([ended(), waiting("second")], "Never", False, id="one of two had ended"),
        pytest.param([ended(code=1)], "Always", False, id="it comes back"),
        pytest.param([ended()], "Never", True, id="its end had been reported"),
    ],
)
def test_the_phase_that_the_garbage_collector_of_pods_writes_is_no_end(
    statuses: list[Raw], policy: str, over: bool
) -> None:
    status = {"phase": "Failed", "containerStatuses": statuses, "conditions": [COLLECTED]}
    seen = pod(spec={"restartPolicy": policy}, status=status)
    said = {"phase": "Failed", "containerStatuses": statuses}

    assert seen.ended is over
    assert seen.evidence().phase == ("Failed" if over else "Unknown")
    assert has_ended(seen.evidence()) is over, "nor after a restart of the operator"
    assert pod(spec={"restartPolicy": policy}, status=said).ended, "its kubelet may say so"


def test_out_of_memory_keeps_its_name() -> None:
    seen = pod(status={"phase": "Failed", "containerStatuses": [ended(code=137, reason="OOMKilled")]})
    (container,) = seen.evidence().containers

    assert (container.exit_code, container.reason, container.finished_at) == (137, "OOMKilled", at(5))


def test_a_container_that_never_ran_has_no_exit_code() -> None:
    """The kubelet makes one up (137) for a container that it cannot find."""
    seen = pod(status={"phase": "Failed", "containerStatuses": [never_found("main")]})

    assert not seen.ran
    assert seen.ended
    assert [(each.exit_code, each.reason) for each in seen.evidence().containers] == [(None, "ContainerStatusUnknown")]


def test_a_container_that_was_lost_while_it_ran_did_run() -> None:
    message = "The container could not be located when the pod was deleted.  The container used to be Running"
    seen = pod(status={"phase": "Failed", "containerStatuses": [never_found("main", message)]})

    assert seen.ran
    assert seen.evidence().containers[0].exit_code == 137


def test_a_container_that_could_not_be_started_never_ran() -> None:
    """containerd reports the beginning of Unix time as the start of a container whose command does not exist."""
    failed = {"exitCode": 128, "reason": "StartError", "startedAt": "1970-01-01T00:00:00Z", "finishedAt": when(2)}
    seen = pod(status={"phase": "Failed", "containerStatuses": [{"name": "main", "state": {"terminated": failed}}]})

    assert seen.started_at is None
    assert not seen.ran


def test_init_containers_are_shown_where_they_ran() -> None:
    seen = pod(
        spec={"initContainers": [{"name": "one"}, {"name": "two"}]},
        status={"initContainerStatuses": [ended("one"), waiting("two")], "containerStatuses": [waiting()]},
    )

    assert [each.name for each in seen.evidence().containers] == ["one", "main"]


# Marks


def manager(**changes: Any) -> Raw:
    return {"manager": STOP_MANAGER, "operation": "Update", "time": when(8)} | changes


@pytest.mark.parametrize(
    ("entries", "marked"),
    [
        ([manager()], True),
        ([manager(manager="kubectl"), manager()], True),
        ([manager(manager="kubectl")], False),
        ([manager(subresource="status")], False),
        ([], False),
    ],
)
def test_the_mark_of_a_stop_in_place(entries: list[Raw], marked: bool) -> None:
    seen = pod(metadata={"managedFields": entries}, spec={"activeDeadlineSeconds": 1})

    assert seen.marked_at == (at(8) if marked else None)
    assert seen.stopped_in_place_at == (at(8) if marked else at(1))


def test_a_mark_without_the_deadline_stops_nothing() -> None:
    seen = pod(metadata={"managedFields": [manager()]}, spec={"activeDeadlineSeconds": 3600})

    assert seen.stopped_in_place_at is None
    assert seen.killed_by is None


def test_it_is_killed_when_the_grace_period_ends_that_the_kubelet_heard_of_first() -> None:
    in_place = {"managedFields": [manager()]}
    going = {"deletionTimestamp": when(20), "deletionGracePeriodSeconds": 10}
    deadline = {"activeDeadlineSeconds": 1}

    assert pod(metadata=in_place, spec=deadline).killed_by == at(38)
    assert pod(metadata=going).killed_by == at(20)
    assert pod(metadata=in_place | going, spec=deadline).killed_by == at(38), "no kubelet shortens what runs"
    shortened = {"deletionTimestamp": when(13), "deletionGracePeriodSeconds": 2}
    assert pod(metadata=shortened).following(pod(metadata=going)).killed_by == at(20)
    at_once = {"deletionTimestamp": when(11), "deletionGracePeriodSeconds": 1}
    assert pod(metadata=at_once).killed_by == at(12), "a kubelet leaves 2 seconds"
    by_force = {"deletionTimestamp": when(11), "deletionGracePeriodSeconds": 0}
    assert pod(metadata=by_force).killed_by is None


@pytest.mark.parametrize(
    ("container", "finished", "killed_by"),
    [
        ({"lifecycle": {"preStop": {"exec": {"command": ["sleep", "60"]}}}}, 22, 22),
        ({"lifecycle": {"preStop": {"exec": {"command": ["sleep", "60"]}}}}, 20, 20),
        ({"lifecycle": {"preStop": {"exec": {"command": ["sleep", "60"]}}}}, None, 20),
        ({}, 23, 20),
    ],
    ids=[
        "the hook took it all",
        "it was killed in time",
        "it has not ended yet",
        "there is no hook, and the node is slow",
    ],
)
def test_a_container_whose_hook_took_the_grace_period_had_two_seconds_more(
    container: Raw, finished: float | None, killed_by: float
) -> None:
    going = {"deletionTimestamp": when(20), "deletionGracePeriodSeconds": 10}
    status = {"containerStatuses": [ended(code=137, finished=finished) if finished is not None else running()]}

    assert pod(metadata=going, spec={"containers": [{"name": "main"} | container]}, status=status).killed_by == at(
        killed_by
    )


def test_sidecars_are_ended_after_the_others_and_have_two_seconds_at_least() -> None:
    going = {"deletionTimestamp": when(20), "deletionGracePeriodSeconds": 10}
    spec = {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]}
    status = {
        "initContainerStatuses": [ended("proxy", code=137, finished=22)],
        "containerStatuses": [ended(finished=20)],
    }

    assert pod(metadata=going, spec=spec, status=status).killed_by == at(22)


def test_letting_go_of_a_pod_does_not_change_when_it_was_asked_to_go() -> None:
    going = pod(metadata={"deletionTimestamp": when(38), "deletionGracePeriodSeconds": 30})
    let_go = pod(
        metadata={"deletionTimestamp": when(15), "deletionGracePeriodSeconds": 0},
        status={"phase": "Succeeded", "containerStatuses": [ended()]},
    )

    assert going.deletion_requested_at == at(8)
    assert let_go.killed_by is None
    assert let_go.following(going).deletion_requested_at == at(8)
    assert let_go.following(pod()).deletion_requested_at == at(15)


HELD: dict[str, Any] = {"deletionTimestamp": when(15), "deletionGracePeriodSeconds": 0, "finalizers": ["example.com/x"]}


@pytest.mark.parametrize(
    ("status", "killed_by"),
    [
        ({"containerStatuses": [running()]}, at(17)),
        ({"phase": "Failed", "containerStatuses": [ended(code=137, finished=18)]}, at(17)),
        ({"phase": "Failed", "containerStatuses": [ended(finished=15)]}, None),
    ],
    ids=["it runs", "it ran on", "its kubelet lets go of it"],
)
def test_who_removes_by_force_what_a_finalizer_holds_leaves_it_two_seconds(
    status: dict[str, Any], killed_by: object
) -> None:
    going = pod(metadata={"deletionTimestamp": when(38), "deletionGracePeriodSeconds": 30})
    forced = pod(metadata=HELD, status=status)

    assert forced.killed_by == killed_by
    assert forced.following(going).killed_by == at(38), "no kubelet has to shorten what runs"
    assert forced.following(going).soonest_kill == (killed_by or at(38)), "but it may"
    assert pod(metadata=HELD | {"finalizers": []}, status=status).killed_by is None, "its own time is left to it"
