"""For whom a gateway is, and with whose credentials it acts."""

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Protocol

from aiohttp.typedefs import Middleware

from agentstop.cluster.connection import load_configuration, without_credentials
from agentstop.cluster.reflector import Source
from agentstop.cluster.transport import Transport
from agentstop.gateway.access import CallerAccess
from agentstop.gateway.callers import Callers


class Audience(Protocol):
    """Those whom a gateway serves."""

    @property
    def callers(self) -> Callers:
        """What tells them apart."""

    @property
    def guards(self) -> Sequence[Middleware]:
        """What each request has to pass before anything else looks at it."""

    async def connect(self, stack: AsyncExitStack) -> tuple[Transport, CallerAccess]:
        """Return the way to the API server, and what callers have of it; both end with the stack.

        Raises NoConnectionError.
        """

    async def unseen(self, access: CallerAccess, sources: Sequence[Source]) -> Sequence[Source]:
        """Return what of this is left out, since those who are served have no right to it."""

    def ready(self, port: int) -> None:
        """Take in that all tasks are known, and on which port is listened."""


class Everybody:
    """Whoever has a key or a token; the gateway watches with its own credentials."""

    guards: Sequence[Middleware] = ()

    def __init__(self, callers: Callers) -> None:
        self.callers = callers

    async def connect(self, stack: AsyncExitStack) -> tuple[Transport, CallerAccess]:
        """Return the way to the API server, and what callers have of it; both end with the stack.

        Raises NoConnectionError.
        """
        configuration = await load_configuration()
        own = Transport(configuration, whole_errors=True)
        stack.push_async_callback(own.close)
        bare = Transport(without_credentials(configuration), whole_errors=True)
        stack.push_async_callback(bare.close)
        return own, CallerAccess(own, bare, time.monotonic)

    async def unseen(self, access: CallerAccess, sources: Sequence[Source]) -> Sequence[Source]:  # noqa: ARG002
        """Leave out nothing: the gateway has its rights by its chart, and tells where one is missing."""
        return ()

    def ready(self, port: int) -> None:
        """Do nothing: whoever asks is told by the probe."""
