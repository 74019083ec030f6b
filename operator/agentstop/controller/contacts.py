"""When the watches last had contact with the API server: what tells a quiet cluster from a blind operator.

A quiet cluster has no events, and kopf keeps bookmarks to itself. But every watch is asked for anew after 30 seconds
(kopf's `server_timeout`, `REFLECTED_SECONDS` for what we watch ourselves), and the API server answers such a request at
once. A watch that is alive therefore has contact at least that often, however little happens; one that is dead, refused
or cut off has none.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import parse_qs, urlsplit

import aiohttp

from agentstop.api.order import CLUSTER_ORDER_KIND, CLUSTER_ORDER_PLURAL, ORDER_KIND, ORDER_PLURAL
from agentstop.api.task import KIND, PLURAL

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


class Contacts:
    """The newest sign of life of each watch, in Unix seconds."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._newest: dict[tuple[str, str], float] = {}
        self._begun: set[tuple[str, str]] = set()

    def expect(self, namespaces: tuple[str, ...]) -> None:
        """Count from now on, for the watches of these namespaces or of all: one that never begins is blind, too."""
        for plural, kind in KINDS.items():
            if plural not in CLUSTER_WIDE:
                for namespace in namespaces or ("",):
                    self._newest.setdefault((kind, namespace), self._now())
            elif not namespaces:
                self._newest.setdefault((kind, ""), self._now())

    def note(self, url: str) -> None:
        """Take in that the API server has accepted the request of this URL."""
        parts = urlsplit(url)
        if parse_qs(parts.query).get("watch") != ["true"]:
            return
        *above, plural = parts.path.rstrip("/").split("/")
        namespace = above[-1] if above[-2:-1] == ["namespaces"] else ""
        kind = KINDS.get(plural)
        if kind is not None:
            self.heard(kind, namespace)

    def heard(self, kind: str, namespace: str) -> None:
        """Take in that a watch has contact."""
        self._newest[kind, namespace] = self._now()
        self._begun.add((kind, namespace))

    def awaited(self) -> str | None:
        """Return a kind without which no stop can be carried out, and of which a watch has not begun yet."""
        return next((key[0] for key in self._newest if key[0] in NEEDED and key not in self._begun), None)

    def oldest(self) -> Iterator[tuple[str, float]]:
        """Yield each kind with the newest contact of that of its watches that has been silent for longest."""
        kinds: dict[str, float] = {}
        for (kind, _), at in list(self._newest.items()):
            kinds[kind] = min(at, kinds.get(kind, at))
        yield from kinds.items()

    def tracing(self) -> aiohttp.TraceConfig:
        """Return what has a session of aiohttp tell of the answers that it gets."""
        config = aiohttp.TraceConfig()

        async def answered(_: aiohttp.ClientSession, __: object, params: aiohttp.TraceRequestEndParams) -> None:
            if params.response.status < 300:
                self.note(str(params.url))

        config.on_request_end.append(answered)
        return config
