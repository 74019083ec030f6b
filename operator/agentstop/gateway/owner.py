"""The one person for whom a gateway on loopback runs, and nobody else: `kubectl agentstop ui`."""

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from hmac import compare_digest
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from kubernetes.aio.client import Configuration

from agentstop.cluster.reflector import Source
from agentstop.cluster.resources import ORDERS
from agentstop.cluster.transport import Headers, Renew, Transport
from agentstop.gateway import cookies, page, sessions
from agentstop.gateway.access import CallerAccess
from agentstop.gateway.callers import Caller, Callers
from agentstop.gateway.dialect import Dialect
from agentstop.gateway.dialects import api
from agentstop.gateway.errors import GatewayError, UnauthorizedError

log = logging.getLogger(__name__)

OWNERS: Final = "the credentials of your kubeconfig"

HOSTS: Final = ("127.0.0.1", "localhost")
"""Names by which the page is asked for. Any other leads here by a DNS entry that somebody else has made."""

_LOGINS: Final = frozenset(each.path for each in sessions.ROUTES)

DIALECTS: Final[tuple[Dialect, ...]] = (
    # There is nothing to log in with: who has the token is in.
    replace(page.DIALECT, routes=tuple(each for each in page.DIALECT.routes if each.path not in _LOGINS)),
    api.DIALECT,
)
"""What is served to an owner."""

NOT_YOURS: Final = (
    "This page is for whoever started it. Open the address that was printed: it lets one browser in, once."
    " For another browser, start it again."
)

YOU: Final = Caller("you", headers=(), own=True, identity="owner")


class Owner:
    """Tells one browser from everything else that can reach loopback: other users, programs, and pages of other sites.

    A token in the address, which counts once, becomes a cookie with another secret. A process list may show the token,
    and never the secret. The browser alone has that one; but it sends cookies of a host to all of its ports, so that
    whoever else serves a page on this machine learns the secret if the browser opens it at the same host.
    """

    def __init__(
        self,
        configure: Callable[[], Awaitable[Configuration]],
        ready: Callable[[int], None],
        acts_as: Headers = (),
        renew: Renew | None = None,
    ) -> None:
        """`configure` returns the way to the API server with the owner's credentials; `acts_as` are headers on it.

        `ready` is called with the port that is listened on, once all tasks are known. `renew` is asked for other
        credentials where the API server does not take them any more.
        """
        self._configure = configure
        self._ready = ready
        self._acts_as = acts_as
        self._renew = renew
        self.token: Final = secrets.token_urlsafe(32)
        self._secret: Final = secrets.token_urlsafe(32)
        self._used = False

    @property
    def callers(self) -> Callers:
        """There is one alone."""
        return self

    @property
    def guards(self) -> Sequence[Middleware]:
        """What each request has to pass before anything else looks at it."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not _is_ours(request):
                return _refusal(HTTPStatus.MISDIRECTED_REQUEST, "This host name is not served here.")
            if _same(request.cookies.get(_cookie(request), ""), self._secret):
                return await handler(request)
            if request.method == "GET" and request.path == "/" and self._takes(request.query.get("token", "")):
                return self._let_in(request)
            return _refusal(HTTPStatus.FORBIDDEN, NOT_YOURS)

        return (guard,)

    async def connect(self, stack: AsyncExitStack) -> tuple[Transport, CallerAccess]:
        """Return the way to the API server, on which all is the owner's; it ends with the stack.

        Raises NoConnectionError.
        """
        configuration = await self._configure()
        own = Transport(configuration, whole_errors=True, headers=self._acts_as, renew=self._renew)
        stack.push_async_callback(own.close)
        return own, CallerAccess(own, own, time.monotonic, whose=OWNERS)

    async def unseen(self, access: CallerAccess, sources: Sequence[Source]) -> Sequence[Source]:
        """Return the orders that the owner may not follow, and log so: the page of the tasks is live without them."""
        found = [each for each in sources if each.kind in ORDERS and not await _may_follow(access, each)]
        for each in found:
            log.warning("the page does not show %s: you may not list and watch them", each)
        return found

    def ready(self, port: int) -> None:
        """Tell that the page can be opened."""
        self._ready(port)

    def identify(self, request: web.BaseRequest, *, browsers: bool) -> Caller:  # noqa: ARG002  (all of it is for one)
        """Return the owner, whose requests alone pass the guard.

        Raises ForbiddenError where another site's page sent the request.
        """
        if request.method not in cookies.SAFE_METHODS:
            cookies.check_origin(request)
        return YOU

    def by_credential(self, credential: str, address: str) -> Caller:  # noqa: ARG002  (none is taken)
        """Raise UnauthorizedError: there are no credentials but the owner's own."""
        raise UnauthorizedError(NOT_YOURS)

    def known(self, caller: Caller) -> bool:
        """Whether it is settled who that is."""
        return caller is YOU

    def accepted(self, caller: Caller) -> None:
        """Do nothing: there is nobody to get to know."""

    def refused(self, caller: Caller, address: str) -> None:
        """Do nothing: nobody can be shut out."""

    def _takes(self, token: str) -> bool:
        if self._used or not _same(token, self.token):
            return False
        self._used = True
        return True

    def _let_in(self, request: web.Request) -> web.Response:
        response = web.Response(status=303, headers={"Location": "/", **_HEADERS})
        response.set_cookie(_cookie(request), self._secret, path="/", httponly=True, samesite="Strict")
        return response


async def _may_follow(access: CallerAccess, source: Source) -> bool:
    plural = ORDERS[source.kind].plural
    try:
        return all([await access.may(YOU, verb, source.namespace, plural) for verb in ("list", "watch")])
    except GatewayError:
        # That is not known. Whoever follows them says so where they cannot be.
        return True


def _is_ours(request: web.BaseRequest) -> bool:
    """Whether a request names loopback and our port as its host.

    A page of another site can have its own name lead to 127.0.0.1, and would then be of our origin to a browser.
    """
    port = _port(request)
    host = request.headers.get("Host", "").lower()
    return any(host == f"{name}:{port}" or (port == 80 and host == name) for name in HOSTS)


def _port(request: web.BaseRequest) -> int:
    transport = request.transport
    return int(transport.get_extra_info("sockname")[1]) if transport is not None else 0


def _cookie(request: web.BaseRequest) -> str:
    """Return the cookie's name. Browsers send it to all ports of a host, so that each port has one of its own."""
    return f"agentstop-ui-{_port(request)}"


def _same(given: str, ours: str) -> bool:
    return compare_digest(given.encode(errors="replace"), ours.encode())


_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def _refusal(status: HTTPStatus, text: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers=_HEADERS)
