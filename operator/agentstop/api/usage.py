"""TaskUsage: what a task has spent so far, counted by whoever sees it, apart from the task."""

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from agentstop.api.meta import API_VERSION, Model, Time, parse_time, rule, schema
from agentstop.api.money import DEFAULT_CURRENCY, IS_AMOUNT, IS_CURRENCY, MAX_MONEY, Amount, Currency

USAGE_KIND: Final = "TaskUsage"
USAGE_PLURAL: Final = "taskusages"

MAX_COUNT: Final = 10**15
"""The most that anything is counted to: JavaScript and jq, too, read such numbers exactly."""

Count = Annotated[int, Field(json_schema_extra={"format": "int64"})]
"""A number of things."""


def only_up(name: str) -> str:
    """Return what is said where a number goes down."""
    return f"spec.{name} cannot go down or be removed: it counts all that the task has used"


class TaskUsageSpec(Model):
    """What was counted so far. No number ever goes down."""

    prompt_tokens: Count | None = Field(None, ge=0, le=MAX_COUNT)
    """Tokens that went into the models."""
    completion_tokens: Count | None = Field(None, ge=0, le=MAX_COUNT)
    """Tokens that came out of the models."""
    total_tokens: Count | None = Field(None, ge=0, le=MAX_COUNT)
    """Tokens in all. Where it is less than promptTokens and completionTokens together, or absent, these count."""
    cost: Amount | None = Field(
        None,
        max_length=MAX_MONEY,
        # As doubles, which keep the 15 digits of an amount apart.
        json_schema_extra=schema(
            IS_AMOUNT, rule(f"!({IS_AMOUNT['rule']}) || double(self) >= double(oldSelf)", only_up("cost"))
        ),
    )
    """What the work has cost so far, in currency: a decimal number as text, such as "12.41", with at most 9 digits before the point and 6 after it."""  # noqa: E501
    currency: Currency = Field(
        DEFAULT_CURRENCY,
        max_length=MAX_MONEY,
        json_schema_extra=schema(
            IS_CURRENCY, rule("self == oldSelf", "is immutable: costs of two currencies cannot be added up")
        ),
    )
    """The currency of cost, as its code of three letters. Cannot be changed. A budget in another one is not compared with it."""  # noqa: E501
    turns: Count | None = Field(None, ge=0, le=MAX_COUNT)
    """How many times the agent has asked a model."""
    last_activity_at: Annotated[Time | None, BeforeValidator(parse_time)] = None
    """When the agent last did something that was counted. Never goes back."""
    reported_by: str | None = Field(None, min_length=1, max_length=253)
    """Who counts, for people; such as litellm."""


class TaskUsage(Model):
    """What the task of the same name has spent so far. Whoever counts writes it, so that counting never touches the task; it goes with its task."""  # noqa: E501

    api_version: Literal["agentstop.dev/v1alpha1"] = API_VERSION
    kind: Literal["TaskUsage"] = USAGE_KIND
    metadata: dict[str, Any]
    spec: TaskUsageSpec


class Spent(Model):
    """How much was spent, as it is written down in a status."""

    cost: str | None = None
    """What it has cost, as a decimal number; absent where no cost was reported."""
    currency: str | None = None
    """The currency of cost."""
    total_tokens: int = Field(0, ge=0)
    """Tokens in all."""
    turns: int = Field(0, ge=0)
    """How many times a model was asked."""


class UsageStatus(Spent):
    """What is known of a task's usage."""

    last_activity_at: Time | None = None
    """When something was last counted; never later than it was heard of."""
    as_of: Time
    """When this was written down. The TaskUsage is newer by 30 seconds at most, while the task runs."""
    family: Spent | None = None
    """The same with all that descends from the task; only where the budget's scope is Family."""
