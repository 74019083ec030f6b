"""A task whose main container has ended: what is on record of that, and what follows."""

from typing import Any

import pytest

from agentstop.api.task import Phase, Verdict
from agentstop.api.workload_status import WorkloadStatus
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import MARGIN, Decision
from agentstop.lifecycle.effects import Terminate
from agentstop.lifecycle.observation import Ending, Observation, Presence, Proof, Reason
from tests.unit.objects import Raw, at, task, when

SPEC: Raw = {"podTemplate": {}, "mainContainer": "main"}
POD: Raw = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "pod-uid"}
RUNNING: Raw = {"phase": "Running", "reason": "Running", "startedAt": when(1), "attempts": 1, "workload": POD}
ON_RECORD: Raw = RUNNING | {"reason": "MainContainerEnded"}
SUCCESS = Ending(True, Reason("Completed", "done"), at(9))
FAILURE = Ending(False, Reason("ContainerFailed", "failed"), at(9))
BY_US = Ending(False, Reason("Stopped", "The workload was stopped"), at(30), by_stop=True)


def decided(status: Raw, spec: Raw | None = None, **seen: Any) -> Decision:
    workload = WorkloadStatus.model_validate(POD)
    what = Observation(presence=Presence.PRESENT, workload=workload, started_at=at(1), **seen)
    return decide(task(SPEC | (spec or {}), status), what, at(40))


@pytest.mark.parametrize("ending", [SUCCESS, FAILURE], ids=["success", "failure"])
def test_its_end_is_on_record_before_anything_else_is_ended_for_it(ending: Ending) -> None:
    first = decided(RUNNING, active=True, main_ending=ending)
    assert (first.status.reason, first.effects, first.wake_at) == ("MainContainerEnded", (), at(40))

    then = decided(ON_RECORD, active=True, main_ending=ending)
    assert [type(each) for each in then.effects] == [Terminate]


def test_a_stop_that_is_asked_for_waits_for_no_record() -> None:
    decision = decided(RUNNING, {"stopRequested": True}, active=True, main_ending=SUCCESS)

    assert [type(each) for each in decision.effects] == [Terminate]


def test_a_success_on_record_counts_though_nothing_shows_it_any_more() -> None:
    """Its kubelet did not hear that the pod is to go, and has started it again and again."""
    goes_on = decided(ON_RECORD, active=True, halted=True, signaled_at=at(10))
    assert (goes_on.status.phase, goes_on.status.reason) == (Phase.RUNNING, "MainContainerEnded")

    over = decided(ON_RECORD, halted=True, signaled_at=at(10), ending=BY_US, proof=Proof.ENDED)
    assert (over.status.phase, over.status.reason) == (Phase.COMPLETED, "Completed")
    assert over.status.message == "Main container main ended with exit code 0"
    assert over.status.finished_at == at(30)


UNPROVEN: Raw = {"active": True, "halted": True, "signaled_at": at(10), "own_grace_seconds": 5, "main_ending": SUCCESS}
MARK: Raw = {"onUnconfirmed": "MarkStopped"}


def test_it_has_not_ended_before_the_rest_has_though_nobody_wants_the_proof() -> None:
    """Completed has no verdict that could say so."""
    status = decided(ON_RECORD, {"stop": MARK}, **UNPROVEN).status

    assert status.phase is Phase.RUNNING
    stalled = [each.reason for each in status.conditions if (each.type, each.status) == ("Stalled", "True")]
    assert stalled == ["NotConfirmed"]


def test_a_stop_that_wants_no_proof_ends_it_and_says_so() -> None:
    asked = {"stopRequested": True, "stop": MARK}
    accepted = decided(ON_RECORD, asked, **UNPROVEN).status
    assert accepted.phase is Phase.STOPPING

    what = Observation(presence=Presence.PRESENT, workload=WorkloadStatus.model_validate(POD), **UNPROVEN)
    stop = accepted.stop
    assert stop is not None
    assert stop.kill_at is not None
    over = decide(task(SPEC | asked, accepted.wire()), what, stop.kill_at + MARGIN).status
    assert (over.phase, over.stop and over.stop.verdict) == (Phase.STOPPED, Verdict.UNVERIFIED)


@pytest.mark.parametrize(
    ("stop", "seen"),
    [({}, {}), (MARK, {"signaled_at": at(39)}), (MARK, {"proof": Proof.ENDED})],
    ids=["it waits for the proof", "the proof may come yet", "the proof is there"],
)
def test_any_other_stop_leaves_it_an_end_of_its_own(stop: Raw, seen: dict[str, Any]) -> None:
    status = decided(ON_RECORD, {"stopRequested": True, "stop": stop}, **(UNPROVEN | seen)).status

    assert status.stop is None
    assert status.phase is (Phase.COMPLETED if "proof" in seen else Phase.RUNNING)
