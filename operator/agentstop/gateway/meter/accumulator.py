"""What is to be added to tasks' usages, and when each is to be written. It asks no clock."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum, auto
from typing import Final

from agentstop.gateway.callers import Caller
from agentstop.gateway.entry import Entry
from agentstop.gateway.meter.amounts import MONEY, NOTHING, Amounts
from agentstop.gateway.meter.evidence import Evidence, Point, Total
from agentstop.gateway.meter.limits import Left
from agentstop.gateway.meter.seen import Seen, digest
from agentstop.gateway.meter.tally import MAX_SERIES, Tally
from agentstop.gateway.meter.usage import Change

MAX_SIZE: Final = 100_000
"""So many processes and counters of all tasks together may wait to be written: some 50 MB."""

NEVER: Final = float("inf")

Key = tuple[str, str]
"""A task's UID, and who reports on it."""

LeftOf = Callable[[Entry], Left]


class Taken(Enum):
    """What becomes of something that is to be added."""

    YES = auto()
    """It is taken, or was before."""
    FULL = auto()
    """Too much waits to be written: it may be sent again."""
    CROWDED = auto()
    """One task has more counters than are kept apart: the next export has what they counted."""


@dataclass(slots=True)
class Account:
    """What one caller has reported of one task and is not written yet."""

    entry: Entry
    caller: Caller
    reporter: str
    left: Left
    """What may be spent until a limit is reached, as of the last write."""
    tally: Tally = field(default_factory=Tally)
    at: datetime | None = None
    """When the last of it was spent."""
    estimate: Amounts = NOTHING
    """What will be counted for it, at most."""
    points: dict[str, Point] = field(default_factory=dict)
    """The newest points of its counters."""
    due: float = NEVER
    written_at: float = -NEVER
    change: Change | None = None
    """What is being written, until it is known what became of it."""
    failures: int = 0
    """How often in a row that could not be written."""


class Accumulator:
    """Adds up per task and reporter. Bounded: what there is no room for is not taken."""

    def __init__(self, writer: str, seconds: float, tasks: int, left_of: LeftOf) -> None:
        """`writer` tells this gateway from all others; `seconds` lie at least between two writes of a task."""
        self._writer = writer
        self._seconds = seconds
        self._tasks = tasks
        self._left_of = left_of
        self._accounts: dict[Key, Account] = {}
        self._queue: list[tuple[float, Key]] = []
        self._seen = Seen()
        self._wholes = Seen()
        self._number = 0
        self._size = 0

    def __len__(self) -> int:
        return len(self._accounts)

    @property
    def unwritten(self) -> int:
        """How many accounts have something that is not written."""
        return sum(1 for each in self._accounts.values() if each.tally or each.change is not None)

    def note(self, entry: Entry, caller: Caller, reporter: str, evidence: Evidence, now: float) -> Taken:
        """Take something in; what was taken in before is left out."""
        identity = f"{entry.uid}/{evidence.identity}" if evidence.identity is not None else None
        if identity is not None and (identity in self._seen or identity in self._wholes):
            return Taken.YES
        key = entry.uid, caller.identity
        account = self._accounts.get(key)
        if self._size >= MAX_SIZE:
            return Taken.FULL
        if account is None:
            if len(self._accounts) >= self._tasks:
                return Taken.FULL
            account = self._accounts[key] = Account(entry, caller, reporter, self._left_of(entry))
        if not account.tally.fits(evidence):
            return Taken.CROWDED
        first, size = not account.tally, account.tally.size
        account.tally.note(evidence)
        self._size += account.tally.size - size
        account.estimate += _estimate(evidence, account.points)
        account.entry, account.caller, account.reporter = entry, caller, reporter
        account.at = max((each for each in (account.at, evidence.at) if each is not None), default=None)
        if identity is not None:
            self._seen.add(identity)
        if evidence.parent is not None:
            self._wholes.add(f"{entry.uid}/{evidence.parent}")
        if account.change is None:
            reached = account.left.reached_by(account.estimate)
            if first or (reached and account.due > now):
                self._schedule(key, account, now if reached else max(now, account.written_at + self._seconds))
        return Taken.YES

    # Writing

    def next_due(self) -> float | None:
        """Return when something is to be written; None for nothing."""
        while self._queue:
            due, key = self._queue[0]
            account = self._accounts.get(key)
            if account is not None and account.due == due:
                return due
            heapq.heappop(self._queue)
        return None

    def take_due(self, now: float) -> list[tuple[Key, Account]]:
        """Return what is to be written by now, each with its change. It is returned again only after it has failed."""
        found = []
        while (due := self.next_due()) is not None and due <= now:
            _, key = heapq.heappop(self._queue)
            account = self._accounts[key]
            account.due = NEVER
            if account.change is None and not account.tally:
                del self._accounts[key]  # nothing has come for as long as it would have waited
                continue
            if account.change is None:
                self._number += 1
                # What another account writes of the same task must not tell that this was written.
                writer = f"{self._writer}/{digest(account.caller.identity)[:8]}"
                account.change = Change(account.tally, account.at, account.reporter, writer, self._number)
                account.tally, account.at, account.estimate = Tally(), None, NOTHING
            found.append((key, account))
        return found

    def hurry(self) -> None:
        """Have all that waits be due at once."""
        for key, account in self._accounts.items():
            if account.due != NEVER:  # else it is being written
                self._schedule(key, account, -NEVER)

    def settled(self, key: Key, now: float) -> None:
        """Take in that a change is written, or never will be."""
        account = self._accounts[key]
        self._size -= account.change.tally.size if account.change is not None else 0
        account.change, account.failures, account.written_at = None, 0, now
        account.left = self._left_of(account.entry)
        reached = bool(account.tally) and account.left.reached_by(account.estimate)
        self._schedule(key, account, now if reached else now + self._seconds)

    def failed(self, key: Key, due: float) -> None:
        """Take in that a change could not be written, and when that is to be tried again."""
        account = self._accounts[key]
        account.failures += 1
        self._schedule(key, account, due)

    def _schedule(self, key: Key, account: Account, due: float) -> None:
        account.due = due
        heapq.heappush(self._queue, (due, key))


def _estimate(evidence: Evidence, points: dict[str, Point]) -> Amounts:
    """Return what will be counted for something, at most; a counter is remembered for the next one."""
    if not isinstance(evidence.what, Total):
        return evidence.what.amounts
    series, point = evidence.what.series, evidence.what.point
    former = points.pop(series, None)
    points[series] = point
    if len(points) > MAX_SERIES:
        del points[next(iter(points))]
    tokens = max(point.tokens - (former.tokens if former is not None else 0), 0)
    calls = max(point.calls - (former.calls if former is not None else 0), 0)
    cost = MONEY.multiply(Decimal(tokens), point.price)
    return Amounts(0, tokens, 0, cost) if point.completion else Amounts(tokens, 0, calls, cost)
