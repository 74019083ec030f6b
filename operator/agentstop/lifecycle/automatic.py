"""Stops that nobody asks for: what a task may not go beyond, in the order in which these count."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from agentstop.api.task import Phase, StopSource
from agentstop.lifecycle import budget, tether
from agentstop.lifecycle.decision import DecisionInput


@dataclass(frozen=True, slots=True)
class AutomaticStop:
    """A stop that follows from the facts."""

    source: StopSource
    reason: str | None = None
    """Why, in one CamelCase word, where the task's spec gives none."""
    message: str | None = None


def automatic_stop(case: DecisionInput) -> AutomaticStop | None:
    """Return the stop that follows from the facts, if one does."""
    return next((found for each in _STOPS if (found := each(case)) is not None), None)


def look_again_at(case: DecisionInput) -> datetime | None:
    """Return when such a stop may come though nothing happens."""
    return min(filter(None, (deadline_at(case), budget.look_again_at(case))), default=None)


def deadline_at(case: DecisionInput) -> datetime | None:
    """Return when the time that the task may run is over; None while it is paused, and where there is no limit."""
    status, seconds = case.task.status, case.task.spec.active_deadline_seconds
    started_at = status.started_at or case.seen.started_at
    if started_at is None or seconds is None or case.phase is Phase.PAUSED:
        return None
    return min(started_at, case.now) + timedelta(seconds=seconds + case.paused_seconds)


def _by_deadline(case: DecisionInput) -> AutomaticStop | None:
    due = deadline_at(case)
    return AutomaticStop(StopSource.DEADLINE) if due is not None and due <= case.now else None


def _by_budget(case: DecisionInput) -> AutomaticStop | None:
    reached = budget.stop_by_budget(case)
    return AutomaticStop(reached.source, reached.word.reason, reached.word.message) if reached is not None else None


def _by_tether(case: DecisionInput) -> AutomaticStop | None:
    why = tether.lost(case.task, case.facts.lease, case.now)
    return AutomaticStop(StopSource.TETHER, why.reason, why.message) if why is not None else None


_STOPS: Final[tuple[Callable[[DecisionInput], AutomaticStop | None], ...]] = (_by_deadline, _by_budget, _by_tether)
"""All of them; the first that strikes is the record. A stop that somebody asked for goes before any."""
