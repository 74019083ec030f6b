"""What a limit would have done to a task that has ended, as far as its own record tells."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from agentstop.words.durations import moment, spell
from agentstop.words.tasks import Object, name_of, namespace_of, phase_of, status_of, stop_of
from agentstop.words.usage import cost_of, count_of, money, usage_of


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits to try; None where there is none."""

    cost: Decimal | None = None
    currency: str = "USD"
    tokens: int | None = None
    turns: int | None = None
    idle_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Strike:
    """A limit that would have stopped the task."""

    limit: str
    """cost, tokens, turns or silence."""
    said: str
    """How far the task went beyond it: `10.00 of 40.02 USD`."""
    at: datetime | None
    """When; None where the record does not tell."""
    exact: bool
    """Whether the moment is on record. Else it is what follows if the task has used as much in each second."""
    percent: int | None
    """How much of its time the task had run by then."""
    spared: Decimal | None = None
    """What it would not have cost; only for a limit of cost."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What the limits would have done to one task."""

    task: Object
    strikes: tuple[Strike, ...]
    """The first one first, where the moments are known."""
    untold: tuple[str, ...]
    """Limits of which the record tells nothing."""

    def data(self) -> dict[str, Any]:
        """Return it for machines."""
        first = self.strikes[0] if self.strikes else None
        return {
            "namespace": namespace_of(self.task),
            "name": name_of(self.task),
            "phase": phase_of(self.task),
            "wouldStop": bool(self.strikes),
            "limit": first.limit if first else None,
            "said": first.said if first else None,
            "at": first.at.isoformat() if first and first.at else None,
            "exact": first.exact if first else None,
            "percent": first.percent if first else None,
            "spared": f"{first.spared:f}" if first and first.spared is not None else None,
            "untold": list(self.untold),
        }


def replayed(task: Object, limits: Limits) -> Replay:
    """Return what the limits would have done to a task that has ended."""
    usage = usage_of(task)
    strikes = [*_counted(task, usage, limits), *_silent(task, usage, limits)]
    strikes.sort(key=lambda each: (each.at is None, each.at.timestamp() if each.at else 0.0))
    return Replay(task, tuple(strikes), tuple(_untold(usage, limits)))


def _counted(task: Object, usage: dict[str, Any], limits: Limits) -> Iterator[Strike]:
    cost = cost_of(usage)
    priced = cost is not None and usage.get("currency") == limits.currency
    if limits.cost is not None and cost is not None and priced and cost >= limits.cost:
        said = f"{money(limits.cost)} of {money(cost)} {limits.currency}"
        yield _steadily(task, "cost", said, float(limits.cost / cost), cost - limits.cost)
    for what, most, field in (("tokens", limits.tokens, "totalTokens"), ("turns", limits.turns, "turns")):
        used = count_of(usage, field)
        if most is not None and used >= most:
            yield _steadily(task, what, f"{most:,} of {used:,} {what}", most / used)


def _steadily(task: Object, limit: str, said: str, part: float, spared: Decimal | None = None) -> Strike:
    start, end = moment(status_of(task).get("startedAt")), _end(task)
    at = start + (end - start) * part if start is not None and end is not None and end > start else None
    return Strike(limit, said, at, exact=False, percent=round(part * 100) if at else None, spared=spared)


def _silent(task: Object, usage: dict[str, Any], limits: Limits) -> Iterator[Strike]:
    active, end = moment(usage.get("lastActivityAt")), _end(task)
    start = moment(status_of(task).get("startedAt"))
    if limits.idle_seconds is None or active is None or end is None:
        return
    quiet = (end - active).total_seconds()
    if quiet >= limits.idle_seconds:
        at = active + timedelta(seconds=limits.idle_seconds)
        ran = (end - start).total_seconds() if start is not None else 0.0
        percent = round((at - start).total_seconds() * 100 / ran) if start is not None and ran > 0 else None
        yield Strike("silence", f"{spell(limits.idle_seconds)} of {spell(quiet)} of silence", at, True, percent)


def _untold(usage: dict[str, Any], limits: Limits) -> Iterator[str]:
    if limits.cost is not None and (cost_of(usage) is None or usage.get("currency") != limits.currency):
        yield "cost"
    for what, most in (("tokens", limits.tokens), ("turns", limits.turns)):
        if most is not None and not usage:
            yield what
    if limits.idle_seconds is not None and not usage.get("lastActivityAt"):
        yield "silence"


def _end(task: Object) -> datetime | None:
    """Return until when it ran undisturbed."""
    return moment(stop_of(task).get("acceptedAt")) or moment(status_of(task).get("finishedAt"))
