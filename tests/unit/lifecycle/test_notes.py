"""What people are told when one status follows another."""

from datetime import datetime

import pytest

from agentstop.api.task import AgentTaskStatus, Phase, StopSource, StopStatus, Verdict
from agentstop.api.workload_status import PodEvidence, WorkloadStatus
from agentstop.lifecycle.conditions import conditions
from agentstop.lifecycle.events import Severity, notes_between
from agentstop.lifecycle.observation import Reason
from tests.unit.objects import at

ACCEPTED = StopStatus(source=StopSource.USER, requested_by="jane", reason="RunawayCost", accepted_at=at(0))
SIGNALED = ACCEPTED.but(signaled_at=at(1), kill_at=at(31), grace_period_seconds=30)
CONFIRMED = SIGNALED.but(confirmed_at=at(3), duration_seconds=3.0, verdict=Verdict.GRACEFUL)
UNVERIFIED = CONFIRMED.but(verdict=Verdict.UNVERIFIED)
BLOCK = Reason("NodeUnreachable", "no answer")


def status(phase: Phase, stop: StopStatus | None = None, stalled: Reason | None = None) -> AgentTaskStatus:
    word = Reason("Why", "because")
    return AgentTaskStatus(phase=phase, reason="Why", stop=stop, conditions=conditions(phase, word, stalled, (), at(0)))


def test_whose_controller_goes_on_is_told_once() -> None:
    taken = Reason("WorkloadTakenOver", "ReplicaSet rs has taken over pod x")
    before = status(Phase.RUNNING)
    after = before.but(conditions=conditions(Phase.RUNNING, BLOCK, None, (), at(0), elsewhere=taken))

    assert [each.reason for each in notes_between(before, after)] == ["WorkloadTakenOver"]
    assert notes_between(after, after) == ()


def test_that_a_cron_job_was_suspended_is_told_as_done() -> None:
    word = Reason("CronJobSuspended", "CronJob c was suspended")
    before = status(Phase.STOPPING, SIGNALED)
    after = before.but(conditions=conditions(Phase.STOPPING, BLOCK, None, (), at(0), elsewhere=word, goes_on=False))

    (note,) = notes_between(before, after)
    assert (note.reason, note.severity) == ("CronJobSuspended", Severity.NORMAL)
    (condition,) = [each for each in after.conditions if each.type == "ControlledElsewhere"]
    assert condition.status == "False"


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        (status(Phase.PENDING), status(Phase.PENDING), []),
        (status(Phase.PENDING), status(Phase.RUNNING), ["Running"]),
        (status(Phase.RUNNING), status(Phase.RUNNING), []),
        (status(Phase.RUNNING), status(Phase.STOPPING, ACCEPTED), ["StopAccepted"]),
        (status(Phase.RUNNING), status(Phase.STOPPING, SIGNALED), ["StopAccepted", "StopSignaled"]),
        (status(Phase.STOPPING, ACCEPTED), status(Phase.STOPPING, SIGNALED), ["StopSignaled"]),
        (status(Phase.STOPPING, SIGNALED), status(Phase.STOPPING, SIGNALED), []),
        (status(Phase.STOPPING, SIGNALED), status(Phase.STOPPED, CONFIRMED), ["StopConfirmed"]),
        (status(Phase.STOPPING, SIGNALED), status(Phase.STOPPED, UNVERIFIED), ["StopUnverified"]),
        (status(Phase.RUNNING), status(Phase.STOPPED, CONFIRMED), ["StopAccepted", "StopSignaled", "StopConfirmed"]),
        (status(Phase.STOPPING, SIGNALED), status(Phase.STOPPING, SIGNALED, BLOCK), ["NodeUnreachable"]),
        (status(Phase.STOPPING, SIGNALED, BLOCK), status(Phase.STOPPING, SIGNALED, BLOCK), []),
        (status(Phase.STOPPING, SIGNALED, BLOCK), status(Phase.STOPPED, CONFIRMED), ["StopConfirmed"]),
        (status(Phase.PENDING), status(Phase.PENDING, None, BLOCK), ["NodeUnreachable"]),
        (status(Phase.RUNNING), status(Phase.COMPLETED), ["Why"]),
        (status(Phase.RUNNING), status(Phase.FAILED), ["Why"]),
        (status(Phase.FAILED), status(Phase.FAILED), []),
    ],
)
def test_notes(before: AgentTaskStatus, after: AgentTaskStatus, reasons: list[str]) -> None:
    assert [note.reason for note in notes_between(before, after)] == reasons


