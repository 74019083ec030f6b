"""How a request reaches the API server: connections, credentials, limits of time."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTClientObject
from multidict import CIMultiDict

from agentstop import __version__
from agentstop.cluster.clock import ServerClock
from agentstop.cluster.decoding import JsonObject, Listing, UnreadableError, decode
from agentstop.cluster.errors import NOT_LEADING, ApiError, error_from
from agentstop.cluster.leader_guard import LeaderGuard
from agentstop.timings import TIMINGS, Timings
from agentstop.workloads.lightening import HEAVY, IS_HEAVY

KEEP_ALIVE_SECONDS: Final = 75.0
"""How long an idle connection is kept: API servers close theirs after 90 idle seconds."""

WARM: Final = 12
"""So many connections are kept for when many agents are to be stopped or frozen at once: a new one costs the API server
as much as the request that it is made for."""

API_PATH: Final = re.compile("(/[A-Za-z0-9][A-Za-z0-9._:-]*)+")
"""A path in which nothing stands that a server could take for a way to somewhere else."""

MAX_BYTES: Final = 64 * 1024 * 1024
"""So large may an answer or a line of a watch be. An object has 1.5 MB in etcd at most, and somewhat more as JSON."""

Headers = Sequence[tuple[str, str]]
"""Headers of a request; one name may stand in several."""

Renew = Callable[[str | None], bool]
"""Is told, in a thread, which Authorization was refused, and returns whether another one is there now."""

UNREACHABLE: Final = "Unreachable"
TOO_LARGE: Final = "TooLarge"
UNREADABLE: Final = "Unreadable"
"""Reasons of ours, in the place of one of Kubernetes': no answer came, or one that was given up, or none of the API."""


class _WarmConnections(RESTClientObject):  # type: ignore[misc]  # the client has no types that mypy could follow
    """Keeps connections open between requests: a stop that comes after a quiet time waits for no TLS handshake."""

    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(limit=0, ssl=self.ssl_context, keepalive_timeout=KEEP_ALIVE_SECONDS)


