"""When the watches last had contact with the API server: what tells a quiet cluster from a blind operator.

A quiet cluster has no events, and kopf keeps bookmarks to itself. But every watch, kopf's too, is asked for anew after
`Timings.reflected_seconds`, and the API server answers such a request at once. A watch that is alive therefore has
contact at least that often, however little happens; one that is dead, refused or cut off has none.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from agentstop.api.order import CLUSTER_ORDER_KIND, CLUSTER_ORDER_PLURAL, ORDER_KIND, ORDER_PLURAL
from agentstop.api.task import KIND, PLURAL
from agentstop.timings import TIMINGS, Timings

KINDS: Final[Mapping[str, str]] = {
    PLURAL: KIND,
    "pods": "Pod",
    ORDER_PLURAL: ORDER_KIND,
    CLUSTER_ORDER_PLURAL: CLUSTER_ORDER_KIND,
    "namespaces": "Namespace",
}
"""The kinds that are watched for as long as the operator runs, by their plural."""

NEEDED: Final = frozenset({KIND, "Pod"})

CLUSTER_WIDE: Final = frozenset({CLUSTER_ORDER_PLURAL, "namespaces"})


class Watched(NamedTuple):
    """What a watch is of."""

    kind: str
    namespace: str
    """Empty for all namespaces."""


class WatchHealth:
    """The newest sign of life of each watch, in Unix seconds."""

    def __init__(self, now: Callable[[], float] = time.time, timings: Timings = TIMINGS) -> None:
        self._now = now
        self._blind_seconds = timings.blind_seconds
        self._newest: dict[Watched, float] = {}
        self._begun: set[Watched] = set()
        self._problems: dict[Watched, str] = {}
        self.skips: Counter[str] = Counter()
        """How many objects could not be taken in, by kind."""

    def expect(self, namespaces: tuple[str, ...]) -> None:
        """Count from now on, for the watches of these namespaces or of all: one that never begins is blind, too."""
        for plural, kind in KINDS.items():
            if plural not in CLUSTER_WIDE:
                for namespace in namespaces or ("",):
                    self._newest.setdefault(Watched(kind, namespace), self._now())
            elif not namespaces:
                self._newest.setdefault(Watched(kind, ""), self._now())

    def note(self, url: str) -> None:
        """Take in that the API server has accepted the request of this URL."""
        watched = watch_of(url)
        if watched is not None and is_watch(url):
            self.heard(*watched)

    def heard(self, kind: str, namespace: str) -> None:
        """Take in that a watch has contact."""
        watched = Watched(kind, namespace)
        self._newest[watched] = self._now()
        self._begun.add(watched)
        self._problems.pop(watched, None)

    def failed(self, kind: str, namespace: str, problem: str) -> None:
        """Take in why a watch, or the list that it begins with, has none."""
        self._problems[Watched(kind, namespace)] = problem

    def skipped(self, kind: str, number: int = 1) -> None:
        """Take in that objects could not be taken in."""
        self.skips[kind] += number

    def blind(self) -> str | None:
        """Return which watch has had no contact for too long, for how long and why, if there is one."""
        for watched, at in self._newest.items():
            kind, namespace = watched
            silent = self._now() - at
            if silent > self._blind_seconds:
                where = f" in namespace {namespace}" if namespace else ""
                problem = self._problems.get(watched, "the API server does not answer it")
                return f"the watch of {kind}{where} is blind since {silent:.0f} seconds: {problem}"
        return None

    def awaited(self) -> str | None:
        """Return a kind without which no stop can be carried out, and of which a watch has not begun yet."""
        return next((key[0] for key in self._newest if key[0] in NEEDED and key not in self._begun), None)

    def oldest(self) -> Iterator[tuple[str, float]]:
        """Yield each kind with the newest contact of that of its watches that has been silent for longest."""
        kinds: dict[str, float] = {}
        for (kind, _), at in list(self._newest.items()):
            kinds[kind] = min(at, kinds.get(kind, at))
        yield from kinds.items()


def watch_of(url: str) -> Watched | None:
    """Return the watch that a URL asks for, or a list for it."""
    *above, plural = urlsplit(url).path.rstrip("/").split("/")
    namespace = above[-1] if above[-2:-1] == ["namespaces"] else ""
    kind = KINDS.get(plural)
    return Watched(kind, namespace) if kind is not None else None


def is_watch(url: str) -> bool:
    """Whether a URL asks for a watch, as against a list."""
    return parse_qs(urlsplit(url).query).get("watch") == ["true"]
