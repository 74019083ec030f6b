"""How a pod's work ended: by itself, by a stop of ours, or by another's hand."""

from datetime import datetime
from typing import Any

import pytest

from agentstop.lifecycle.observation import Ending
from agentstop.workloads.pods.outcome import ending_of, main_ending_of, taken_away
from agentstop.workloads.pods.record import STOP_MANAGER
from tests.unit.objects import at, end, ended, entry, never_found, pod, running, waiting, when

Raw = dict[str, Any]
MARKED = {"managedFields": [{"manager": STOP_MANAGER, "operation": "Update", "time": when(4)}]}
GOING = {"deletionTimestamp": when(34), "deletionGracePeriodSeconds": 30}
DEADLINE = {"activeDeadlineSeconds": 1}
FORCED = {"deletionTimestamp": when(20), "deletionGracePeriodSeconds": 0}


def end_of(
    status: Raw, metadata: Raw | None = None, spec: Raw | None = None, signaled_at: datetime | None = None
) -> Ending | None:
    seen = pod(metadata=metadata, spec=spec, status=status)
    return ending_of(seen, entry(seen, signaled_at=signaled_at))


@pytest.mark.parametrize(
    ("status", "succeeded", "reason"),
    [
        ({"phase": "Succeeded", "containerStatuses": [ended()]}, True, "Completed"),
        ({"phase": "Failed", "containerStatuses": [ended(code=3)]}, False, "ContainerFailed"),
        ({"phase": "Failed", "containerStatuses": [ended(code=137, reason="OOMKilled")]}, False, "OOMKilled"),
        ({"phase": "Failed", "containerStatuses": [ended(code=143, reason="OOMKilled")]}, False, "ContainerFailed"),
        (
            {"phase": "Failed", "containerStatuses": [ended(code=128, reason="StartError", started=None)]},
            False,
            "StartError",
        ),
        ({"phase": "Failed", "reason": "Evicted", "containerStatuses": [ended(code=137)]}, False, "Evicted"),
        ({"phase": "Failed", "containerStatuses": [never_found("main")]}, False, "ContainerFailed"),
        ({"phase": "Failed", "containerStatuses": []}, False, "PodFailed"),
        (
            {"phase": "Failed", "reason": "DeadlineExceeded", "containerStatuses": [ended(code=1)]},
            False,
            "DeadlineExceeded",
        ),
    ],
)
def test_ended_by_itself(status: Raw, succeeded: bool, reason: str) -> None:
    ending = end_of(status)

    assert ending is not None
    assert (ending.succeeded, ending.word.reason, ending.by_stop) == (succeeded, reason, False)


def test_how_a_container_ended_that_its_node_lost_is_not_made_up() -> None:
    """Kubelets write exit code 137 for it: https://github.com/kubernetes/kubernetes/issues/104107."""
    ending = end_of({"phase": "Failed", "containerStatuses": [never_found("main")]})

    assert ending is not None
    assert ("nobody knows" in ending.word.message, "137" in ending.word.message) == (True, False)


def thrown_out(at: float, status: str = "True") -> Raw:
    moment = {"lastTransitionTime": when(at)}
    reason = {"reason": "PreemptionByScheduler", "message": "for a pod that matters more"}
    return {"conditions": [{"type": "DisruptionTarget", "status": status, **reason, **moment}]}


@pytest.mark.parametrize(
    ("status", "metadata", "reason"),
    [
        pytest.param(thrown_out(4), None, "PreemptionByScheduler", id="it ended well when it was thrown out"),
        pytest.param(thrown_out(4), GOING, "PreemptionByScheduler", id="it is deleted for it"),
        pytest.param({"reason": "Terminated"}, None, "Terminated", id="its node is shut down"),
        pytest.param(thrown_out(9), None, "Completed", id="it had ended before"),
        pytest.param(thrown_out(4, "False"), None, "Completed", id="it was spared"),
    ],
)
def test_what_was_thrown_out_is_not_done(status: Raw, metadata: Raw | None, reason: str) -> None:
    ending = end_of({"phase": "Succeeded", "containerStatuses": [ended()], **status}, metadata)

    assert ending is not None
    assert (ending.word.reason, ending.succeeded) == (reason, reason == "Completed")


