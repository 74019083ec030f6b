"""Tasks that are paused, are to be, or come back from it."""

from typing import Any

import pytest

from agentstop.api.task import Phase, StopSource
from agentstop.api.workload_status import PodEvidence, WorkloadStatus
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import MARGIN, Decision
from agentstop.lifecycle.effects import Start, Terminate
from agentstop.lifecycle.family import ALONE, Family, Inherited
from agentstop.lifecycle.observation import Ending, Observation, Presence, Proof, Reason
from tests.unit.objects import ADOPTS, Raw, at, task, when

WORKLOAD = WorkloadStatus(
    api_version="v1", kind="Pod", name="x", uid="pod-uid", pods=(PodEvidence(name="x", uid="pod-uid"),), pod_count=1
)
PAUSED_SPEC: Raw = {"podTemplate": {}, "paused": True}
RUNS_SPEC: Raw = {"podTemplate": {}}
WAS: Raw = {"attempts": 1, "observedGeneration": 1, "startedAt": when(0), "workload": WORKLOAD.wire()}
RUNNING: Raw = WAS | {"phase": "Running"}
PAUSING: Raw = WAS | {"phase": "Pausing"}
PAUSED: Raw = WAS | {"phase": "Paused", "pausedAt": when(10)}

ABSENT = Observation(presence=Presence.ABSENT)
ENDED_WORD = Reason("Completed", "done")


def seen(**more: Any) -> Observation:
    """A workload that exists."""
    return Observation(presence=Presence.PRESENT, workload=WORKLOAD, **more)


RUNS = seen(started_at=at(0), active=True)
GONE = seen(started_at=at(0), halted=True, proof=Proof.ENDED)


def decided(
    spec: Raw, status: Raw | None, what: Observation, now: float = 20, family: Family = ALONE, **more: Any
) -> Decision:
    return decide(task(spec, status, **more), what, at(now), family)


# Being paused


def test_a_task_created_paused_starts_nothing() -> None:
    decision = decided(PAUSED_SPEC, None, ABSENT)

    assert decision.effects == ()
    assert decision.status.phase is Phase.PAUSED
    assert (decision.status.attempts, decision.status.paused_at) == (0, at(20))


def test_what_is_to_be_paused_is_written_down_before_it_is_ended() -> None:
    decision = decided(PAUSED_SPEC, RUNNING, RUNS)

    assert decision.effects == ()
    assert decision.status.phase is Phase.PAUSING
    assert decision.wake_at == at(20)


def test_then_it_is_ended_with_its_own_grace_and_no_mark_of_a_stop() -> None:
    decision = decided(PAUSED_SPEC | {"stop": {"gracePeriodSeconds": 1}}, PAUSING, RUNS)

    (halt,) = decision.effects
    assert isinstance(halt, Terminate)
    assert (halt.grace_seconds, halt.pause) == (None, True)


def test_it_is_paused_once_that_is_proven() -> None:
    status = decided(PAUSED_SPEC, PAUSING, GONE).status

    assert (status.phase, status.paused_at, status.attempts) == (Phase.PAUSED, at(20), 1)


@pytest.mark.parametrize(("since_kill", "stalled"), [(0, False), (MARGIN.total_seconds(), True)])
def test_a_pause_that_is_overdue_says_so(since_kill: float, stalled: bool) -> None:
    ending = seen(started_at=at(0), active=True, halted=True, signaled_at=at(20), own_grace_seconds=5)
    status = decided(PAUSED_SPEC, PAUSING, ending, 25 + since_kill).status

    reasons = [each.reason for each in status.conditions if (each.type, each.status) == ("Stalled", "True")]
    assert reasons == (["NotConfirmed"] if stalled else [])


def test_a_pause_that_is_held_up_names_what_holds_it() -> None:
    status = decided(
        PAUSED_SPEC, PAUSING, seen(active=True, halted=True, blocked=Reason("NodeUnreachable", "n"))
    ).status

    assert ("Stalled", "NodeUnreachable") in {(each.type, each.reason) for each in status.conditions}


def test_a_pod_that_vanishes_because_of_the_pause_has_not_failed() -> None:
    lost = seen(halted=True, ending=Ending(False, Reason("WorkloadLost", "gone"), None), proof=Proof.ENDED)

    assert decided(PAUSED_SPEC, PAUSING, lost).status.phase is Phase.PAUSED


def test_what_had_ended_by_itself_is_over_and_not_paused() -> None:
    done = seen(started_at=at(0), ending=Ending(True, ENDED_WORD, at(5)), proof=Proof.ENDED)

    assert decided(PAUSED_SPEC, RUNNING, done).status.phase is Phase.COMPLETED


def test_nothing_is_decided_before_the_workload_was_looked_at() -> None:
    decision = decided(PAUSED_SPEC, RUNNING, Observation(presence=Presence.UNKNOWN))

    assert (decision.effects, decision.status.phase) == ((), Phase.RUNNING)


def test_a_pause_that_is_taken_back_before_it_reached_the_workload() -> None:
    status = decided(RUNS_SPEC, PAUSING, RUNS).status

    assert (status.phase, status.attempts) == (Phase.RUNNING, 1)


