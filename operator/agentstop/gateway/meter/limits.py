"""What a task may still spend until a limit is passed, as far as is known here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from agentstop.api.meta import parse_number
from agentstop.gateway.entry import Entry
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.meter.amounts import Amounts
from agentstop.gateway.meter.usage import Spent

MAX_ANCESTORS: Final = 32

SMALL: Final = 64
"""A family up to here is added up each time; what a larger one has spent is remembered for a moment."""

FRESH_SECONDS: Final = 1.0

NONE: Final = Spent(Decimal(0), 0, 0)

SpentOf = Callable[[str], Spent | None]
"""Returns what a task has spent, by its UID; None where that is not known here."""


@dataclass(frozen=True, slots=True)
class Left:
    """So much may be spent and no limit is reached; None where there is none, or it is reached already."""

    cost: Decimal | None = None
    tokens: int | None = None
    turns: int | None = None

    def reached_by(self, amounts: Amounts) -> bool:
        """Whether a limit is reached once this is spent."""
        return (
            (self.cost is not None and amounts.cost >= self.cost)
            or (self.tokens is not None and amounts.prompt + amounts.completion >= self.tokens)
            or (self.turns is not None and amounts.turns >= self.turns)
        )


class Headroom:
    """Reckons what tasks may still spend."""

    def __init__(self, index: TaskIndex, spent_of: SpentOf, clock: Callable[[], float]) -> None:
        self._index = index
        self._spent_of = spent_of
        self._clock = clock
        self._families: dict[str, Spent] = {}
        """What large families have spent, by the UIDs of their heads; for a moment."""
        self._fresh_until = clock()

    def left_of(self, entry: Entry) -> Left:
        """Return what a task may still spend by its own budget and by those of the families that it is in.

        Of a family, what is not known here does not count: then a limit's passing is written a few seconds later.
        """
        cost: list[Decimal] = []
        tokens: list[int] = []
        turns: list[int] = []
        for owner in _owners(entry, self._index):
            budget = owner.spec.get("budget")
            if not isinstance(budget, dict):
                continue
            family = budget.get("scope") == "Family"
            if owner is not entry and not family:
                continue
            known = self._spent_by_family(owner) if family else self._spent_of(owner.uid) or NONE
            cost.append(_money(budget.get("maxCost")) - known.cost)
            tokens.append(parse_number(budget.get("maxTokens")) - known.tokens)
            turns.append(parse_number(budget.get("maxTurns")) - known.turns)
        return Left(
            min((each for each in cost if each > 0), default=None),
            min((each for each in tokens if each > 0), default=None),
            min((each for each in turns if each > 0), default=None),
        )

    def _spent_by_family(self, head: Entry) -> Spent:
        """Return what a family has spent. A large one is not added up each time that something of it is written."""
        now = self._clock()
        if now >= self._fresh_until:
            self._families.clear()
            self._fresh_until = now + FRESH_SECONDS
        if (found := self._families.get(head.uid)) is not None:
            return found
        members = [head, *self._index.descendants(head.key)]
        known = [each for each in (self._spent_of(member.uid) for member in members) if each is not None]
        found = Spent(
            sum((each.cost for each in known), Decimal(0)),
            sum(each.tokens for each in known),
            sum(each.turns for each in known),
        )
        if len(members) > SMALL:
            self._families[head.uid] = found
        return found


def _owners(entry: Entry, index: TaskIndex) -> Iterator[Entry]:
    """Yield a task and its ancestors."""
    current: Entry | None = entry
    for _ in range(MAX_ANCESTORS):
        if current is None:
            return
        yield current
        current = index.named(current.parent) if current.parent is not None else None


def _money(value: Any) -> Decimal:
    try:
        found = Decimal(value) if isinstance(value, str) else Decimal(0)
    except InvalidOperation:
        return Decimal(0)
    return found if found.is_finite() else Decimal(0)