def test_a_wish_for_less_time_that_comes_too_late_is_told_once() -> None:
    wished = SIGNALED.but(grace_period_seconds=2)
    before, after = status(Phase.STOPPING, SIGNALED), status(Phase.STOPPING, wished)

    (note,) = notes_between(before, after)
    assert (note.reason, note.severity) == ("GracePeriodRuns", Severity.WARNING)
    assert note.message.startswith("2 s were asked for when a longer grace period ran already")
    assert f"SIGKILL comes at {at(31):%H:%M:%S} UTC" in note.message
    assert notes_between(after, after) == ()
    assert "GracePeriodRuns" not in [
        each.reason for each in notes_between(before, status(Phase.STOPPED, CONFIRMED.but(grace_period_seconds=2)))
    ]


@pytest.mark.parametrize(
    ("runs", "reasons"),
    [(20, []), (30, []), (None, []), (31, ["GracePeriodRuns"])],
    ids=["less", "as much", "Kubernetes' own", "more"],
)
def test_of_a_controller_that_deletes_its_pod_late_nothing_is_told_that_nobody_asked_for(
    runs: int | None, reasons: list[str]
) -> None:
    pod = PodEvidence(name="p", uid="1", grace_period_seconds=runs)
    workload = WorkloadStatus(api_version="batch/v1", kind="Job", name="w", uid="2", pods=(pod,))
    before = status(Phase.STOPPING, SIGNALED).but(workload=workload)
    after = before.but(stop=SIGNALED.but(kill_at=at(40)))
    assert [each.reason for each in notes_between(before, after)] == reasons


def test_the_time_until_sigkill_is_the_one_that_runs() -> None:
    somebody_elses = ACCEPTED.but(signaled_at=at(1), kill_at=at(61), grace_period_seconds=30)
    notes = notes_between(status(Phase.RUNNING), status(Phase.STOPPING, somebody_elses))
    (signaled,) = [each for each in notes if each.reason == "StopSignaled"]
    assert signaled.message == "SIGTERM is on its way, SIGKILL follows after 60 s"


def test_no_sigterm_is_told_of_that_a_busy_kubelet_does_not_send() -> None:
    busy = Reason("KubeletBusy", "it runs the start hook")
    after = status(Phase.STOPPING, SIGNALED)
    after = after.but(conditions=conditions(Phase.STOPPING, BLOCK, None, (), at(0), waits=busy))
    (signaled,) = [each for each in notes_between(status(Phase.RUNNING), after) if each.reason == "StopSignaled"]

    assert signaled.message == "The stop is on its way to the node, and SIGTERM comes later: it runs the start hook"


def test_acceptance_names_who_and_why() -> None:
    (note,) = notes_between(status(Phase.RUNNING), status(Phase.STOPPING, ACCEPTED))

    for part in ("jane", "User", "RunawayCost"):
        assert part in note.message


@pytest.mark.parametrize(
    ("after", "severity"),
    [
        (status(Phase.STOPPED, CONFIRMED), Severity.NORMAL),
        (status(Phase.STOPPED, UNVERIFIED), Severity.WARNING),
        (status(Phase.STOPPING, SIGNALED, BLOCK), Severity.WARNING),
    ],
)
def test_what_holds_up_or_cannot_be_proven_is_a_warning(after: AgentTaskStatus, severity: Severity) -> None:
    assert [note.severity for note in notes_between(status(Phase.STOPPING, SIGNALED), after)] == [severity]


def test_failure_is_a_warning_and_completion_is_not() -> None:
    def severity(phase: Phase) -> Severity:
        return notes_between(status(Phase.RUNNING), status(phase))[0].severity

    assert (severity(Phase.FAILED), severity(Phase.COMPLETED)) == (Severity.WARNING, Severity.NORMAL)


def test_reasons_and_times_are_fit_for_events() -> None:
    """Events refuse a reason of more than 128 characters and a note of more than 1,024."""
    wordy = Reason("X", "long " * 10)
    for note in notes_between(status(Phase.RUNNING), status(Phase.STOPPING, SIGNALED, wordy)):
        assert len(note.reason) <= 128
        assert note.action.isalpha()
    assert isinstance(CONFIRMED.confirmed_at, datetime)
