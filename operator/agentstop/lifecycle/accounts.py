"""What a task's status says of its usage: at every change of phase, and no more often than so otherwise."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from agentstop.api.meta import Condition, ConditionType, find_condition
from agentstop.api.task import AgentTaskStatus, StopStatus
from agentstop.api.usage import Spent, UsageStatus
from agentstop.lifecycle.budget import judge
from agentstop.lifecycle.conditions import dated
from agentstop.lifecycle.decision import DecisionInput
from agentstop.lifecycle.usage import Usage, since

WRITE_INTERVAL: Final = timedelta(seconds=30)
"""A change of the usage alone is written so long after the last one: whoever reports may do so all the time."""


@dataclass(frozen=True, slots=True)
class _News:
    """What is known now of a task's usage, against what its status says."""

    usage: UsageStatus | None
    """None where it says the same already, or nothing is known."""
    due_at: datetime | None
    """Until when that may wait to be written."""


def accounted(case: DecisionInput, status: AgentTaskStatus) -> AgentTaskStatus:
    """Return the status of a task with its usage, and with how it stands to its budget."""
    before, news = case.task.status, _news(case)
    condition = _condition(case)
    former = find_condition(before.conditions, ConditionType.BUDGET_EXCEEDED)
    turned = (
        (condition.status, condition.reason) != (former.status, former.reason) if condition and former else condition
    )
    moved = status.phase is not before.phase or bool(turned)
    due = news.usage is not None and (moved or news.due_at is None or news.due_at <= case.now)
    if condition is not None and former is not None and not turned and news.usage is not None and not due:
        condition = former  # its numbers would have to be written each time that something is reported
    kept = tuple(each for each in status.conditions if each.type != ConditionType.BUDGET_EXCEEDED)
    conditions = (*kept, condition) if condition is not None else kept
    status = status.but(conditions=conditions, usage=before.usage)
    if not due:
        return status
    return status.but(usage=news.usage, stop=_with_late(case, status.stop))


def look_again_at(case: DecisionInput) -> datetime | None:
    """Return when a change of the usage is to be written that still waits."""
    until = _news(case).due_at
    return until if until is not None and until > case.now else None


def _news(case: DecisionInput) -> _News:
    facts, before = case.facts, case.task.status.usage
    own = facts.usage or (Usage() if facts.family_usage is not None else None)
    if own is None or facts.unknown:
        return _News(None, None)
    found = own.status(case.now, facts.family_usage)
    if before is None:
        return _News(found, None)
    if found.but(as_of=before.as_of) == before:
        return _News(None, None)
    return _News(found, min(before.as_of, case.now) + WRITE_INTERVAL)


def _with_late(case: DecisionInput, stop: StopStatus | None) -> StopStatus | None:
    """Return the record of a stop with what was reported since its acceptance."""
    if stop is None or case.facts.usage is None:
        return stop
    late = since(case.facts.usage, stop.usage_at_acceptance)
    return stop.but(usage_after=late if _is_something(late) else None)


def _is_something(spent: Spent) -> bool:
    return bool(Decimal(spent.cost or 0) or spent.total_tokens or spent.turns)


def _condition(case: DecisionInput) -> Condition | None:
    """Return how the task stands to its budget. That of a task that is stopped stays as it was at the acceptance."""
    before = case.task.status
    if before.stop is not None or case.phase.terminal or case.facts.unknown:
        return find_condition(before.conditions, ConditionType.BUDGET_EXCEEDED)
    found = judge(case)
    if found is None:
        return None
    (condition,) = dated([(ConditionType.BUDGET_EXCEEDED, found.level, found.word)], before.conditions, case.now)
    return condition
