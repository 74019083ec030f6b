"""What somebody starts again for a task that is stopped or paused is ended again, and tried until that is accepted."""

from typing import Any

import pytest

from agentstop.api.workload_status import WorkloadStatus
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import Decision
from agentstop.lifecycle.effects import Terminate
from agentstop.lifecycle.observation import Observation, Presence, Proof, Reason
from agentstop.timings import TIMINGS
from tests.unit.objects import Raw, at, task, when

POD: Raw = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "pod-uid"}
RECORD: Raw = {"source": "User", "acceptedAt": when(1), "confirmedAt": when(2), "verdict": "Graceful"}
STOPPED: Raw = {"phase": "Stopped", "finishedAt": when(2), "stop": RECORD, "workload": POD}
PAUSED: Raw = {"phase": "Paused", "pausedAt": when(2), "workload": POD}

LATER = at(20) + TIMINGS.overdue_recheck


def stopped(**seen: Any) -> Decision:
    what = Observation(presence=Presence.PRESENT, workload=WorkloadStatus.model_validate(POD), **seen)
    return decide(task({"podTemplate": {}, "stopRequested": True}, STOPPED), what, at(20))


def test_it_is_ended_again_and_looked_at_until_that_was_accepted() -> None:
    again = stopped(active=True)

    assert [type(each) for each in again.effects] == [Terminate]
    assert again.wake_at == LATER
    assert [each.reason for each in again.notes] == ["StoppedAgain"]


@pytest.mark.parametrize("seen", [{"halted": True}, {"proof": Proof.ENDED}, {"proof": Proof.GONE, "halted": True}])
def test_nothing_is_looked_at_that_is_being_ended_or_has_ended(seen: dict[str, Any]) -> None:
    assert stopped(**seen).wake_at is None


def test_the_same_holds_of_what_is_paused() -> None:
    """Where the pods of a Job may not be listed, nothing is seen to run, and the suspension may be refused as well."""
    job = {"apiVersion": "batch/v1", "kind": "Job", "name": "j"}
    paused = task({"workloadRef": job, "paused": True}, PAUSED)
    blocked = Reason("ListForbidden", "no")

    refused = decide(paused, Observation(presence=Presence.PRESENT, blocked=blocked), at(20))
    assert [type(each) for each in refused.effects] == [Terminate]
    assert refused.wake_at == LATER
    assert decide(paused, Observation(presence=Presence.PRESENT, blocked=blocked, halted=True), at(20)).wake_at is None
