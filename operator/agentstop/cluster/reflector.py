"""All objects of a kind in a namespace: listed first, watched from then on, and compared with a new list after a gap.

This is what client-go calls a reflector. kopf watches what is rare. Of tasks and pods there are thousands, and a stop
waits for their events: to kopf a single one costs more than to us all that follows from it.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, Protocol

from agentstop.api.order import CLUSTER_ORDER_KIND
from agentstop.cluster.decoding import JsonObject, is_object
from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.large_objects import FairQueue, NamespacedName, pause_after
from agentstop.cluster.transport import UNREACHABLE, UNREADABLE
from agentstop.cluster.watching import BOOKMARK, UNREAD, UNREAD_ENDING
from agentstop.timings import TIMINGS, Timings

log = logging.getLogger(__name__)

RENEWAL_PAUSE_SECONDS: Final = 0.02
"""Between a watch that has lasted its time and the next one."""

TURN_SECONDS: Final = 0.005
"""For so long listed objects are told of at once, or for one of them: stops and probes come in between."""

GONE: Final = 410
"""The HTTP status of a resource version, or of a list's continuation, that the API server does not remember.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#410-gone-responses
"""

CLUSTER_SCOPED: Final = frozenset({CLUSTER_ORDER_KIND})
"""Kinds whose objects are in no namespace."""

_PASSING_CODES: Final = frozenset({0, 401, 429})
"""A watch that breaks off, or does not begin, with these or with an error of the server goes on where it was; nothing
was missed. What a watch brings as an error is something else: from there on, the API server has no more to tell."""


class Source(NamedTuple):
    """What is reflected."""

    kind: str
    namespace: str
    """Empty for all namespaces."""
    selector: str = ""
    """Labels that the objects have."""

    def __str__(self) -> str:
        return f"{self.kind}s of namespace {self.namespace}" if self.namespace else f"{self.kind}s"


class Listener(Protocol):
    """Is told what there is. Nothing here waits."""

    def changed(self, kind: str, event: str | None, raw: JsonObject) -> None:
        """Take in an object, with the type of the watch event, or None where it was listed."""

    def missing(self, kind: str, name: NamespacedName, uid: str) -> None:
        """Take in that an object that was told of before was not listed any more: its last state is not known."""


class WatchMonitor(Protocol):
    """Is told how the watches are. Nothing here waits."""

    def heard(self, kind: str, namespace: str) -> None:
        """Take in that the API server has given a watch a sign of life."""

    def failed(self, kind: str, namespace: str, problem: str) -> None:
        """Take in why there may be no more of them."""

    def skipped(self, kind: str, number: int = 1) -> None:
        """Take in that objects could not be taken in."""


class Reflector:
    """Tells of all objects of one source."""

    def __init__(
        self,
        gateway: Gateway,
        source: Source,
        listener: Listener,
        pulse: WatchMonitor,
        reached: Callable[[Source, str], None] = lambda _source, _version: None,
        timings: Timings = TIMINGS,
    ) -> None:
        """`reached` is called with a resource version when all up to it was told; large objects may still follow."""
        self._gateway = gateway
        self._source = source
        self._listener = listener
        self._pulse = pulse
        self._reached = reached
        self._pauses = timings.reflect_retries_seconds
        self._uids: dict[NamespacedName, str] = {}
        self._heavy = FairQueue()
        self._tries = 0
        self._said = ""
        self._begun = False
        """Whether the API server has accepted the watch that is under way."""
        self._sound = True
        """Whether that is a sign of life: not after a watch that had begun and then brought nothing but an error."""
        self.listed = asyncio.Event()
        """Set once all objects that there were have been told of."""

    async def run(self) -> None:
        """List and watch, until cancelled."""
        reading = asyncio.create_task(self._read_heavy(), name=f"large {self._source}")
        try:
            await self._go_on()
        finally:
            reading.cancel()

    async def _go_on(self) -> None:
        while True:
            try:
                version = await self._list()
                self._reached(self._source, version)
                self.listed.set()
                while True:
                    version = await self._watch(version)
                    await asyncio.sleep(RENEWAL_PAUSE_SECONDS)
            except ApiError as error:
                await self._wait_after(error)
            except Exception as error:  # noqa: BLE001  (whoever stands between us and the API server may answer anything)
                await self._wait_after(ApiError(0, UNREADABLE, f"what came is no answer of the API: {error!r}"))

    async def _list(self) -> str:
        """Tell of all that there is, and of what is there no more; return the list's resource version."""
        version = ""
        found: set[NamespacedName] = set()
        skipped = 0
        loop = asyncio.get_running_loop()
        async for page in self._gateway.pages(self._source.kind, self._source.namespace, self._source.selector):
            turn_ends = loop.time()
            for item in page.items():
                if loop.time() >= turn_ends:
                    await asyncio.sleep(0)
                    turn_ends = loop.time() + TURN_SECONDS
                name = self._name(item)
                if name is None:
                    skipped += 1
                else:
                    found.add(name)
                    self._tell(name, None, item)
            skipped += page.unread
            version = page.metadata["resourceVersion"]
        if skipped:
            # One of them may be what we would take for gone.
            log.error("%s: %d of the list are no objects of the API, and are left out", self._source, skipped)
            self._pulse.skipped(self._source.kind, skipped)
            return version
        for name in self._uids.keys() - found:
            self._pass_on(name, partial(self._listener.missing, self._source.kind, name, self._uids.pop(name)))
        return version

    async def _watch(self, version: str) -> str:
        """Watch for as long as one watch lasts, and return the resource version to go on from.

        Raises ApiError where only a new list helps.
        """
        source = self._source
        self._begun = False
        try:
            events = self._gateway.events(source.kind, source.namespace, source.selector, version, self._accepted)
            async for event, raw in events:
                taken = self._take(event, raw)
                if taken is not None:
                    version = taken
                    self._reached(source, version)
        except ApiError as error:
            broke_off = error.code in _PASSING_CODES or error.code >= 500
            if not broke_off or (self._begun and error.reason != UNREACHABLE):
                self._sound = error.code == GONE
                raise
            await self._wait_after(error)
        else:
            if not self._sound:
                self._heard()
        return version

    def _take(self, event: str, raw: JsonObject) -> str | None:
        """Take in an event, and return the resource version to go on from, where it has one."""
        self._heard()
        if event == BOOKMARK:
            return str(raw["metadata"]["resourceVersion"])
        if event in {UNREAD, UNREAD_ENDING}:
            large = NamespacedName(raw["metadata"]["namespace"], raw["metadata"]["name"])
            self._heavy.add(large, ending=event == UNREAD_ENDING)
            return str(raw["metadata"]["resourceVersion"])
        name = self._name(raw)
        if name is None:
            log.error("%s: an event is about no object of the API, and is left out", self._source)
            self._pulse.skipped(self._source.kind)
            return None
        self._tell(name, event, raw)
        return str(raw["metadata"]["resourceVersion"])

    async def _read_heavy(self) -> None:
        """Read large objects that have changed, one after the other and with pauses; until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            name, ending = await self._heavy.next()
            begun = loop.time()
            try:
                raw = await self._gateway.get_one(self._source.kind, name)
            except ApiError as error:
                if not error.absent:
                    self._heavy.add(name, ending=ending)
                    await asyncio.sleep(self._pauses[-1])
                elif name in self._uids:
                    missing = partial(self._listener.missing, self._source.kind, name, self._uids.pop(name))
                    self._pass_on(name, missing)
            except Exception:
                log.exception("%s %s/%s could not be read", self._source.kind, *name)
                self._pulse.skipped(self._source.kind)
            else:
                if self._name(raw) == name:
                    self._tell(name, "MODIFIED", raw)
            await asyncio.sleep(pause_after(loop.time() - begun))

    def _tell(self, name: NamespacedName, event: str | None, raw: JsonObject) -> None:
        if event == "DELETED":
            self._uids.pop(name, None)
        else:
            self._uids[name] = raw["metadata"]["uid"]
        self._pass_on(name, partial(self._listener.changed, self._source.kind, event, raw))

    def _name(self, raw: JsonObject) -> NamespacedName | None:
        """Return what an object is called, if it is one; what has no namespace has an empty one."""
        if not is_object(raw):
            return None
        metadata = raw["metadata"]
        if ("namespace" in metadata) is (self._source.kind in CLUSTER_SCOPED):
            return None
        return NamespacedName(metadata.get("namespace", ""), metadata["name"])

    def _pass_on(self, name: NamespacedName, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception:
            # One object that we stumble over must not make us blind to all others.
            log.exception("%s %s/%s could not be taken in", self._source.kind, *name)
            self._pulse.skipped(self._source.kind)

    def _accepted(self) -> None:
        self._begun = True
        if self._sound:
            self._heard()

    def _heard(self) -> None:
        self._sound = True
        self._tries = 0
        self._said = ""
        self._pulse.heard(self._source.kind, self._source.namespace)

    async def _wait_after(self, error: ApiError) -> None:
        """Tell what is wrong, once, and wait a little longer than after the last error."""
        if error.code != GONE:
            self._pulse.failed(self._source.kind, self._source.namespace, str(error))
        if error.code != GONE and str(error) != self._said:
            self._said = str(error)
            log.warning("%s cannot be watched, which is tried again: %s", self._source, error)
        pause = self._pauses[min(self._tries, len(self._pauses) - 1)]
        self._tries += 1
        await asyncio.sleep(pause)
