"""What a task may spend, how long it may be silent, and whom it must not outlive: `spec.budget` and `spec.tether`."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from agentstop.api.meta import MAX_SECONDS, NAME_PATTERN, Model, Seconds, rule, schema
from agentstop.api.money import DEFAULT_CURRENCY, IS_AMOUNT, IS_CURRENCY, MAX_MONEY, Amount, Currency
from agentstop.api.usage import MAX_COUNT, Count

DEFAULT_BUDGET_ANNOTATION: Final = "agentstop.dev/default-budget"
"""Annotation on a Namespace: the budget of each task in it that has none, as JSON or YAML."""

LIMITED: Final = rule(
    "has(self.maxCost) || has(self.maxTokens) || has(self.maxTurns) || has(self.maxIdleSeconds)",
    "budget limits nothing; give at least one of maxCost, maxTokens, maxTurns and maxIdleSeconds",
)


Percent = Annotated[int, Field(json_schema_extra={"format": "int32"})]
"""A part of a hundred."""


class BudgetScope(StrEnum):
    """Whose usage counts."""

    TASK = "Task"
    FAMILY = "Family"


class BudgetAction(StrEnum):
    """What happens when a limit is reached."""

    STOP = "Stop"
    PAUSE = "Pause"
    OBSERVE = "Observe"


class Budget(Model):
    """What a task may spend, and for how long it may be silent."""

    max_cost: Amount | None = Field(
        None,
        max_length=MAX_MONEY,
        json_schema_extra=schema(
            IS_AMOUNT,
            rule(f"!({IS_AMOUNT['rule']}) || double(self) > 0.0", "must be more than 0; leave it out for no limit"),
        ),
    )
    """What the task may cost, in currency: a decimal number as text, such as "40.00", with at most 9 digits before the point and 6 after it. May be raised and lowered."""  # noqa: E501
    currency: Currency = Field(DEFAULT_CURRENCY, max_length=MAX_MONEY, json_schema_extra=schema(IS_CURRENCY))
    """The currency of maxCost, as its code of three letters. Where costs are reported in another one, maxCost is not compared with them, and condition BudgetExceeded says so."""  # noqa: E501
    max_tokens: Count | None = Field(None, ge=1, le=MAX_COUNT)
    """How many tokens the task may use in all."""
    max_turns: Count | None = Field(None, ge=1, le=MAX_COUNT)
    """How many times the task may ask a model."""
    max_idle_seconds: Seconds | None = Field(None, ge=1, le=MAX_SECONDS)
    """For how many seconds the task may run without any reported activity and without a second sign of life. Time in pause does not count. Where nothing was ever reported, nothing follows."""  # noqa: E501
    scope: BudgetScope = Field(BudgetScope.TASK)
    """Whose usage counts: Task (the default), or Family, which counts what descends from the task, too."""
    action: BudgetAction = Field(BudgetAction.STOP)
    """What happens at a limit: Stop (the default) stops the task, Pause pauses it, and Observe says so and does nothing."""  # noqa: E501
    warn_percent: Percent | None = Field(None, ge=1, le=99)
    """From how many percent of maxCost, maxTokens or maxTurns on condition BudgetExceeded warns."""


class Tether(Model):
    """Whom the task must not outlive: whoever renews a Lease."""

    lease_name: str = Field(min_length=1, max_length=253, pattern=NAME_PATTERN)
    """Name of a Lease (coordination.k8s.io) in the task's namespace. When nobody renews it any more, the task is stopped, and all that descends from it."""  # noqa: E501
