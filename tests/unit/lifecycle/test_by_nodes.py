"""When the nodes are asked to kill, and when SIGKILL comes then."""

from typing import Any

import pytest

from agentstop.api.task import StopStatus
from agentstop.api.workload_status import PodEvidence, WorkloadStatus
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import LIMITS, Decision, Limits
from agentstop.lifecycle.effects import Terminate
from agentstop.lifecycle.observation import Observation, Presence, Proof
from tests.unit.objects import Raw, at, task, when

ASKING = Limits(ask_nodes=True)
LONG = 300.0
STOPPING: Raw = {
    "phase": "Stopping",
    "startedAt": when(0),
    "attempts": 1,
    "stop": {
        "source": "User",
        "acceptedAt": when(0),
        "signaledAt": when(0),
        "killAt": when(LONG),
        "gracePeriodSeconds": 300,
    },
}


def seen(**more: Any) -> Observation:
    given: dict[str, Any] = {"started_at": at(0), "halted": True, "signaled_at": at(0), "own_grace_seconds": 300}
    return Observation(presence=Presence.PRESENT, **given | more)


def decided(
    now: float,
    status: Raw = STOPPING,
    grace: int | None = None,
    limits: Limits = ASKING,
    what: Observation | None = None,
) -> Decision:
    spec: Raw = {"podTemplate": {}, "stopRequested": True} | ({"stop": {"gracePeriodSeconds": grace}} if grace else {})
    return decide(task(spec, status), what or seen(killed_by=at(LONG)), at(now), limits=limits)


def record(decision: Decision) -> StopStatus:
    assert decision.status.stop is not None
    return decision.status.stop


def asks(decision: Decision) -> bool:
    (halt,) = [each for each in decision.effects if isinstance(each, Terminate)]
    return halt.by_nodes


def test_a_kubelet_has_the_time_to_do_it_itself() -> None:
    assert not asks(decided(LONG))
    assert decided(LONG).wake_at == at(LONG + 2)
    assert asks(decided(LONG + 2))
    assert not asks(decided(LONG + 2, limits=LIMITS)), "where there is nobody to ask"


def test_a_grace_period_that_runs_is_shortened_and_its_end_is_true() -> None:
    now = 100.0
    decision = decided(now, grace=1)
    assert record(decision).kill_at == at(now)
    assert asks(decision)
    assert "no kubelet" not in (decision.status.message or "")
    assert [each.reason for each in decision.notes] == ["GracePeriodShortened"]
    # Once said, it is not put off any more.
    later = decided(now + 1, decision.status.wire(), grace=1)
    assert record(later).kill_at == at(now)
    assert later.notes == ()


def test_less_time_than_is_left_is_waited_for() -> None:
    decision = decided(100, grace=150)
    assert record(decision).kill_at == at(150)
    assert not asks(decision)
    assert decision.wake_at is not None
    assert decision.wake_at <= at(150)
    assert asks(decided(150, decision.status.wire(), grace=150))
    sooner = decided(120, decision.status.wire(), grace=1)
    assert record(sooner).kill_at == at(120)


def test_without_the_components_no_kubelet_shortens_what_runs() -> None:
    decision = decided(100, grace=1, limits=LIMITS)
    assert record(decision).kill_at == at(LONG)
    assert not asks(decision)
    assert [each.reason for each in decision.notes] == ["GracePeriodRuns"]


def test_a_controller_that_takes_its_time_is_no_wish_that_came_too_late() -> None:
    pod = PodEvidence(name="p", uid="1", grace_period_seconds=int(LONG))
    workload = WorkloadStatus(api_version="v1", kind="Sandbox", name="w", uid="2", pods=(pod,))
    decision = decided(10, limits=LIMITS, what=seen(killed_by=at(LONG + 8), workload=workload))
    assert record(decision).kill_at == at(LONG + 8)
    assert decision.status.message == "Task was stopped by user"
    assert decision.notes == ()


def test_one_that_was_told_more_than_the_stop_gives_is_not_waited_for() -> None:
    """Somebody had deleted the pod with an hour before."""
    decision = decided(2, STOPPING | {"stop": STOPPING["stop"] | {"killAt": when(3600)}}, what=seen(killed_by=at(3600)))
    assert record(decision).kill_at == at(LONG)


@pytest.mark.parametrize(
    "what",
    [
        seen(halted=False, signaled_at=None),
        seen(proof=Proof.GONE),
        seen(proof=Proof.NODE_FENCED),
    ],
    ids=["not asked to go", "gone", "with its node"],
)
def test_what_need_not_or_must_not_be_killed_is_not(what: Observation) -> None:
    assert not asks(decided(LONG + 600, what=what))


def test_what_has_ended_is_left_alone() -> None:
    over = STOPPING | {"phase": "Stopped", "stop": STOPPING["stop"] | {"verdict": "Gone", "confirmedAt": when(310)}}
    assert not asks(decided(LONG + 600, over))


def test_the_kernels_word_is_proof_of_a_kill() -> None:
    decision = decided(LONG + 5, what=seen(proof=Proof.EMPTIED))
    assert decision.status.phase == "Stopped"
    assert record(decision).verdict == "Killed"
