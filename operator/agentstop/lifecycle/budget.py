"""Budgets: what was spent against what may be, and what follows where a limit is reached."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from agentstop.api.budget import Budget, BudgetAction
from agentstop.api.task import Phase, StopSource
from agentstop.lifecycle import idle
from agentstop.lifecycle.decision import DecisionInput
from agentstop.lifecycle.observation import Reason
from agentstop.lifecycle.usage import Usage
from agentstop.words.usage import money

WITHIN: Final = Reason("WithinBudget", "No limit of the budget is reached")
NOTHING_REPORTED: Final = Reason(
    "NoSignal", "nobody has reported any usage in the TaskUsage of this task's name, so that the budget has no effect"
)
FOREIGN: Final = Reason(
    "UsageNotOwned",
    "the TaskUsage of this task's name was there before the task, so that it does not count and the budget has no"
    " effect: delete it, and have the usage reported anew",
)


class Level(StrEnum):
    """How a task stands to its budget; the status of condition BudgetExceeded."""

    EXCEEDED = "True"
    WITHIN = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a task stands to its budget, and why."""

    level: Level
    word: Reason
    source: StopSource = StopSource.BUDGET
    """What a stop would come from that follows from it."""


@dataclass(frozen=True, slots=True)
class _Limit:
    """One limit, and what was used of it."""

    reason: str
    most: Decimal
    used: Decimal
    said: str


def judge(case: DecisionInput) -> Judgement | None:
    """Return how a task stands to its budget; None where it has none, or nothing is known yet."""
    budget, facts = case.budget, case.facts
    if facts.unknown:
        return None
    if budget is None:
        return Judgement(Level.UNKNOWN, facts.problem) if facts.problem is not None else None
    usage = case.counted(budget)
    found = compare(budget, usage, foreign=facts.foreign)
    if found.level is Level.EXCEEDED or usage is None or not idle.is_idle(case, budget):
        return found
    assert usage.last_activity_at is not None  # noqa: S101  (what is idle was active; this tells the type checker)
    since = f"no activity since {usage.last_activity_at:%Y-%m-%d %H:%M:%S} UTC; {budget.max_idle_seconds} s are allowed"
    return Judgement(Level.EXCEEDED, Reason("Idle", since), StopSource.IDLE)


def compare(budget: Budget, usage: Usage | None, *, foreign: bool = False) -> Judgement:
    """Return how what was reported stands to a budget; `foreign` is what is there and is not the task's own."""
    if usage is None:
        return Judgement(Level.UNKNOWN, FOREIGN if foreign else NOTHING_REPORTED)
    limits = list(_limits(budget, usage))
    for each in limits:
        if each.used >= each.most:
            return Judgement(Level.EXCEEDED, Reason(each.reason, each.said))
    unknown = _cannot_be_compared(budget, usage)
    if unknown is not None:
        return Judgement(Level.UNKNOWN, unknown)
    warned = [each for each in limits if budget.warn_percent and each.used * 100 >= each.most * budget.warn_percent]
    return Judgement(Level.WITHIN, Reason("Warning", warned[0].said) if warned else WITHIN)


def _limits(budget: Budget, usage: Usage) -> Iterator[_Limit]:
    """Yield the limits that can be compared: money first, since it is what counts."""
    if budget.max_cost is not None and usage.cost is not None and _priced(budget, usage):
        most = Decimal(budget.max_cost)
        said = f"{money(usage.cost)} of {money(most)} {budget.currency}"
        yield _Limit("CostExceeded", most, usage.cost, said)
    for reason, most_of, used, what in (
        ("TokensExceeded", budget.max_tokens, usage.tokens, "tokens"),
        ("TurnsExceeded", budget.max_turns, usage.turns, "turns"),
    ):
        if most_of is not None:
            yield _Limit(reason, Decimal(most_of), Decimal(used), f"{used:,} of {most_of:,} {what}")


def _priced(budget: Budget, usage: Usage) -> bool:
    return usage.cost is None or (usage.currency == budget.currency and not usage.mixed)


def _cannot_be_compared(budget: Budget, usage: Usage) -> Reason | None:
    if budget.max_cost is not None and not _priced(budget, usage):
        found = "several currencies" if usage.mixed else usage.currency
        message = f"costs are reported in {found}, and maxCost is in {budget.currency}, so that it has no effect"
        return Reason("CurrencyDiffers", message)
    if budget.max_idle_seconds is not None and usage.last_activity_at is None:
        return Reason("NoSignal", "no lastActivityAt was ever reported, so that maxIdleSeconds has no effect")
    return None


def action_of(case: DecisionInput) -> BudgetAction | None:
    """Return what is to be done since a limit is reached; None where none is.

    A pod that somebody else made cannot be paused, as nobody would make it again: it is stopped instead.
    """
    judgement, budget = judge(case), case.budget
    if judgement is None or judgement.level is not Level.EXCEEDED or budget is None:
        return None
    if budget.action is BudgetAction.PAUSE and not case.task.pausable:
        return BudgetAction.STOP
    return budget.action


def stop_by_budget(case: DecisionInput) -> Judgement | None:
    """Return the limit at which the task is to be stopped now, if one is reached.

    Not for as long as it is paused: nothing of it runs, and whoever paused it may raise the limit.
    """
    held = case.phase is Phase.PAUSED and case.task.to_be_paused
    return judge(case) if not held and action_of(case) is BudgetAction.STOP else None


def pauses(case: DecisionInput) -> bool:
    """Whether the task has to be paused by its budget, or by that of a task above it."""
    above = case.family.over_budget is not None and case.task.pausable
    return not case.task.to_be_paused and (above or action_of(case) is BudgetAction.PAUSE)


def look_again_at(case: DecisionInput) -> datetime | None:
    """Return when the budget has to be looked at again though nothing is reported."""
    return idle.look_again_at(case, case.budget) if case.budget is not None else None