def test_a_pause_that_is_taken_back_later_comes_to_its_end_first() -> None:
    status = decided(RUNS_SPEC, PAUSING, seen(active=True, halted=True, signaled_at=at(19))).status
    assert status.phase is Phase.PAUSING

    decision = decided(RUNS_SPEC, PAUSING, GONE)
    assert decision.status.phase is Phase.PAUSED
    assert decision.wake_at == at(20)


# While it is paused


def test_what_is_paused_stays_so() -> None:
    status = decided(PAUSED_SPEC, PAUSED, GONE, 500).status

    assert (status.phase, status.paused_at) == (Phase.PAUSED, at(10))
    assert {each.type: each.status for each in status.conditions}["Ready"] == "True"


def test_what_somebody_starts_meanwhile_is_ended_again_and_told() -> None:
    decision = decided(PAUSED_SPEC, PAUSED, RUNS)

    assert decision.status.phase is Phase.PAUSING
    assert [note.reason for note in decision.notes] == ["PausedAgain"]
    again = decided(PAUSED_SPEC, PAUSING, RUNS)
    assert [isinstance(each, Terminate) for each in again.effects] == [True]


def test_a_proof_that_is_wanting_after_a_restart_is_no_start() -> None:
    """A new process has not seen the last state of a pod that is gone."""
    decision = decided(PAUSED_SPEC, PAUSED, seen(halted=True))

    assert (decision.status.phase, decision.notes) == (Phase.PAUSED, ())
    assert decision.status.paused_at == at(10)


def test_a_pod_that_may_yet_start_is_no_pause() -> None:
    """A resume made it, and the pause that is asked for again came before anything of it ran."""
    decision = decided(PAUSED_SPEC, PAUSED, seen(halted=True, live=True))

    assert (decision.status.phase, decision.status.paused_at) == (Phase.PAUSING, None)
    again = decided(PAUSED_SPEC, PAUSING, seen(halted=True, live=True))
    assert [isinstance(each, Terminate) for each in again.effects] == [True]
    assert decided(PAUSED_SPEC, PAUSING, seen(halted=True, proof=Proof.NEVER_STARTED)).status.phase is Phase.PAUSED


def test_the_deadline_does_not_come_nearer() -> None:
    spec = PAUSED_SPEC | {"activeDeadlineSeconds": 15}
    decision = decided(spec, PAUSED, GONE, 9000)

    assert decision.status.phase is Phase.PAUSED
    assert decision.wake_at is None


# Coming back


def test_a_resume_is_written_down_before_anything_is_started() -> None:
    decision = decided(RUNS_SPEC, PAUSED, GONE, generation=2)

    assert decision.effects == ()
    assert (decision.status.phase, decision.status.observed_generation) == (Phase.PAUSED, 2)
    assert decision.status.reason == "Resuming"
    assert decision.wake_at == at(20)


def test_then_the_workload_is_started() -> None:
    decision = decided(RUNS_SPEC, PAUSED, GONE)

    assert decision.effects == (Start(),)
    assert decision.status.phase is Phase.PAUSED
    assert {each.type: each.status for each in decision.status.conditions}["Reconciling"] == "True"


def test_a_task_that_runs_again_has_one_attempt_more() -> None:
    decision = decided(RUNS_SPEC, PAUSED, seen(started_at=at(70), active=True), 75)
    status = decision.status

    assert (status.phase, status.attempts, status.paused_at) == (Phase.RUNNING, 2, None)
    assert status.paused_seconds == 61, (
        "nodes report whole seconds: a second too much does no harm, one too little does"
    )
    assert status.started_at == at(0)


def test_the_first_start_of_a_task_created_paused_is_the_first_attempt() -> None:
    before: Raw = {"phase": "Paused", "observedGeneration": 1, "pausedAt": when(0)}
    status = decided(RUNS_SPEC, before, seen(started_at=at(70), active=True), 75).status

    assert (status.attempts, status.paused_seconds, status.started_at) == (1, 0, at(70))


def test_pauses_add_up_and_put_the_deadline_off() -> None:
    spec = RUNS_SPEC | {"activeDeadlineSeconds": 100}
    before = PAUSED | {"pausedSeconds": 5.5}
    status = decided(spec, before, seen(started_at=at(70), active=True), 75).status
    assert status.paused_seconds == 66.5

    runs = decided(spec, RUNNING | {"pausedSeconds": 65.5}, RUNS, 165)
    assert runs.status.phase is Phase.RUNNING
    assert runs.wake_at == at(165.5)
    over = decided(spec, RUNNING | {"pausedSeconds": 65.5}, RUNS, 165.5).status
    assert over.stop is not None
    assert over.stop.source is StopSource.DEADLINE


def test_a_workload_that_ended_before_it_was_seen_running_counts_as_an_attempt() -> None:
    done = seen(started_at=at(30), ending=Ending(True, ENDED_WORD, at(31)), proof=Proof.ENDED)
    status = decided(RUNS_SPEC, PAUSED, done, 40).status

    assert (status.phase, status.attempts) == (Phase.COMPLETED, 2)


