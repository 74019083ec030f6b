"""A task whose main container has ended: what is on record of that, and what follows."""

from typing import Any

import pytest

from agentstop.api.task import Phase
from agentstop.api.workload_status import WorkloadStatus
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import Decision
from agentstop.lifecycle.effects import Terminate
from agentstop.lifecycle.observation import Ending, Observation, Presence, Proof, Reason
from tests.unit.objects import Raw, at, task, when

POD: Raw = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "pod-uid"}
RUNNING: Raw = {"phase": "Running", "reason": "Running", "startedAt": when(1), "attempts": 1, "workload": POD}
ON_RECORD: Raw = RUNNING | {"reason": "MainContainerEnded"}
SUCCESS = Ending(True, Reason("Completed", "done"), at(9))
FAILURE = Ending(False, Reason("ContainerFailed", "failed"), at(9))
BY_US = Ending(False, Reason("Stopped", "The workload was stopped"), at(30), by_stop=True)


def decided(status: Raw, spec: Raw | None = None, **seen: Any) -> Decision:
    workload = WorkloadStatus.model_validate(POD)
    what = Observation(presence=Presence.PRESENT, workload=workload, started_at=at(1), **seen)
    return decide(task({"podTemplate": {}, "mainContainer": "main"} | (spec or {}), status), what, at(40))


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