class Transport:
    """Makes single requests, and tells the clock what time the API server has.

    Raises ApiError for every answer that is not a success, and for none. To be made in the loop that uses it.
    """

    def __init__(
        self,
        configuration: Configuration,
        leader_guard: LeaderGuard | None = None,
        clock: ServerClock | None = None,
        *,
        whole_errors: bool = False,
        headers: Headers = (),
        renew: Renew | None = None,
        timings: Timings = TIMINGS,
    ) -> None:
        """`whole_errors` is for whoever reads no answers but those to what he sent himself.

        `headers` are sent with every request, such as whom its user acts as. With `renew`, a request that the API
        server did not take the credentials of is sent once more with other ones.
        """
        self._renew = renew
        self._timings = timings
        self._headers = headers
        self._whole_errors = whole_errors
        self._leader_guard = leader_guard or LeaderGuard()
        self._clock = clock or ServerClock()
        self._client = ApiClient(configuration)
        self._client.rest_client = _WarmConnections(configuration)
        self._client.user_agent = f"agentstop/{__version__}"

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def keep_warm(self) -> None:
        """Use some connections from time to time, so that neither side closes them for being idle; until cancelled."""

        async def use() -> None:
            with suppress(ApiError):
                await self.call("GET", "/version")

        while True:
            await asyncio.gather(*(use() for _ in range(WARM)))
            await asyncio.sleep(self._timings.warm_seconds)

    async def call(
        self,
        method: str,
        where: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | Sequence[Any] | None = None,
        content_type: str = "application/json",
        *,
        accept: str = "application/json",
        timeout: float | None = None,
        headers: Headers = (),
    ) -> JsonObject:
        """Make one request and return the object that the API server answers with; a change only while we may act.

        `headers` are sent besides, such as who is impersonated.
        """
        timeout = self._timings.request_seconds if timeout is None else timeout
        if method != "GET":
            # A change that is still under way when the tenure ends is given up.
            timeout = min(timeout, self._leader_guard.left())
            if timeout <= 0:
                raise ApiError(0, NOT_LEADING, "another replica of the operator leads")
        return await self.exchange(
            method, where, query, body, content_type, accept=accept, timeout=timeout, headers=headers
        )

    async def exchange(
        self,
        method: str,
        where: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | Sequence[Any] | None = None,
        content_type: str = "application/json",
        *,
        accept: str = "application/json",
        timeout: float,
        headers: Headers = (),
    ) -> JsonObject:
        """Do the same whether we may act or not; for the election itself."""
        total = aiohttp.ClientTimeout(total=timeout)
        asked = self._request(method, where, query or {}, body, content_type, total, accept, headers)
        content = await self._content(asked)
        try:
            answer = decode(content)
        except UnreadableError as error:
            raise _unreadable(where, error) from None
        if not isinstance(answer, dict):
            raise _unreadable(where, "no object")
        if len(content) > HEAVY:
            answer[IS_HEAVY] = True
        return answer

    async def listing(self, where: str, query: Mapping[str, str], accept: str, most: int) -> Listing:
        """Return a list of objects, each to be read when it is its turn.

        Raises ApiError with reason TooLarge where it has more than so many bytes.
        """
        total = aiohttp.ClientTimeout(total=self._timings.list_seconds)
        asked = self._request("GET", where, query, None, "application/json", total, accept)
        return Listing(await self._content(asked, most), whole_bytes=HEAVY)

    async def text(self, where: str, query: Mapping[str, str] | None = None) -> str:
        """Return an answer that is no object, as a log is not."""
        total = aiohttp.ClientTimeout(total=self._timings.request_seconds)
        asked = self._request("GET", where, query or {}, None, "application/json", total, accept="*/*")
        return (await self._content(asked)).decode(errors="replace")

    async def lines(
        self, where: str, query: Mapping[str, str], silence: float, accepted: Callable[[], None]
    ) -> AsyncGenerator[bytes]:
        """Yield the lines of an answer as they come, for at most so many seconds; tell when it has begun."""
        timeout = aiohttp.ClientTimeout(total=silence, sock_connect=self._timings.request_seconds)
        try:
            response = await self._request("GET", where, query, None, "application/json", timeout)
            async with response:
                if response.status >= 400:
                    raise error_from(response.status, await _read(response, MAX_BYTES))
                accepted()
                async for line in lines(response.content):
                    yield line
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _away(error) from error

    async def _content(self, asked: Awaitable[aiohttp.ClientResponse], most: int = MAX_BYTES) -> bytes:
        """Return what a request that is not sent yet is answered with."""
        sent_at = self._clock.local()
        try:
            async with await asked as response:
                content = await _read(response, most)
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise _away(error) from error
        self._clock.hear(response.headers.get("Date"), sent_at)
        if response.status >= 400:
            told = response.headers.get("Retry-After")
            raise error_from(response.status, content, whole=self._whole_errors, retry_after=told)
        return content

    async def _request(
        self,
        method: str,
        where: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | Sequence[Any] | None,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
        accept: str = "application/json",
        more: Headers = (),
    ) -> aiohttp.ClientResponse:
        if not API_PATH.fullmatch(where):
            raise ApiError(400, "BadRequest", f"{where} is no path of the API: a name in it holds what no name may")
        url = f"{self._client.configuration.host}{where}"
        if query:
            url += f"?{urlencode(query)}"

        async def send() -> tuple[aiohttp.ClientResponse, str | None]:
            headers = CIMultiDict({"Accept": accept, "Content-Type": content_type, **self._client.default_headers})
            # What an agent has written may be small on the way and fill the memory here.
            headers["Accept-Encoding"] = "identity"
            await self._client.update_params_for_auth(headers, [], ["BearerToken"], where, method, body)
            shown = headers.get("Authorization")
            headers.extend(self._headers)
            headers.extend(more)
            # The generated calls build models of every answer, which costs more than the request: content is read raw.
            answer = await self._client.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=timeout
            )
            return answer.response, shown

        response, shown = await send()
        if response.status == 401 and self._renew is not None and await asyncio.to_thread(self._renew, shown):
            # Who is not known was not listened to: nothing has been done yet.
            response.release()
            response, _ = await send()
        return response


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return an answer, which is given up where it has more than so many bytes."""
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > most:
            response.close()
            raise _too_large("an answer", most)
    return bytes(content)


async def lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield the lines of an answer, however long: the reader's own limit is below what an object may weigh."""
    rest = bytearray()
    async for chunk in content.iter_any():
        first, *more = chunk.split(b"\n")
        rest += first
        if len(rest) > MAX_BYTES:
            raise _too_large("a line of a watch", MAX_BYTES)
        for following in more:
            yield bytes(rest)
            rest = bytearray(following)


def _too_large(what: str, most: int) -> ApiError:
    return ApiError(0, TOO_LARGE, f"{what} of the API server has more than {most // 2**20} MiB, and was given up")


def _unreadable(where: str, problem: object) -> ApiError:
    return ApiError(0, UNREADABLE, f"the API server's answer at {where} cannot be read: {problem}")


def _away(error: BaseException) -> ApiError:
    what = "did not answer in time" if isinstance(error, TimeoutError) else f"cannot be reached: {error}"
    return ApiError(0, UNREACHABLE, f"the API server {what}")
