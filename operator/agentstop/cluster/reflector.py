"""All objects of a kind in a namespace: listed first, watched from then on, and compared with a new list after a gap.

This is what client-go calls a reflector. kopf watches what is rare. Of tasks and pods there are thousands, and a stop
waits for their events: to kopf a single one costs more than to us all that follows from it.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, Protocol

from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import BOOKMARK, Gateway
from agentstop.cluster.transport import JsonObject

log = logging.getLogger(__name__)

PAUSES_SECONDS: Final = (0.1, 0.2, 0.5, 1.0)
"""Between tries; the last one again and again, since an API server may be away for long."""

RENEWAL_PAUSE_SECONDS: Final = 0.02
"""Between a watch that has lasted its time and the next one."""

BATCH: Final = 20
"""So many listed objects are told at once: stops and probes come in between."""

GONE: Final = 410
"""The HTTP status of a resource version, or of a list's continuation, that the API server does not remember.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#410-gone-responses
"""

_PASSING_CODES: Final = frozenset({0, 401, 429})
"""After these, and after errors of the server, the watch goes on where it broke off; nothing was missed."""


class Source(NamedTuple):
    """What is reflected."""

    kind: str
    namespace: str
    """Empty for all namespaces."""
    selector: str = ""
    """Labels that the objects have."""

    def __str__(self) -> str:
        return f"{self.kind}s of namespace {self.namespace}" if self.namespace else f"{self.kind}s"


class Name(NamedTuple):
    """What an object is called."""

    namespace: str
    name: str


class Listener(Protocol):
    """Is told what there is. Nothing here waits."""

    def changed(self, kind: str, event: str | None, raw: JsonObject) -> None:
        """Take in an object, with the type of the watch event, or None where it was listed."""

    def missing(self, kind: str, name: Name, uid: str) -> None:
        """Take in that an object that was told of before was not listed any more: its last state is not known."""


class Reflector:
    """Tells of all objects of one source."""

    def __init__(
        self, gateway: Gateway, source: Source, listener: Listener, contact: Callable[[str, str], None]
    ) -> None:
        """`contact` is called with kind and namespace whenever the API server gives a watch a sign of life."""
        self._gateway = gateway
        self._source = source
        self._listener = listener
        self._contact = contact
        self._uids: dict[Name, str] = {}
        self._tries = 0
        self._said = ""
        self.listed = asyncio.Event()
        """Set once all objects that there were have been told of."""

    async def run(self) -> None:
        """List and watch, until cancelled."""
        while True:
            try:
                version = await self._list()
                self.listed.set()
                while True:
                    version = await self._watch(version)
                    await asyncio.sleep(RENEWAL_PAUSE_SECONDS)
            except ApiError as error:
                await self._wait_after(error)
            except Exception as error:  # noqa: BLE001  (whoever stands between us and the API server may answer anything)
                await self._wait_after(ApiError(0, "Unreadable", f"what came is no answer of the API: {error!r}"))

    async def _list(self) -> str:
        """Tell of all that there is, and of what is there no more; return the list's resource version."""
        version = ""
        found: set[Name] = set()
        async for page in self._gateway.pages(self._source.kind, self._source.namespace, self._source.selector):
            version = page["metadata"]["resourceVersion"]
            for number, item in enumerate(page.get("items") or ()):
                if number % BATCH == 0:
                    await asyncio.sleep(0)
                found.add(_name(item))
                self._tell(None, item)
        for name in self._uids.keys() - found:
            self._pass_on(name, partial(self._listener.missing, self._source.kind, name, self._uids.pop(name)))
        return version

    async def _watch(self, version: str) -> str:
        """Watch for as long as one watch lasts, and return the resource version to go on from.

        Raises ApiError where only a new list helps.
        """
        source = self._source
        try:
            events = self._gateway.events(source.kind, source.namespace, source.selector, version, self._accepted)
            async for event, raw in events:
                self._accepted()
                version = raw["metadata"]["resourceVersion"]
                if event != BOOKMARK:
                    self._tell(event, raw)
        except ApiError as error:
            if not (error.code in _PASSING_CODES or error.code >= 500):
                raise
            await self._wait_after(error)
        return version

    def _tell(self, event: str | None, raw: JsonObject) -> None:
        name = _name(raw)
        if event == "DELETED":
            self._uids.pop(name, None)
        else:
            self._uids[name] = raw["metadata"]["uid"]
        self._pass_on(name, partial(self._listener.changed, self._source.kind, event, raw))

    def _pass_on(self, name: Name, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception:
            # One object that we stumble over must not make us blind to all others.
            log.exception("%s %s/%s could not be taken in", self._source.kind, *name)

    def _accepted(self) -> None:
        self._tries = 0
        self._said = ""
        self._contact(self._source.kind, self._source.namespace)

    async def _wait_after(self, error: ApiError) -> None:
        """Tell what is wrong, once, and wait a little longer than after the last error."""
        if error.code != GONE and str(error) != self._said:
            self._said = str(error)
            log.warning("%s cannot be watched, which is tried again: %s", self._source, error)
        pause = PAUSES_SECONDS[min(self._tries, len(PAUSES_SECONDS) - 1)]
        self._tries += 1
        await asyncio.sleep(pause)


def _name(raw: JsonObject) -> Name:
    metadata = raw["metadata"]
    return Name(metadata["namespace"], metadata["name"])
