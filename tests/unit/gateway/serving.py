"""Dialects as they are served, before an API server that answers as a test wants."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from aiohttp import DummyCookieJar
from aiohttp.test_utils import TestClient, TestServer

from agentstop.cluster.errors import ApiError
from agentstop.cluster.transport import Headers, Transport
from agentstop.gateway.access import CallerAccess
from agentstop.gateway.app import Application
from agentstop.gateway.callers import CredentialCallers
from agentstop.gateway.changes import Changes
from agentstop.gateway.dialect import Core, Dialect
from agentstop.gateway.files import WatchedFile
from agentstop.gateway.hooks import HooksFile
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.keys import KeysFile
from agentstop.gateway.metrics import Metrics
from agentstop.gateway.streams import Streams
from agentstop.gateway.throttle import Throttle
from tests.unit.objects import Raw

from .test_index import KIND

HEADERS = {"Authorization": "Bearer secret"}


WRONG_TOKEN = "wrong-token"
"""The API server knows every token but this one."""


class Server:
    """Stands for the API server: everybody may do everything, and whatever changes something fails as it is told to."""

    def __init__(self, failure: ApiError | None = None) -> None:
        self.failure = failure

    async def call(self, method: str, where: str, *_: Any, headers: Headers = (), **__: Any) -> Raw:
        if ("Authorization", f"Bearer {WRONG_TOKEN}") in headers:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        if "selfsubjectaccessreviews" in where:
            return {"status": {"allowed": True}}
        if self.failure is not None:
            raise self.failure
        raise AssertionError(f"nobody expects {method} {where}")


@asynccontextmanager
async def serving(
    dialect: Dialect,
    tasks: Sequence[Raw] = (),
    failure: ApiError | None = None,
    *,
    others: Sequence[Dialect] = (),
    keys: WatchedFile[KeysFile] | None = None,
    headers: Mapping[str, str] = HEADERS,
    transport: Transport | None = None,
    hooks: WatchedFile[HooksFile] | None = None,
) -> AsyncIterator[TestClient[Any, Any]]:
    """Serve a dialect, and others beside it, to a caller with a token; `transport` leads to another API server."""
    now = 0.0
    aliases: Mapping[str, Any] = {dialect.name: dialect.alias} if dialect.alias is not None else {}
    index = TaskIndex(aliases, lambda: now)
    for each in tasks:
        index.changed(KIND, None, each)
    transport = transport or cast("Transport", Server(failure))
    core = Core(
        index=index,
        access=CallerAccess(transport, transport, lambda: now),
        callers=CredentialCallers(keys, Throttle(lambda: now), lambda: now),
        streams=Streams(),
        wait=0.01,
        changes=cast("Changes", None),
        hooks=hooks,
    )
    application = Application(core, [dialect, *others], Metrics(index, core.streams))
    jar = DummyCookieJar()  # a test sends the cookies that it names
    async with TestClient(TestServer(application.served()), headers=headers, cookie_jar=jar) as client:
        yield client
