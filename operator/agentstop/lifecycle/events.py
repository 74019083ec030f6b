"""What people are told: notes that become Kubernetes Events, by comparing one status with the next."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from agentstop.api.meta import ConditionType, find_condition
from agentstop.api.task import AgentTaskStatus, Phase, Verdict
from agentstop.api.workload_status import WorkloadStatus
from agentstop.lifecycle.conditions import FREEZING, FROZEN, KUBELET_BUSY, THAWING
from agentstop.lifecycle.graces import LEAST, late_wish, running_seconds, runs_longer


class Severity(StrEnum):
    """Type of an Event."""

    NORMAL = "Normal"
    WARNING = "Warning"


class Action(StrEnum):
    """What was being done when the Event happened."""

    START = "Start"
    PAUSE = "Pause"
    STOP = "Stop"
    OBSERVE = "Observe"


@dataclass(frozen=True, slots=True)
class Note:
    """One thing worth an Event. Reasons are stable: people write alerts on them."""

    severity: Severity
    reason: str
    action: Action
    message: str


_PHASE_NOTES: Final = {
    Phase.RUNNING: (Note(Severity.NORMAL, "Running", Action.START, "The workload runs"),),
    Phase.PAUSING: (Note(Severity.NORMAL, "Pausing", Action.PAUSE, "The workload is ended until it is resumed"),),
    Phase.PAUSED: (Note(Severity.NORMAL, "Paused", Action.PAUSE, "No process is left; the task can be resumed"),),
}


_FREEZE_NOTES: Final = {
    (Phase.PAUSING, FREEZING): Note(Severity.NORMAL, FREEZING, Action.PAUSE, "The nodes are asked to freeze what runs"),
    (Phase.PAUSING, THAWING): Note(Severity.NORMAL, THAWING, Action.START, "The nodes are asked to let it go on"),
    (Phase.PAUSED, FROZEN): Note(
        Severity.NORMAL, FROZEN, Action.PAUSE, "The kernel holds all processes; the task can be resumed"
    ),
}


def notes_between(before: AgentTaskStatus, after: AgentTaskStatus) -> tuple[Note, ...]:
    """Return what happened between two statuses of a task, in order."""
    notes: list[Note] = []
    freeze_state = _FREEZE_NOTES.get((after.phase, after.reason or ""))
    if freeze_state is not None:
        notes += [freeze_state] if after.phase is not before.phase else []
    elif before.phase is Phase.PAUSED and after.phase is Phase.PAUSING:
        notes.append(halted_again(after.workload, "paused"))
    elif after.phase is not before.phase:
        notes += _PHASE_NOTES.get(after.phase, ())
    if after.stop is not None:
        notes += _about_the_stop(before, after)
    lost = after.workload.logs_gone if after.workload is not None else None
    if lost is not None and (before.workload is None or before.workload.logs_gone is None):
        notes.append(Note(Severity.WARNING, "LogsGone", Action.STOP, f"The logs go with the pod: {lost}"))
    elsewhere = _condition(after, ConditionType.CONTROLLED_ELSEWHERE)
    if elsewhere and elsewhere != _condition(before, ConditionType.CONTROLLED_ELSEWHERE):
        goes_on, reason, message = elsewhere
        severity, action = (Severity.WARNING, Action.OBSERVE) if goes_on else (Severity.NORMAL, Action.STOP)
        notes.append(Note(severity, reason, action, message))
    notes += _about_the_budget(before, after)
    held_up = _holds(after, ConditionType.STALLED)
    if held_up and held_up != _holds(before, ConditionType.STALLED) and not after.phase.terminal:
        action = Action.STOP if after.phase is Phase.STOPPING else Action.START
        notes.append(Note(Severity.WARNING, held_up[0], action, held_up[1]))
    if after.phase is not before.phase and after.phase in {Phase.COMPLETED, Phase.FAILED}:
        severity = Severity.NORMAL if after.phase is Phase.COMPLETED else Severity.WARNING
        notes.append(Note(severity, after.reason or after.phase, Action.OBSERVE, after.message or ""))
    return tuple(notes)


_BUDGET_WORTH_TELLING: Final = frozenset(
    {
        "CostExceeded",
        "TokensExceeded",
        "TurnsExceeded",
        "Idle",
        "Warning",
        "CurrencyDiffers",
        "DefaultBudgetInvalid",
        "UsageNotOwned",
    }
)


def _about_the_budget(before: AgentTaskStatus, after: AgentTaskStatus) -> list[Note]:
    """Return what is to be told of the budget. What it then does is told by itself."""
    found = find_condition(after.conditions, ConditionType.BUDGET_EXCEEDED)
    former = find_condition(before.conditions, ConditionType.BUDGET_EXCEEDED)
    if found is None or found.reason not in _BUDGET_WORTH_TELLING:
        return []
    if former is not None and former.reason == found.reason:
        return []
    reason = "BudgetWarning" if found.reason == "Warning" else found.reason
    return [Note(Severity.WARNING, reason, Action.OBSERVE, found.message)]


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
        note = f"SIGTERM is on its way, SIGKILL follows after {running_seconds(stop)} s"
        busy = _holds(after, ConditionType.RECONCILING)
        if busy is not None and busy[0] == KUBELET_BUSY:
            note = f"The stop is on its way to the node, and SIGTERM comes later: {busy[1]}"
        notes.append(Note(Severity.NORMAL, "StopSignaled", Action.STOP, note))
    if told is not None and told.kill_at and stop.kill_at and stop.kill_at < told.kill_at - LEAST:
        note = f"Less time is left: the component on the node sends SIGKILL at {stop.kill_at:%H:%M:%S} UTC"
        notes.append(Note(Severity.NORMAL, "GracePeriodShortened", Action.STOP, note))
    elif _too_late(after) and not _too_late(before) and not after.phase.terminal:
        note = late_wish(stop)
        notes.append(Note(Severity.WARNING, "GracePeriodRuns", Action.STOP, f"{note[0].upper()}{note[1:]}"))
    if after.phase is Phase.STOPPED and before.phase is not Phase.STOPPED:
        if stop.verdict is Verdict.UNVERIFIED:
            note = "Nobody could prove that the processes are gone; marked as stopped because the task asked for it"
            notes.append(Note(Severity.WARNING, "StopUnverified", Action.STOP, note))
        else:
            note = f"No process is left after {stop.duration_seconds} s, verdict {stop.verdict}"
            notes.append(Note(Severity.NORMAL, "StopConfirmed", Action.STOP, note))
    return notes


def _too_late(status: AgentTaskStatus) -> bool:
    """Whether a stop that was told of asks for less time than runs already."""
    stop = status.stop if status.phase in {Phase.STOPPING, Phase.STOPPED} else None
    return stop is not None and runs_longer(stop, status.workload)


def _holds(status: AgentTaskStatus, kind: ConditionType) -> tuple[str, str] | None:
    found = _condition(status, kind)
    return found[1:] if found is not None and found[0] else None


def _condition(status: AgentTaskStatus, kind: ConditionType) -> tuple[bool, str, str] | None:
    found = find_condition(status.conditions, kind)
    return (found.status == "True", found.reason, found.message) if found is not None else None


_AGAIN: Final = {"stopped": "StoppedAgain", "paused": "PausedAgain"}


def halted_again(workload: WorkloadStatus | None, what: str) -> Note:
    """Return the note that somebody started the workload of a task that is `what`: it is ended again."""
    name = f"{workload.kind} {workload.name}" if workload is not None else "The workload"
    note = f"{name} was started again after its task was {what}; it is {what} again"
    return Note(Severity.WARNING, _AGAIN[what], Action.STOP, note)
