"""What has changed since a moment, on any replica: marks of how far somebody has read, and what is gone since.

A mark has the resource version that each watch has come to, in the order of the watches. Versions of one kind
can be compared, and all replicas watch the same things: so a mark that one replica gave counts on each of them, and
none has to keep anything for a client that may come back.
Source: https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/5504-comparable-resource-version
"""

import re
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from agentstop.api.order import CLUSTER_ORDER_KIND, ORDER_KIND
from agentstop.api.task import KIND
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.large_objects import NamespacedName
from agentstop.cluster.reflector import Source
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.order_index import OrderIndex, uid_of

MAX_GONE: Final = 10_000
"""So many objects that are gone are remembered."""

_MARK: Final = re.compile(r"[0-9]{1,19}(\.[0-9]{1,19}){0,199}")


@dataclass(frozen=True, slots=True)
class Gone:
    """An object that is there no more."""

    kind: str
    uid: str
    key: NamespacedName
    version: int
    """The version at which it went."""


class _Watch:
    """How far one watch has come."""

    def __init__(self) -> None:
        self.mark = 0
        """Up to here all was told."""
        self.floor: int | None = None
        """From here on all that went is known; None while that is not known of any version."""
        self.gone: deque[Gone] = deque()


class Changes:
    """Hands what reflectors tell to the indexes, and keeps how far each of them has come."""

    def __init__(
        self, tasks: TaskIndex, orders: OrderIndex, namespaces: Sequence[str] = (), max_gone: int = MAX_GONE
    ) -> None:
        """`namespaces` are those that are watched; none are all."""
        self.tasks = tasks
        self.orders = orders
        self.sources = tuple(Source(kind, each) for kind in (KIND, ORDER_KIND) for each in namespaces or ("",))
        """What is to be watched."""
        if not namespaces:
            # As with an operator of single namespaces: the orders of the whole cluster are no business of its.
            self.sources += (Source(CLUSTER_ORDER_KIND, ""),)
        self._watches = {(each.kind, each.namespace): _Watch() for each in self.sources}
        self._max_gone = max_gone

    def watches(self, kind: str, namespace: str = "") -> bool:
        """Whether objects of a kind are told of in a namespace, or (empty) in all."""
        return self.source_of(kind, namespace) in self._watches

    def expect(self) -> None:
        """Count from now on: nothing is known of what was not listed yet."""
        self.tasks.expect(tuple(each.namespace for each in self.sources if each.kind == KIND))
        self.orders.expect((each.kind, each.namespace) for each in self.sources if each.kind != KIND)

    def mark(self) -> str:
        """Return how far has been told of: all up to here was told to listeners."""
        return ".".join(str(each.mark) for each in self._watches.values())

    def since(self, mark: str) -> "Since | None":
        """Return what has changed since a mark; None where that is not known, or it is none."""
        if not _MARK.fullmatch(mark):
            return None
        versions = [int(each) for each in mark.split(".")]
        if len(versions) != len(self._watches):
            return None
        for version, watch in zip(versions, self._watches.values(), strict=True):
            if watch.floor is None or version < watch.floor:
                return None
        return Since(self, dict(zip(self._watches, versions, strict=True)))

    def gone(self, versions: dict[tuple[str, str], int]) -> Iterator[Gone]:
        """Yield what went after these versions."""
        for key, watch in self._watches.items():
            yield from (each for each in watch.gone if each.version > versions[key])

    def source_of(self, kind: str, namespace: str) -> tuple[str, str]:
        """Return by which watch an object is told of."""
        return (kind, namespace) if (kind, namespace) in self._watches else (kind, "")

    def leave_out(self, sources: Collection[Source]) -> None:
        """Have these not watched; to be called before anything was told."""
        self.sources = tuple(each for each in self.sources if each not in sources)
        for each in sources:
            del self._watches[each.kind, each.namespace]

    # What reflectors tell

    def changed(self, kind: str, event: str | None, raw: JsonObject) -> None:
        """Take in an object that was listed, or an event of a watch."""
        (self.tasks if kind == KIND else self.orders).changed(kind, event, raw)
        namespace = raw["metadata"].get("namespace", "")
        watch = self._watches[self.source_of(kind, namespace)]
        version = version_of(raw)
        if event is None or watch.floor is None:
            watch.floor = None  # what went before a list is not known
        elif version <= watch.mark:
            watch.floor = watch.mark + 1  # it was read late, and somebody who came and left meanwhile has missed it
        if event == "DELETED":
            watch.gone.append(Gone(kind, uid_of(raw), NamespacedName(namespace, raw["metadata"]["name"]), version))
            if len(watch.gone) > self._max_gone:
                oldest = watch.gone.popleft().version
                watch.floor = max(watch.floor, oldest) if watch.floor is not None else None

    def reached(self, source: Source, version: str) -> None:
        """Take in that all up to a version was told."""
        watch = self._watches[source.kind, source.namespace]
        watch.mark = max(watch.mark, number_of(version))
        if watch.floor is None:
            watch.floor = watch.mark

    def missing(self, kind: str, name: NamespacedName, uid: str) -> None:
        """Take in that an object is there no more."""
        (self.tasks if kind == KIND else self.orders).missing(kind, name, uid)
        self._watches[self.source_of(kind, name.namespace)].floor = None

    def heard(self, kind: str, namespace: str) -> None:
        """Take in that a watch is alive."""
        (self.tasks if kind == KIND else self.orders).heard(kind, namespace)

    def failed(self, kind: str, namespace: str, problem: str) -> None:
        """Take in why a watch is not."""
        (self.tasks if kind == KIND else self.orders).failed(kind, namespace, problem)

    def skipped(self, kind: str, number: int = 1) -> None:
        """Take in that objects could not be taken in."""
        (self.tasks if kind == KIND else self.orders).skipped(kind, number)


class Since:
    """What has changed since a mark."""

    def __init__(self, changes: Changes, versions: dict[tuple[str, str], int]) -> None:
        self._changes = changes
        self._versions = versions

    def newer(self, kind: str, namespace: str, version: int) -> bool:
        """Whether an object at this version is newer."""
        return version == 0 or version > self._versions[self._changes.source_of(kind, namespace)]

    def gone(self) -> Iterator[Gone]:
        """Yield what is there no more."""
        return self._changes.gone(self._versions)


def version_of(raw: JsonObject) -> int:
    """Return an object's resource version; 0 where it is no number."""
    return number_of(raw["metadata"].get("resourceVersion"))


def number_of(version: object) -> int:
    """Return a resource version as a number; 0 where it is none."""
    return int(version) if isinstance(version, str) and version.isdecimal() and len(version) < 20 else 0