def collected(*statuses: Raw) -> Raw:
    lost = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "message": "node is gone"}
    return {
        "phase": "Failed",
        "containerStatuses": list(statuses),
        "conditions": [lost | {"lastTransitionTime": when(20)}],
    }


def test_a_pod_of_a_lost_node_ended_as_its_kubelet_had_reported() -> None:
    well, badly = end_of(collected(ended()), FORCED), end_of(collected(ended(code=3)), FORCED)

    assert well is not None
    assert badly is not None
    assert (well.succeeded, well.word.reason) == (True, "Completed")
    assert (badly.succeeded, "exit code 3" in badly.word.message) == (False, True)
    assert end_of(collected(waiting()), FORCED) is None


def test_why_a_pod_was_taken_away_is_told_where_it_is_known() -> None:
    assert taken_away(pod(status=collected(ended(), waiting("b")))).word.reason == "DeletionByPodGC"
    assert taken_away(pod()).word.reason == "WorkloadLost"


def test_running_is_no_ending() -> None:
    assert end_of({}) is None
    assert end_of({"phase": "Failed"}) is None


def test_the_failure_is_the_first_that_is_not_a_sidecars() -> None:
    ending = end_of(
        {
            "phase": "Failed",
            "initContainerStatuses": [ended("side", code=143)],
            "containerStatuses": [ended("a"), ended("b", code=4)],
        },
        spec={"initContainers": [{"name": "side", "restartPolicy": "Always"}]},
    )

    assert ending is not None
    assert ending.word.message == "Container b ended with exit code 4"


def test_it_ended_when_the_last_of_it_did() -> None:
    ending = end_of({"phase": "Succeeded", "containerStatuses": [ended("a", finished=9), ended("b", finished=7)]})

    assert ending is not None
    assert ending.at == at(9)


@pytest.mark.parametrize(
    ("metadata", "spec", "signaled_at", "reason"),
    [
        ({}, {}, at(4), None),
        (MARKED, DEADLINE, None, "DeadlineExceeded"),
    ],
)
def test_ended_by_our_stop(metadata: Raw, spec: Raw, signaled_at: datetime | None, reason: str | None) -> None:
    status = {"phase": "Failed", "reason": reason, "containerStatuses": [ended()]}
    ending = end_of(status, metadata, spec, signaled_at)

    assert ending is not None
    assert ending.by_stop


@pytest.mark.parametrize(
    ("metadata", "spec", "reason"),
    [
        (MARKED, {"activeDeadlineSeconds": 3600}, "DeadlineExceeded"),
        ({}, DEADLINE, "DeadlineExceeded"),
        (MARKED, DEADLINE, None),
    ],
    ids=["the deadline is another one", "the mark is missing", "it ended before the deadline took effect"],
)
def test_not_every_mark_is_a_stop_of_ours(metadata: Raw, spec: Raw, reason: str | None) -> None:
    ending = end_of({"phase": "Failed", "reason": reason, "containerStatuses": [ended()]}, metadata, spec)

    assert ending is not None
    assert not ending.by_stop


@pytest.mark.parametrize(("finished", "lost"), [(2, False), (4, True), (9, True), (None, True)])
def test_a_pod_that_somebody_deleted_is_lost_unless_it_had_ended_before(finished: float | None, lost: bool) -> None:
    ending = end_of({"phase": "Succeeded", "containerStatuses": [ended(finished=finished)]}, GOING)

    assert ending is not None
    assert (ending.word.reason == "WorkloadLost") is lost
    assert ending.succeeded is not lost


# The main container


