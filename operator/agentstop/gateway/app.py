"""The application: which dialect a request is for, who sent it, and what is answered where that goes wrong."""

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client.exposition import choose_encoder

from agentstop.gateway import cookies, waits
from agentstop.gateway.bodies import MAX_BODY_BYTES
from agentstop.gateway.callers import Caller
from agentstop.gateway.dialect import Call, Core, Dialect, Route
from agentstop.gateway.errors import (
    GatewayError,
    InternalError,
    MethodNotAllowedError,
    NoSuchPageError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
)
from agentstop.gateway.files import WatchedFile
from agentstop.gateway.hosts import host_of
from agentstop.gateway.metrics import NO_DIALECT, Metrics

log = logging.getLogger(__name__)
access_log = logging.getLogger(f"{__name__}.access")

REQUEST_ID_HEADER: Final = "X-Request-ID"

Hosts = WatchedFile[Mapping[str, str]]


def _render_plainly(error: GatewayError, _: Call) -> web.Response:
    return web.Response(status=error.code, text=f"{error.message}\n")


NOWHERE: Final = Dialect(name=NO_DIALECT, prefix="", routes=(), render=_render_plainly)
"""Answers for what is below no dialect's prefix."""


class _Mount:
    """A dialect with its router."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._router = web.UrlDispatcher()
        self._routes: dict[object, Route] = {}
        for each in dialect.routes:
            added = self._router.add_route(each.method, each.path, _unused)
            self._routes[added] = each
            if each.method == "GET":
                self._routes[self._router.add_route("HEAD", each.path, _unused)] = each

    async def find(self, request: web.BaseRequest, prefix: str) -> tuple[Route, Mapping[str, str]]:
        """Return a request's route and its parameters. Raises NoSuchPageError, MethodNotAllowedError."""
        path = request.rel_url.raw_path
        below = path.removeprefix(prefix) or "/"
        # A path that begins with two slashes would be read as a host.
        if not path.startswith(prefix) or not below.startswith("/") or below.startswith("//"):
            raise NoSuchPageError("there is no such page")
        resolved = await self._router.resolve(request.clone(rel_url=below))  # type: ignore[arg-type]
        refusal = resolved.http_exception
        if isinstance(refusal, web.HTTPMethodNotAllowed):
            raise MethodNotAllowedError(f"this page takes no {request.method}", refusal.allowed_methods)
        if refusal is not None:
            raise NoSuchPageError("there is no such page")
        return self._routes[resolved.route], dict(resolved)


class Application:
    """Answers requests. `handle` is for an aiohttp server."""

    def __init__(self, core: Core, dialects: Sequence[Dialect], metrics: Metrics, hosts: Hosts | None = None) -> None:
        self._core = core
        self._metrics = metrics
        self._hosts = hosts
        mounts = [_Mount(each) for each in (*dialects, NOWHERE)]
        self._by_name = {each.dialect.name: each for each in mounts}
        # The longest prefix wins; the root comes last.
        self._by_prefix = sorted(mounts, key=lambda each: (-len(each.dialect.prefix), each.dialect is NOWHERE))
        self._own = {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._numbers}
        self.ready = False
        """Whether all tasks are known."""

    def served(self, *guards: Middleware) -> web.Application:
        """Return the application to be served; each request has to pass the guards first."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=guards)
        app.router.add_route("*", r"/{path:[\s\S]*}", self.handle)  # a path may have a line's end in it, too
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, whatever it is."""
        mount, prefix = self._mount(request)
        if mount.dialect.prefix == "" or mount.dialect is NOWHERE:
            own = self._own.get(request.rel_url.raw_path)
            if own is not None and prefix is not None:
                return await own(request)
        begun = time.perf_counter()
        request_id = secrets.token_hex(8)
        call = Call(request=request, dialect=mount.dialect, core=self._core)
        with waits.counted() as waited:
            response, sender = await self._answer(mount, prefix or "", call)
        stream = response.prepared
        if not stream:
            response.headers.setdefault("Cache-Control", "no-store")
            response.headers.setdefault("X-Content-Type-Options", "nosniff")
            response.headers[REQUEST_ID_HEADER] = request_id
        seconds = time.perf_counter() - begun
        self._metrics.answered(mount.dialect.name, response.status, None if stream else seconds - waited.seconds)
        # Neither query nor headers: what people should not send there, they do.
        access_log.info(
            "%s %s %s %d %.1f ms, %s from %s, request %s",
            mount.dialect.name,
            request.method,
            request.rel_url.raw_path[:300],
            response.status,
            seconds * 1000,
            sender.name if sender is not None else "nobody",
            request.remote,
            request_id,
        )
        return response

    def _mount(self, request: web.BaseRequest) -> tuple[_Mount, str | None]:
        """Return the dialect of a request, and what of its path leads to it; None where its host alone does."""
        if self._hosts is not None:
            name = self._hosts.current().get(host_of(request.headers.get("Host", "")))
            if name is not None:
                mount = self._by_name[name]
                return mount, mount.dialect.host_prefix or None
        path = request.rel_url.raw_path
        for mount in self._by_prefix:
            prefix = mount.dialect.prefix
            if path == prefix or path.startswith(f"{prefix}/"):
                return mount, prefix
        return self._by_name[NO_DIALECT], ""

    async def _answer(self, mount: _Mount, prefix: str, call: Call) -> tuple[web.StreamResponse, Caller | None]:
        sender: Caller | None = None
        try:
            route, params = await mount.find(call.request, prefix)
            if not route.public:
                sender = await self._core.settle(call.identify(), call.request.remote or "")
            call = Call(request=call.request, dialect=call.dialect, core=call.core, params=params, sender=sender)
            return await route.handler(call), sender
        except GatewayError as error:
            if isinstance(error, UnauthorizedError) and sender is not None:
                self._core.callers.refused(sender, call.request.remote or "")
            return _complete(mount.dialect.render(error, call), error, call), sender
        except (asyncio.CancelledError, web.HTTPException):
            raise
        except ConnectionError:
            log.debug("a client left while it was answered")
            return web.Response(status=499), sender
        except Exception:
            log.exception("%s %s could not be answered", call.request.method, call.request.rel_url.raw_path[:300])
            return mount.dialect.render(
                InternalError("this is a mistake of the gateway's; its log says more"), call
            ), sender

    # What the cluster asks

    async def _healthz(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.StreamResponse:
        problem = None if self.ready else "the tasks are not all known yet"
        if self._core.index.closing.is_set():
            problem = "the gateway ends"
        return web.Response(status=503 if problem else 200, text=f"{problem or 'ok'}\n")

    async def _numbers(self, request: web.Request) -> web.StreamResponse:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = await asyncio.to_thread(encode, self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": content_type})


def _complete(response: web.Response, error: GatewayError, call: Call) -> web.Response:
    """Put in what HTTP asks for with an error, whatever its form."""
    if isinstance(error, MethodNotAllowedError):
        response.headers["Allow"] = ", ".join(error.allowed)
    if isinstance(error, UnauthorizedError):
        response.headers.setdefault("WWW-Authenticate", "Bearer")
        if call.dialect.browsers:
            # A page that goes on with what counts no more would have its address slowed down.
            cookies.drop(response, call.request)
    if isinstance(error, TooManyRequestsError | UnavailableError) and error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


async def _unused(_: web.Request) -> web.StreamResponse:
    raise AssertionError("routes are found by this router, and called by us")
