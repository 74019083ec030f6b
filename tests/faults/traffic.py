"""What went through the proxy for one namespace, and what is to be broken there."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.faults.places import Place, Places
from tests.faults.points import Fault, Point
from tests.faults.views import Collection
from tests.support.kube import Object

REVIEWS: Final = "authorization.k8s.io"
"""API group of questions that are asked by writing."""

READING: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Target:
    """What a request is about, from its path."""

    group: str
    namespace: str
    resource: str
    name: str = ""
    subresource: str = ""

    @classmethod
    def of(cls, path: str) -> "Target":
        """Read a path of the API."""
        parts = path.strip("/").split("/")
        group = parts[1] if parts[0] == "apis" and len(parts) > 1 else ""
        rest = parts[3:] if parts[0] == "apis" else parts[2:]
        namespace = ""
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        resource, name, subresource = (*rest, "", "", "")[:3]
        return cls(group, namespace, resource, name, subresource)


@dataclass
class Write:
    """One request that changes something."""

    number: int
    verb: str
    path: str
    place: Place
    code: int | None = None
    """What the API server answered; None where it did not get the write."""

    def __str__(self) -> str:
        return f"{self.verb} {self.path} ({self.place.digest})"

    @property
    def target(self) -> Target:
        """What it is about."""
        return Target.of(self.path)

    @property
    def carried_out(self) -> bool:
        """Whether the API server has done it."""
        return self.code is not None and self.code < 400


@dataclass(frozen=True)
class Event:
    """One event that a watch brought."""

    kind: str
    item: Object
    place: Place


@dataclass
class Traffic:
    """All of one namespace, from the moment when it was made."""

    namespace: str
    point: Point | None = None
    """What is to be broken, once."""
    place: Place | None = None
    """Where: the point's number says it of the run that was learned from, and in this one another may have it."""
    witness: Callable[[Any], str | None] = lambda _status: None
    """Is asked of each task's status that is about to be written whether something speaks against it."""
    requests: Counter[str] = field(default_factory=Counter)
    """By verb and resource; watches and lists of all namespaces do not count."""
    writes: list[Write] = field(default_factory=list)
    events: dict[str, list[Event]] = field(default_factory=dict)
    """What the watches brought, by resource."""
    lies: list[str] = field(default_factory=list)
    struck: str = ""
    """What the fault came upon; empty before that."""
    heard_at: float = field(default_factory=time.monotonic)
    """When something was last written or brought."""

    def __post_init__(self) -> None:
        self._places = Places(self.namespace)

    def write(self, verb: str, path: str, body: bytes) -> tuple[Write, Fault | None]:
        """Take in a write; return it, and what is to be done to it."""
        self.stir()
        write = Write(len(self.writes) + 1, verb, path, self._places.of_write(verb, path, body))
        self.writes.append(write)
        return write, self._strike(write.place)

    def event(self, resource: str, watch: Collection, kind: str, item: Object) -> Fault | None:
        """Take in an event of a watch; return what is to be done to it."""
        self.stir()
        event = Event(kind, item, self._places.of_event(watch, kind, item))
        self.events.setdefault(resource, []).append(event)
        return self._strike(event.place)

    def place_of(self, point: Point) -> Place:
        """Return where a point is, if this is the run without a fault that it was learned from."""
        found: Sequence[Write | Event] = self.events[point.resource] if point.resource else self.writes
        return found[point.number - 1].place

    def stir(self) -> None:
        """Take in that something is to be expected from now on."""
        self.heard_at = time.monotonic()

    def silent(self) -> float:
        """Return for how many seconds nothing was written or brought."""
        return time.monotonic() - self.heard_at

    def _strike(self, place: Place) -> Fault | None:
        if self.point is None or self.struck or place != self.place:
            return None
        self.struck = str(place)
        return self.point.fault