def main_end(status: Raw, policy: str = "Never", metadata: Raw | None = None, **more: Any) -> Ending | None:
    seen = pod(spec={"restartPolicy": policy} | more.pop("spec", {}), status=status, metadata=metadata)
    return main_ending_of(seen, "main", entry(seen, **more))


@pytest.mark.parametrize(
    ("main", "policy", "outcome"),
    [
        (running(), "Never", None),
        (ended(), "Never", True),
        (ended(), "Always", True),
        (ended(code=2), "Never", False),
        (ended(code=2), "OnFailure", None),
        (ended(code=2), "Always", None),
        (running("other"), "Never", None),
    ],
)
def test_the_end_of_the_main_container(main: Raw, policy: str, outcome: bool | None) -> None:
    ending = main_end({"containerStatuses": [main, running("side")]}, policy)

    assert (ending.succeeded if ending is not None else None) is outcome


AGAIN = running(since=7) | {"lastState": {"terminated": end(finished=5)}}
KILLED = ended(code=143, started=7, finished=9) | {"lastState": {"terminated": end(finished=5)}}


@pytest.mark.parametrize("main", [AGAIN, KILLED, waiting(last=end(finished=5))], ids=["runs", "was ended", "waits"])
@pytest.mark.parametrize("signal", [None, at(6)], ids=["not asked to go", "asked to go"])
def test_a_main_container_that_is_started_once_more_after_its_success_has_ended(
    main: Raw, signal: datetime | None
) -> None:
    """Its kubelet pulls the image, and hears meanwhile of nothing that ends the pod."""
    ending = main_end({"containerStatuses": [main, running("side")]}, "Always", signaled_at=signal)

    assert ending is not None
    assert (ending.succeeded, ending.word.reason, ending.at) == (True, "Completed", at(5))


def test_what_is_started_once_more_by_its_own_rules_or_after_a_failure_goes_on() -> None:
    failed = running(since=7) | {"lastState": {"terminated": end(code=1, finished=5)}}
    own: Raw = {"containers": [{"name": "main", "restartPolicy": "Always"}]}

    assert main_end({"containerStatuses": [failed]}, "Always") is None
    assert main_end({"containerStatuses": [AGAIN]}, "Always", spec=own) is None
    assert main_end({"containerStatuses": [AGAIN]}, "Always", signaled_at=at(4)) is None, "a stop had ended it"


@pytest.mark.parametrize(("signal", "counts"), [(at(3), False), (at(7), True)])
def test_what_a_stop_ended_is_no_end_of_its_own(signal: datetime, counts: bool) -> None:
    ending = main_end({"containerStatuses": [ended(finished=5), running("side")]}, signaled_at=signal)

    assert (ending is not None) is counts


def test_somebody_elses_deletion_is_no_end_of_its_own_either() -> None:
    assert main_end({"containerStatuses": [ended(finished=9)]}, metadata=GOING) is None
    assert main_end({"containerStatuses": [ended(finished=2)]}, metadata=GOING) is not None


RULE = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}


@pytest.mark.parametrize(
    ("main", "code", "over"),
    [
        pytest.param({}, 42, True, id="no rule"),
        pytest.param({"restartPolicy": "Never", "restartPolicyRules": [RULE]}, 42, False, id="its rule"),
        pytest.param({"restartPolicy": "Never", "restartPolicyRules": [RULE]}, 1, True, id="another exit code"),
        pytest.param({"restartPolicy": "OnFailure"}, 1, False, id="its own policy"),
        pytest.param({"restartPolicy": "Always"}, 0, False, id="its own policy starts it again after success, too"),
    ],
)
def test_a_main_container_that_its_own_rules_start_again_has_not_ended(main: Raw, code: int, over: bool) -> None:
    spec = {"containers": [{"name": "main", **main}]}
    seen = pod(spec=spec, status={"containerStatuses": [ended(code=code)]})

    assert (main_ending_of(seen, "main", entry(seen)) is not None) is over
