"""What a signal says was spent, read and not yet counted."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from agentstop.gateway.meter.amounts import NOTHING_SPENT, Amounts


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose it is, in the words of whoever sent it."""

    namespace: str | None = None
    task: str | None = None
    pod: str | None = None
    pod_uid: str | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """A counter that only goes up, as it was at one moment."""

    start: int
    """When it began at 0, in seconds since 1970."""
    completion: bool
    """Whether it counts what came out of a model, and not what went in."""
    tokens: int
    calls: int
    price: Decimal = NOTHING_SPENT
    """Of one token."""


@dataclass(frozen=True, slots=True)
class Total:
    """A sum so far: a point of a cumulative metric."""

    series: str
    """Tells it from all other counters of the task, those of other starts among them."""
    point: Point


@dataclass(frozen=True, slots=True)
class Part:
    """What is to be added: a span, a point of a delta metric."""

    amounts: Amounts
    span: bool
    """Whether a span tells it, and not a metric."""


@dataclass(frozen=True, slots=True)
class Direct:
    """What is to be added whatever else is told: a report of a call that no other signal shows."""

    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was told."""

    what: Total | Part | Direct
    at: datetime | None
    """When it was spent; None where that was not said."""
    identity: str | None = None
    """The same each time that the same is told again; None where that cannot be known, or does no harm."""
    group: str = ""
    """The process that told it: its metrics and its spans are two views of the same calls."""
    parent: str | None = None
    """Identity of the span that this one is a part of."""

    def moved(self, at: datetime) -> "Evidence":
        """Return the same of another moment."""
        return replace(self, at=at)
