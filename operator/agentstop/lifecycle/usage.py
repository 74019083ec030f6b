"""What was spent: reading it, adding it up, and how it is written down."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from agentstop.api.money import DEFAULT_CURRENCY
from agentstop.api.usage import Spent, TaskUsageSpec, UsageStatus

NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What was counted of one task, or of several together."""

    cost: Decimal | None = None
    """None where no cost was reported."""
    currency: str = DEFAULT_CURRENCY
    mixed: bool = False
    """Whether costs in several currencies were reported, which nobody can add up."""
    tokens: int = 0
    turns: int = 0
    last_activity_at: datetime | None = None

    def plus(self, other: "Usage") -> "Usage":
        """Return what both have spent together."""
        costs = [each for each in (self, other) if each.cost is not None]
        active = [each.last_activity_at for each in (self, other) if each.last_activity_at is not None]
        return Usage(
            cost=sum((each.cost for each in costs if each.cost is not None), NOTHING) if costs else None,
            currency=costs[0].currency if costs else self.currency,
            mixed=self.mixed or other.mixed or len({each.currency for each in costs}) > 1,
            tokens=self.tokens + other.tokens,
            turns=self.turns + other.turns,
            last_activity_at=max(active, default=None),
        )

    def spent(self) -> Spent:
        """Return it as a status says it."""
        return Spent(**self._numbers())

    def status(self, now: datetime, family: "Usage | None") -> UsageStatus:
        """Return it as what is known of a task, with that of its family where it counts."""
        return UsageStatus(
            **self._numbers(),
            last_activity_at=self.last_activity_at,
            as_of=now,
            family=family.spent() if family is not None else None,
        )

    def _numbers(self) -> dict[str, str | int | None]:
        priced = self.cost is not None and not self.mixed
        return {
            "cost": f"{self.cost:f}" if priced else None,
            "currency": self.currency if priced else None,
            "total_tokens": self.tokens,
            "turns": self.turns,
        }


def read_usage(spec: TaskUsageSpec, heard_at: datetime) -> Usage:
    """Return what a report says that was heard of at this moment.

    A clock that goes ahead must not keep a task active for years: what is said to be yet to come was when it was heard.
    """
    at = spec.last_activity_at
    return Usage(
        cost=Decimal(spec.cost) if spec.cost is not None else None,
        currency=spec.currency,
        tokens=max(spec.total_tokens or 0, (spec.prompt_tokens or 0) + (spec.completion_tokens or 0)),
        turns=spec.turns or 0,
        last_activity_at=min(at, heard_at).astimezone(UTC) if at is not None else None,
    )


def since(usage: Usage, before: Spent | None) -> Spent:
    """Return what was spent on top of what was spent before."""
    if before is None:
        return usage.spent()
    same = before.cost is None or before.currency == usage.currency
    cost = usage.cost - Decimal(before.cost or 0) if usage.cost is not None and same else None
    more = replace(
        usage,
        cost=max(cost, NOTHING) if cost is not None else None,
        tokens=max(usage.tokens - before.total_tokens, 0),
        turns=max(usage.turns - before.turns, 0),
    )
    return more.spent()
