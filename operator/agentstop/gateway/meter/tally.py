"""The sums behind a task's usage. Pure: whatever comes in, in whatever order and however often, is counted once.

Metrics and spans of one process are two views of the same calls. Each has sums of its own, and of each amount the
larger one counts. A counter of a metric is remembered with its value, so that only what it has gone up by is added.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar

from agentstop.gateway.meter.amounts import MONEY, NOTHING, NOTHING_SPENT, Amounts
from agentstop.gateway.meter.evidence import Direct, Evidence, Part, Point, Total

MAX_GROUPS: Final = 64
"""So many processes of one task are kept apart."""

OTHERS: Final = ""
"""The group of all processes beyond that. An agent can make up any number, and must not crowd out what others saw."""

MAX_SERIES: Final = 128
"""So many counters of one task are remembered. What is forgotten first has not gone up for the longest time."""

MAX_SUM: Final = 10**30
"""So much at most can have been added up: with more, which somebody else wrote, nothing could be reckoned."""

MAX_WRITERS: Final = 16
"""Of so many that write the newest number is kept: of each gateway, one for each of its callers."""

T = TypeVar("T")


@dataclass(slots=True)
class Group:
    """What one process told."""

    metrics: Amounts = NOTHING
    spans: Amounts = NOTHING

    @property
    def counted(self) -> Amounts:
        """What of it counts."""
        return self.metrics.largest(self.spans)


@dataclass(slots=True)
class Tally:
    """Sums: either all that was counted for a task, as it is kept with its usage, or what is to be added to them."""

    groups: dict[str, Group] = field(default_factory=dict)
    """By the process; the one that told something last is the last."""
    series: dict[str, tuple[str, Point]] = field(default_factory=dict)
    """Process and newest point of each counter, in the same order."""
    direct: Amounts = NOTHING
    floor: int = -1
    """The latest start of a counter that was forgotten, in seconds. One that began by then may be that one: it counts
    by what it goes up from now on."""
    rest: Decimal = NOTHING_SPENT
    """What was spent and is too little to be written into the usage."""
    writers: dict[str, int] = field(default_factory=dict)
    """The newest write of each that writes: one that was not answered tells by it whether it took place."""

    def __bool__(self) -> bool:
        return bool(self.groups or self.series or self.direct)

    @property
    def size(self) -> int:
        """How many processes and counters it remembers."""
        return len(self.groups) + len(self.series)

    def fits(self, evidence: Evidence) -> bool:
        """Whether there is room for this, too."""
        if isinstance(evidence.what, Total):
            return evidence.what.series in self.series or len(self.series) < MAX_SERIES
        return True

    def note(self, evidence: Evidence) -> None:
        """Take in what is to be added."""
        match evidence.what:
            case Total(series, point):
                former = self.series.get(series)
                if former is None or former[1].tokens < point.tokens or former[1].calls < point.calls:
                    _renew(self.series, series, (evidence.group, point))
            case Part(amounts, span):
                known = evidence.group in self.groups or len(self.groups) < MAX_GROUPS
                self._add(evidence.group if known else OTHERS, amounts, span=span)
            case Direct(amounts):
                self.direct += amounts

    def take(self, other: "Tally") -> Amounts:
        """Add all that another one has, and return by how much more is counted then."""
        before = self._counted(other)
        for name, group in other.groups.items():
            self._add(name, group.metrics, span=False)
            self._add(name, group.spans, span=True)
        for series, (name, point) in other.series.items():
            self._count(series, name, point)
        more = self._counted(other).beyond(before) + other.direct
        self._forget()
        return more

    def _counted(self, other: "Tally") -> Amounts:
        names = {*other.groups, *(name for name, _ in other.series.values())}
        found = NOTHING
        for each in names:
            if each in self.groups:
                found += self.groups[each].counted
        return found

    def _count(self, series: str, name: str, point: Point) -> None:
        former = self.series.get(series)
        if former is None and point.start <= self.floor:
            _renew(self.series, series, (name, point))
            return
        tokens = point.tokens - (former[1].tokens if former is not None else 0)
        calls = point.calls - (former[1].calls if former is not None else 0)
        if tokens <= 0 and calls <= 0:
            return
        _renew(self.series, series, (name, point))
        tokens, calls = max(tokens, 0), max(calls, 0)
        cost = MONEY.multiply(Decimal(tokens), point.price)
        more = Amounts(0, tokens, 0, cost) if point.completion else Amounts(tokens, 0, calls, cost)
        self._add(name, more, span=False)

    def _add(self, name: str, amounts: Amounts, *, span: bool) -> None:
        group = self.groups.get(name) or Group()
        if span:
            group.spans += amounts
        else:
            group.metrics += amounts
        _renew(self.groups, name, group)

    def _forget(self) -> None:
        while len(self.groups) > MAX_GROUPS:
            del self.groups[next(iter(self.groups))]
        while len(self.series) > MAX_SERIES:
            _, point = self.series.pop(next(iter(self.series)))
            self.floor = max(self.floor, point.start)

    # In an annotation

    def text(self) -> str:
        """Return it as text."""
        names = {name: number for number, name in enumerate(self.groups)}
        found = {
            "groups": [[name, _row(each.metrics), _row(each.spans)] for name, each in self.groups.items()],
            "series": [
                # The process of a counter may be forgotten before it.
                [series, names.get(name, -1), each.start, each.tokens, each.calls]
                for series, (name, each) in self.series.items()
            ],
            "floor": self.floor,
            "rest": str(self.rest),
            "writers": dict(list(self.writers.items())[-MAX_WRITERS:]),
        }
        return json.dumps(found, separators=(",", ":"))


def read_tally(text: str | None) -> Tally:
    """Return the sums that a text holds; none where it is no such text, so that what was counted by it starts anew."""
    try:
        found = json.loads(text or "{}")
        groups = {str(name): Group(_amounts(metrics), _amounts(spans)) for name, metrics, spans in found["groups"]}
        names = [*groups, ""]
        return Tally(
            groups=groups,
            series={
                str(series): (names[int(number)], Point(_count(start), False, _count(tokens), _count(calls)))
                for series, number, start, tokens, calls in found["series"]
            },
            floor=int(found["floor"]),
            rest=_money(found["rest"]),
            writers={str(name): int(number) for name, number in found["writers"].items()},
        )
    except (KeyError, ValueError, ArithmeticError, TypeError, AttributeError, IndexError, RecursionError):
        return Tally()


def _row(amounts: Amounts) -> list[Any]:
    return [amounts.prompt, amounts.completion, amounts.turns, str(amounts.cost)]


def _amounts(row: Iterable[Any]) -> Amounts:
    prompt, completion, turns, cost = row
    return Amounts(_count(prompt), _count(completion), _count(turns), _money(cost))


def _count(value: Any) -> int:
    number = int(value)
    if not 0 <= number <= MAX_SUM:
        raise ValueError("no amount")
    return number


def _money(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise ValueError("no decimal") from None
    if not found.is_finite() or not 0 <= found <= MAX_SUM:
        raise ValueError("no amount")
    return found


def _renew(table: dict[str, T], key: str, value: T) -> None:
    """Put something last."""
    table.pop(key, None)
    table[key] = value
