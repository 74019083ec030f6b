"""What can be broken, and where: one fault at one write or at one event of a watch."""

import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final


class Fault(enum.StrEnum):
    """What is done to one write or to one event."""

    KILLED_BEFORE = "b"
    """The operator is killed before the API server gets the write, and started anew."""
    KILLED_AFTER = "a"
    """It is killed after the API server has carried the write out, and before it hears of that."""
    CONFLICT = "409"
    THROTTLED = "429"
    BROKEN = "500"
    TIMED_OUT = "504"
    """The answer to a write that was carried out."""
    RESET = "reset"
    """The connection is reset before the API server gets the write."""
    LOST = "lost"
    """It is reset after the API server has carried the write out."""
    GARBAGE = "garbage"
    """A write that was carried out is answered with what is no JSON."""
    DROPPED = "dropped"
    """An event is not brought; where no other one of its object comes soon, the watch ends with 410."""
    MERGED = "merged"
    """An event is not brought, but the next one of its object with the type of both; or it comes late."""
    REPEATED = "repeated"
    """An event is brought twice."""
    GONE = "gone"
    """In the place of an event the watch ends with 410."""
    STALE = "stale"
    """The operator is killed, and starts anew on lists from before an event; the events come once it is at work."""
    LEADER_KILLED_BEFORE = "lb"
    """Of two replicas the leader is killed before the API server gets the write; the other one takes over."""
    LEADER_KILLED_AFTER = "la"
    """It is killed after the API server has carried the write out, and before it hears of that."""
    LEADER_FROZEN = "lfrozen"
    """It is frozen, and the write is under way until the other one is at work; then it is told all of it at once."""
    LEADER_STALE = "lstale"
    """The leader is killed soon after an event that the other one has not been brought; that takes over, and is told
    once it is at work."""
    LATE = "late"
    """An event is brought after those of other objects that follow it, but before the next one of its own."""
    LAGGING = "lagging"
    """An event comes late, and so does all that follows it in its watch; other watches go on."""
    FROZEN = "frozen"
    """The operator is frozen for a minute while its write is carried out, and told at once what happened meanwhile."""


class Kind(enum.StrEnum):
    """A family of faults."""

    INTERMEDIATE = "intermediate"
    ERRORS = "errors"
    UNOBSERVED = "unobserved"
    REORDERED = "reordered"
    STALE = "stale"
    FROZEN = "frozen"
    FAILOVER = "failover"


FAULTS: Final[Mapping[Kind, Sequence[Fault]]] = {
    Kind.INTERMEDIATE: (Fault.KILLED_BEFORE, Fault.KILLED_AFTER),
    Kind.ERRORS: (
        Fault.CONFLICT,
        Fault.THROTTLED,
        Fault.BROKEN,
        Fault.TIMED_OUT,
        Fault.RESET,
        Fault.LOST,
        Fault.GARBAGE,
    ),
    Kind.UNOBSERVED: (Fault.DROPPED, Fault.MERGED, Fault.REPEATED, Fault.GONE),
    Kind.REORDERED: (Fault.LATE, Fault.LAGGING),
    Kind.STALE: (Fault.STALE,),
    Kind.FROZEN: (Fault.FROZEN,),
    Kind.FAILOVER: (
        Fault.LEADER_KILLED_BEFORE,
        Fault.LEADER_KILLED_AFTER,
        Fault.LEADER_FROZEN,
        Fault.LEADER_STALE,
    ),
}

ALONE: Final = frozenset(
    {*FAULTS[Kind.INTERMEDIATE], *FAULTS[Kind.STALE], *FAULTS[Kind.FROZEN], *FAULTS[Kind.FAILOVER]}
)
"""Faults that take the operator away, so that nothing else is played behind it."""

WATCH_ENDING: Final = frozenset({Fault.DROPPED, Fault.GONE})
"""Faults with which a watch may end, which is that of others as well."""

BLINDING: Final = frozenset({*FAULTS[Kind.INTERMEDIATE], *FAULTS[Kind.STALE], *WATCH_ENDING})
"""Faults after which nobody may have seen how a pod went. A replica that stands by has seen it."""

AT_EVENTS: Final = frozenset(
    {*FAULTS[Kind.UNOBSERVED], *FAULTS[Kind.REORDERED], *FAULTS[Kind.STALE], Fault.LEADER_STALE}
)
"""All others are at writes."""

_LABEL: Final = re.compile(r"(?:(?P<resource>[a-z]+)\.)?(?P<number>\d+)-?(?P<fault>[a-z]+|\d{3})")


@dataclass(frozen=True)
class Point:
    """One fault at one place. Writes are counted in a scenario from 1 on, and so are the events of each resource."""

    number: int
    fault: Fault
    resource: str = ""
    """Of an event, such as pods; empty for a write."""

    def __str__(self) -> str:
        """Return how it is called on the command line: 3b, 3-409, pods.2-gone."""
        where = f"{self.resource}.{self.number}" if self.resource else str(self.number)
        return f"{where}{'' if self.fault in FAULTS[Kind.INTERMEDIATE] else '-'}{self.fault}"

    @property
    def kind(self) -> Kind:
        """The family of its fault."""
        return next(kind for kind, faults in FAULTS.items() if self.fault in faults)

    @classmethod
    def parse(cls, text: str) -> "Point":
        """Read one as it is called; raises ValueError."""
        found = _LABEL.fullmatch(text)
        try:
            point = cls(int(found["number"]), Fault(found["fault"]), found["resource"] or "") if found else None
        except ValueError:
            point = None
        if point is None or (point.fault in AT_EVENTS) is not bool(point.resource):
            raise ValueError(f"{text!r} is no point: write 3b or 3-409 for the third write, pods.2-gone for an event")
        return point


def points(kind: Kind, writes: int, events: Mapping[str, int]) -> Iterable[Point]:
    """Yield all points of a kind, for so many writes and, by resource, events."""
    for fault in FAULTS[kind]:
        if fault in AT_EVENTS:
            for resource, count in sorted(events.items()):
                yield from (Point(number, fault, resource) for number in range(1, count + 1))
        else:
            yield from (Point(number, fault) for number in range(1, writes + 1))