OVER = Ending(False, Reason("OOMKilled", "failed"), at(8))


@pytest.mark.parametrize("spec", [PAUSED_SPEC, RUNS_SPEC], ids=["paused", "to be resumed"])
@pytest.mark.parametrize("end", ["ending", "main_ending"])
def test_the_pod_that_a_pause_has_ended_is_not_the_tasks_end_while_somebody_keeps_it(spec: Raw, end: str) -> None:
    """A new process reads from it that it was asked to go when its kubelet let go of it, after all of it had ended."""
    kept = seen(started_at=at(0), halted=True, signaled_at=at(9), proof=Proof.ENDED, **{end: OVER})
    assert decided(spec, PAUSED, kept).status.phase is Phase.PAUSED

    again = seen(started_at=at(12), halted=True, signaled_at=at(15), proof=Proof.ENDED, **{end: OVER})
    assert decided(RUNS_SPEC, PAUSED, again).status.phase is Phase.FAILED


def test_a_main_container_that_ended_before_anything_was_seen_running_counts_as_an_attempt() -> None:
    """A kubelet that runs a start hook says nothing of the pod before that is done."""
    over = Ending(False, Reason("ContainerFailed", "failed"), at(75))
    status = decided(RUNS_SPEC, PAUSED, seen(started_at=at(70), active=True, main_ending=over), 80).status

    assert (status.phase, status.reason) == (Phase.RUNNING, "MainContainerEnded")
    assert (status.attempts, status.paused_at, status.paused_seconds) == (2, None, 61)


def test_an_adopted_workload_that_was_deleted_meanwhile_is_lost() -> None:
    """It cannot come back: to wait for it would be to wait for ever."""
    spec: Raw = {"workloadRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "x"}}
    lost = seen(halted=True, ending=Ending(False, Reason("WorkloadLost", "gone"), None), proof=Proof.ENDED)
    status = decided(spec, PAUSED, lost).status

    assert (status.phase, status.reason) == (Phase.FAILED, "WorkloadLost")


@pytest.mark.parametrize(
    "family",
    [Family(problem=Reason("ParentNotFound", "no")), Family(unknown=True)],
    ids=["no parent", "the parent is not read yet"],
)
def test_nothing_comes_back_that_may_not_be_started(family: Family) -> None:
    decision = decided(RUNS_SPEC, PAUSED, GONE, family=family)

    assert (decision.effects, decision.status.phase) == ((), Phase.PAUSED)


# Stops


STOPS: Raw = {"stopRequested": True}
PARENT_STOPS = Family(stop=Inherited(origin="p", by_person=True))


@pytest.mark.parametrize("family", [ALONE, PARENT_STOPS], ids=["its own", "its parent's"])
@pytest.mark.parametrize("spec", [PAUSED_SPEC, RUNS_SPEC], ids=["paused", "resuming"])
@pytest.mark.parametrize("status", [RUNNING, PAUSING, PAUSED], ids=["running", "pausing", "paused"])
@pytest.mark.parametrize("what", [RUNS, GONE, ABSENT], ids=["runs", "gone", "absent"])
def test_a_stop_works_at_once_and_nothing_comes_back(family: Family, spec: Raw, status: Raw, what: Observation) -> None:
    decision = decided(spec | (STOPS if family is ALONE else {}), status, what, family=family)

    assert decision.status.phase is (Phase.STOPPING if what is RUNS else Phase.STOPPED)
    assert Start() not in decision.effects
    if what is RUNS:
        (halt,) = decision.effects
        assert isinstance(halt, Terminate)
        assert not halt.pause


def test_a_task_that_is_stopped_while_paused_has_not_run_again() -> None:
    status = decided(PAUSED_SPEC | STOPS, PAUSED, GONE, 500).status

    assert status.attempts == 1
    assert status.stop is not None
    assert (status.stop.source, status.stop.verdict) == (StopSource.USER, "Graceful")


# What nobody could make again


def test_an_adopted_pod_is_never_ended_by_a_pause() -> None:
    decision = decided(ADOPTS | {"paused": True}, RUNNING, RUNS)

    assert decision.effects == ()
    assert decision.status.phase is Phase.RUNNING


@pytest.mark.parametrize(
    ("last_started_at", "halted", "phase"),
    [(12, False, Phase.RUNNING), (8, False, Phase.PAUSED), (12, True, Phase.PAUSED), (None, False, Phase.PAUSED)],
    ids=["since", "before the pause", "asked for no pods", "never"],
)
def test_what_has_run_since_the_pause_is_back_though_nobody_saw_it_run(
    last_started_at: float | None, halted: bool, phase: Phase
) -> None:
    """A Job's pods end in their start hooks, one after the other, and a kubelet says nothing of one that runs."""
    started = at(last_started_at) if last_started_at is not None else None
    decision = decided(RUNS_SPEC, PAUSED, seen(started_at=at(0), last_started_at=started, halted=halted))

    assert decision.status.phase is phase
    assert decision.status.attempts == (2 if phase is Phase.RUNNING else 1)
