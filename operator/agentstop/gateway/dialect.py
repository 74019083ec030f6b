"""What a dialect is made of: routes, handlers and a form for errors."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from aiohttp import web

from agentstop.cluster.decoding import JsonObject
from agentstop.gateway.access import CallerAccess
from agentstop.gateway.bodies import parse_object, read_body
from agentstop.gateway.callers import Caller, Callers
from agentstop.gateway.changes import Changes
from agentstop.gateway.errors import GatewayError, InvalidError, NoSuchPageError, UnauthorizedError
from agentstop.gateway.files import WatchedFile
from agentstop.gateway.hooks import HooksFile
from agentstop.gateway.index import Alias, TaskIndex
from agentstop.gateway.meter.meter import Meter
from agentstop.gateway.streams import Streams
from agentstop.gateway.tasks import Tasks

UUID: Final = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""What the UID of a task looks like. UUIDs are written in small letters; some clients send capitals."""

EXTERNAL_ID_MAX: Final = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What all dialects share."""

    index: TaskIndex
    changes: Changes
    access: CallerAccess
    callers: Callers
    streams: Streams
    wait: float
    """How many seconds the answer to a stop waits for the proof."""
    hooks: WatchedFile[HooksFile] | None = None
    """Which webhooks there are; none without a file of them."""
    meter: Meter | None = None
    """What counts the usage of tasks; there is none without its file."""

    async def settle(self, caller: Caller, address: str) -> Caller:
        """Return a caller, once it is settled who that is. Raises UnauthorizedError and others.

        A token is shown to the API server before anything is said to whoever brings it: not even that there is no such
        task. What it answers is known for a while, so that most requests do not wait for it.
        """
        if not self.callers.known(caller):
            try:
                await self.access.may(caller, "get", "")
            except UnauthorizedError:
                self.callers.refused(caller, address)
                raise
            self.callers.accepted(caller)
        return caller


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request to a dialect."""

    request: web.BaseRequest
    dialect: "Dialect"
    core: Core
    params: Mapping[str, str] = field(default_factory=dict)
    """The parts of the path that the route names, percent-decoded: check them before they come near anything."""
    sender: Caller | None = None
    """Who sent it; None on public routes."""

    @property
    def caller(self) -> Caller:
        """Who sent it. Raises UnauthorizedError where nobody is known to have."""
        if self.sender is None:
            raise UnauthorizedError("this takes an API key or a token")
        return self.sender

    @cached_property
    def tasks(self) -> Tasks:
        """The tasks, as the caller has them."""
        return Tasks(self.core.index, self.core.access, self.caller, wait=self.core.wait, dialect=self.dialect.name)

    @property
    def meter(self) -> Meter:
        """What counts the usage of tasks. Raises NoSuchPageError where there is none."""
        if self.core.meter is None:
            raise NoSuchPageError("this gateway counts nothing: it runs without --meter")
        return self.core.meter

    @property
    def query(self) -> Mapping[str, str]:
        """The query. Raises InvalidError where a name stands in it twice."""
        query = self.request.query
        if len(set(query)) < len(query):
            raise InvalidError("the query has a parameter twice", where=("query",))
        return query

    def identify(self) -> Caller:
        """Return who sends it, by what counts at this moment; raises as `Callers.identify` does."""
        return self.core.callers.identify(self.request, browsers=self.dialect.browsers)

    async def body(self) -> JsonObject:
        """Return the JSON object that the body is; empty where there is none. Raises InvalidError, TooLargeError."""
        return parse_object(await read_body(self.request))


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path of a dialect, below its prefix, such as /v1/tasks/{id}."""

    method: str
    path: str
    handler: Handler
    public: bool = False
    """Whether nobody has to say who he is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One API that the gateway speaks."""

    name: str
    """What it is called in metrics, logs and the file of hosts."""
    prefix: str
    """Where it is mounted, such as /xpander; empty for the root."""
    routes: tuple[Route, ...]
    render: Callable[[GatewayError, Call], web.Response]
    """Returns an error in the dialect's form. Allow, Retry-After and WWW-Authenticate are put in afterwards."""
    host_prefix: str = ""
    """What stands before the routes where the dialect is chosen by its host, as the vendor's own server has it."""
    browsers: bool = False
    """Whether it is for browsers, too: a session counts then."""
    alias: Alias | None = None
    """What the dialect calls a task, where that is not its UID."""


def task_id_of(text: str) -> str | None:
    """Return what task a text means; None where none can be called so. Each dialect has an error of its own for that.

    It is its UID, in small letters, or anything printable that another platform has for it.
    """
    if UUID.fullmatch(text.lower()):
        return text.lower()
    return text if 0 < len(text) <= EXTERNAL_ID_MAX and text.isprintable() else None
