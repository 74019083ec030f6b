"""A reverse proxy on loopback, between an operator and its API server: counts what goes through, breaks one thing."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import aiohttp
from aiohttp import web
from yarl import URL

from agentstop_playground.node.kubeconfig import Connection, load
from tests.faults.points import Fault
from tests.faults.traffic import READING, REVIEWS, Target, Traffic, Write
from tests.faults.views import Collection, Views
from tests.faults.watches import Breaker, read
from tests.support.apiserver import write_kubeconfig
from tests.support.kube import Object, decode
from tests.support.programs import free_port

MAX_BODY_BYTES: Final = 64 * 2**20

PASSED_ON: Final = ("Accept", "Content-Type", "User-Agent")
BROUGHT_BACK: Final = ("Content-Type", "Date", "Retry-After", "Warning")
"""Headers that mean something to the other side."""

NO_JSON: Final = b"<html><body>Service is starting up</body></html>"
RETRY_SECONDS: Final = "1"


class Answer(NamedTuple):
    """What a request is answered with."""

    code: int
    content: bytes
    headers: dict[str, str]


class Victim(Protocol):
    """Whoever is behind the proxy."""

    def kill(self) -> None:
        """Kill the operator at once; another one starts or takes over."""

    async def freeze(self) -> None:
        """Freeze the operator; return once another one is at work."""

    def thaw(self) -> None:
        """Have it go on."""

    def halt(self) -> None:
        """Freeze the operator, which is the only one; it goes on by and by."""

    def overtake(self) -> None:
        """Have the operator take over from the one that leads, which is killed soon."""


class Proxy:
    """The proxy. What is not about a namespace that it was told of goes through as it is."""

    _client: aiohttp.ClientSession

    def __init__(self, upstream: Connection, victim: Victim) -> None:
        self._upstream = upstream
        self._victim = victim
        self._traffic: dict[str, Traffic] = {}
        self._watched: dict[str, Traffic] = {}
        """Those of whose events it is the one that counts them."""
        self._views = Views()
        self._flowing = asyncio.Event()
        self._flowing.set()

    @classmethod
    @asynccontextmanager
    async def serving(cls, kubeconfig: Path, victim: Victim) -> AsyncIterator[tuple["Proxy", Path]]:
        """Run one in front of a kubeconfig's server, and yield it with a kubeconfig that leads to it."""
        proxy = cls(load(kubeconfig), victim)
        port = free_port()
        async with proxy._session() as proxy._client:
            application = web.Application(client_max_size=MAX_BODY_BYTES)
            application.router.add_route("*", "/{path:.*}", proxy._serve)
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0, handler_cancellation=True)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            own = kubeconfig.with_name(f"proxy-{port}.kubeconfig")
            write_kubeconfig(own, f"http://127.0.0.1:{port}", "any", None)
            try:
                yield proxy, own
            finally:
                await runner.cleanup()

    def follow(self, traffic: Traffic, *, events: bool = True) -> None:
        """Begin to count, and to break, what a namespace says; of two proxies one sees to the events."""
        self._traffic[traffic.namespace] = traffic
        if events:
            self._watched[traffic.namespace] = traffic
        else:
            self._watched.pop(traffic.namespace, None)

    def unfollow(self, traffic: Traffic) -> None:
        """Let everything of a namespace through from now on."""
        del self._traffic[traffic.namespace]
        self._watched.pop(traffic.namespace, None)

    @property
    def holds_back(self) -> bool:
        """Whether watches bring nothing at the moment."""
        return not self._flowing.is_set()

    def flow(self) -> None:
        """Have watches bring what they were made to hold back."""
        self._views.forget()
        self._flowing.set()

    def _session(self) -> aiohttp.ClientSession:
        token, context = self._upstream.token, self._upstream.ssl
        return aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}"} if token else {},
            connector=aiohttp.TCPConnector(ssl=context if context is not None else True, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            read_bufsize=1 << 20,
        )

    def _kill(self, *, stale: bool = False) -> None:
        self._victim.kill()
        self._views.begin(stale=stale)

    def _hold_back(self, fault: Fault) -> None:
        """Have watches bring nothing more to an operator that is to act on what it knows by now."""
        self._flowing.clear()
        if fault is Fault.STALE:
            self._kill(stale=True)
        else:
            self._victim.overtake()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._route(request)
        except aiohttp.ClientError:
            return _reset(request)

    async def _route(self, request: web.Request) -> web.StreamResponse:
        target = Target.of(request.path)
        traffic = self._traffic.get(target.namespace)
        if traffic is not None:
            traffic.requests[f"{request.method} {target.resource}"] += 1
        if request.method not in READING:
            if traffic is None or target.group == REVIEWS:
                return _response(await self._forward(request))
            return await self._write(request, target, traffic)
        if target.name:
            return _response(await self._forward(request))
        if request.query.get("watch"):
            return await self._watch(request, target)
        return await self._list(request)

    async def _forward(self, request: web.Request) -> Answer:
        async with self._ask(request, await request.read()) as answer:
            headers = {name: answer.headers[name] for name in BROUGHT_BACK if name in answer.headers}
            return Answer(answer.status, await answer.read(), headers)

    def _ask(self, request: web.Request, body: bytes | None = None) -> "aiohttp.client._RequestContextManager":
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        headers["Accept-Encoding"] = "identity"
        url = URL(self._upstream.url + request.raw_path, encoded=True)
        return self._client.request(request.method, url, data=body or None, headers=headers)

    async def _write(self, request: web.Request, target: Target, traffic: Traffic) -> web.StreamResponse:
        body = await request.read()
        write, fault = traffic.write(request.method, request.path, body)
        match fault:
            case Fault.KILLED_BEFORE | Fault.LEADER_KILLED_BEFORE:
                self._kill()
                return _reset(request)
            case Fault.RESET:
                return _reset(request)
            case Fault.CONFLICT:
                reason = "AlreadyExists" if request.method == "POST" else "Conflict"
                return _status(409, reason, "somebody else was there first")
            case Fault.THROTTLED:
                return _status(429, "TooManyRequests", "try again later", {"Retry-After": RETRY_SECONDS})
            case Fault.BROKEN:
                return _status(500, "InternalError", "etcdserver: leader changed")
            case Fault.LEADER_FROZEN:
                await self._victim.freeze()
            case Fault.FROZEN:
                self._victim.halt()
        self._testify(target, traffic, body)
        answer = await self._carry_out(request, write)
        match fault:
            case Fault.KILLED_AFTER | Fault.LEADER_KILLED_AFTER:
                self._kill()
                return _reset(request)
            case Fault.LEADER_FROZEN:
                self._victim.thaw()
            case Fault.LOST:
                return _reset(request)
            case Fault.TIMED_OUT:
                return _status(504, "Timeout", "the request did not complete within the time that was given")
            case Fault.GARBAGE:
                return web.Response(status=200, body=NO_JSON, content_type="text/html")
        return _response(answer)

    async def _carry_out(self, request: web.Request, write: Write) -> Answer:
        answer = await self._forward(request)
        write.code = answer.code
        if write.carried_out:
            self._views.forget()
        return answer

    @staticmethod
    def _testify(target: Target, traffic: Traffic, body: bytes) -> None:
        """Ask the witness about what a task's status is going to say."""
        if (target.resource, target.subresource) == ("agenttasks", "status"):
            against = traffic.witness(decode(body))
            if against is not None:
                traffic.lies.append(against)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        collection = Collection.of(request.path, request.query)
        before = self._views.before(collection)
        if before is not None:
            self._views.listed(collection, json.loads(before), first=True)
            return web.Response(body=before, content_type="application/json")
        answer = await self._forward(request)
        if answer.code == 200 and answer.headers.get("Content-Type", "").startswith("application/json"):
            found = decode(answer.content)
            if "resourceVersion" in found.get("metadata", {}) and "PartialObject" not in found.get("kind", ""):
                self._views.listed(collection, found, first="continue" not in request.query)
        return _response(answer)

    async def _watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        collection = Collection.of(request.path, request.query)
        async with self._ask(request) as answer:
            if answer.status != 200:
                return _response(Answer(answer.status, await answer.read(), {}))
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)

            async def send(content: bytes) -> None:
                await self._flowing.wait()
                await response.write(content)

            def passed(kind: str, item: Object) -> None:
                self._views.brought(collection, kind, item)

            breaker = Breaker(target.resource, collection, self._watched.get, send, self._hold_back)
            with suppress(ConnectionError, aiohttp.ClientError):
                await breaker.run(read(answer.content), passed)
            return response


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.code, body=answer.content, headers=answer.headers)


def _status(code: int, reason: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    content = {**body, "reason": reason, "message": message, "code": code}
    return web.json_response(content, status=code, headers=headers)


def _reset(request: web.Request) -> web.Response:
    """Reset the connection that a request came on, as a server that breaks down does."""
    if request.transport is not None:
        linger = struct.pack("ii", 1, 0)
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        request.transport.abort()
    return web.Response(status=502)
