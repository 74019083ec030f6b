"""What people are told: notes that become Kubernetes Events, by comparing one status with the next."""

from dataclasses import dataclass
from enum import StrEnum

from agentstop.api.meta import ConditionType
from agentstop.api.task import AgentTaskStatus, Phase, Verdict
from agentstop.lifecycle.seen import Seen


class Severity(StrEnum):
    """Type of an Event."""

    NORMAL = "Normal"
    WARNING = "Warning"


class Action(StrEnum):
    """What was being done when the Event happened."""

    START = "Start"
    STOP = "Stop"
    OBSERVE = "Observe"


@dataclass(frozen=True, slots=True)
class Note:
    """One thing worth an Event. Reasons are stable: people write alerts on them."""

    severity: Severity
    reason: str
    action: Action
    message: str


def notes_between(before: AgentTaskStatus, after: AgentTaskStatus) -> tuple[Note, ...]:
    """Return what happened between two statuses of a task, in order."""
    notes: list[Note] = []
    if after.phase is Phase.RUNNING and before.phase is not Phase.RUNNING:
        notes.append(Note(Severity.NORMAL, "Running", Action.START, "The first container of the workload was started"))
    if after.stop is not None:
        notes += _about_the_stop(before, after)
    stalled = _stalled(after)
    if stalled and stalled != _stalled(before) and not after.phase.terminal:
        action = Action.STOP if after.phase is Phase.STOPPING else Action.START
        notes.append(Note(Severity.WARNING, stalled[0], action, stalled[1]))
    if after.phase is not before.phase and after.phase in {Phase.COMPLETED, Phase.FAILED}:
        severity = Severity.NORMAL if after.phase is Phase.COMPLETED else Severity.WARNING
        notes.append(Note(severity, after.reason or after.phase, Action.OBSERVE, after.message or ""))
    return tuple(notes)


def _about_the_stop(before: AgentTaskStatus, after: AgentTaskStatus) -> list[Note]:
    stop = after.stop
    assert stop is not None  # noqa: S101  (the caller has checked it; this tells the type checker)
    notes: list[Note] = []
    told = before.stop if before.phase in {Phase.STOPPING, Phase.STOPPED} else None
    if told is None:
        by = f" by {stop.requested_by}" if stop.requested_by else ""
        why = f": {stop.reason}" if stop.reason else ""
        note = f"Stop requested{by} (source {stop.source}){why}"
        notes.append(Note(Severity.NORMAL, "StopAccepted", Action.STOP, note))
    if stop.signaled_at is not None and (told is None or told.signaled_at is None):
        note = f"SIGTERM is on its way, SIGKILL follows after {stop.grace_period_seconds} s"
        notes.append(Note(Severity.NORMAL, "StopSignaled", Action.STOP, note))
    if after.phase is Phase.STOPPED and before.phase is not Phase.STOPPED:
        if stop.verdict is Verdict.UNVERIFIED:
            note = "Nobody could prove that the processes are gone; marked as stopped because the task asked for it"
            notes.append(Note(Severity.WARNING, "StopUnverified", Action.STOP, note))
        else:
            note = f"No process is left after {stop.duration_seconds} s, verdict {stop.verdict}"
            notes.append(Note(Severity.NORMAL, "StopConfirmed", Action.STOP, note))
    return notes


def _stalled(status: AgentTaskStatus) -> tuple[str, str] | None:
    for condition in status.conditions:
        if condition.type == ConditionType.STALLED and condition.status == "True":
            return condition.reason, condition.message
    return None


def stopped_again(seen: Seen) -> Note:
    """Return the note that somebody started the workload of a stopped task, and that it was stopped again."""
    name = f"{seen.workload.kind} {seen.workload.name}" if seen.workload else "The workload"
    note = f"{name} was started again after its task was stopped; it is stopped again"
    return Note(Severity.WARNING, "StoppedAgain", Action.STOP, note)
