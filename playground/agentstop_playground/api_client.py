"""A small Kubernetes API client on plain aiohttp, for any API server."""

import asyncio
import json
import random
import ssl
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp

from agentstop_playground.decoding import decode

MERGE_PATCH = "application/merge-patch+json"

CONNECTIONS = 64
"""Requests under way at once; more wait for their turn, so that a mass stop does not flood the API server."""
REQUEST_TIMEOUT = 20.0
"""Seconds for one request; a watch has its own bound."""
WATCH_SECONDS = 300
"""Seconds after which the API server ends a watch, which is then begun anew."""
BACKOFF_FIRST = 0.05
BACKOFF_MOST = 5.0
"""Seconds between attempts to reach an API server that is away."""

Object = dict[str, Any]
"""A Kubernetes object as JSON has it."""


class ApiError(Exception):
    """The API server refused a request, or (code 0) could not be reached."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


def backoff(attempt: int) -> float:
    """Seconds to wait before the attempt with this number (1 is the first repetition), with jitter."""
    return float(min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** min(attempt, 10)) * random.uniform(0.7, 1.3))  # noqa: S311 - no secret


class ApiClient:
    """Requests with JSON in and out, and watches. ``agent`` is who the API server sees writing."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        agent: str = "agentstop-playground",
    ) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._ssl = ssl_context
        self._agent = agent
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the connection pool, in the running loop."""
        headers = {"User-Agent": self._agent}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        connector = aiohttp.TCPConnector(limit=0, ssl=self._ssl if self._ssl is not None else True)
        # Nothing of the environment's proxies: the API server is the one that was named.
        self._session = aiohttp.ClientSession(connector=connector, headers=headers, trust_env=False)
        self._slots = asyncio.Semaphore(CONNECTIONS)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content_type: str = "application/json",
        timeout: float = REQUEST_TIMEOUT,
    ) -> Object:
        """Do one request; raises ApiError."""
        session = self._opened()
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": content_type} if data is not None else {}
        try:
            async with (
                self._slots,
                session.request(
                    method,
                    self._url + path,
                    data=data,
                    headers=headers,
                    timeout=aiohttp.ClientTimeout(total=timeout),
                ) as response,
            ):
                text = await response.read()
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ApiError(0, "Unreachable", f"{method} {path}: {_words(error)}") from error
        return _decoded(status, text, f"{method} {path}")

    async def watch(self, path: str, resource_version: str) -> AsyncGenerator[Object, None]:
        """Yield watch events until the server ends the watch; raises ApiError."""
        session = self._opened()
        query = {
            "watch": "true",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_TIMEOUT, sock_read=WATCH_SECONDS + 30)
        try:
            async with session.get(self._url + path, params=query, timeout=timeout) as response:
                if response.status != 200:
                    _decoded(response.status, await response.read(), f"watch of {path}")
                rest = b""
                # Not readline: a pod may be larger than any line limit.
                async for data in response.content.iter_any():
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        if line.strip():
                            yield decode(line)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise ApiError(0, "Unreachable", f"watch of {path}: {_words(error)}") from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the API client is not open")
        return self._session


def _words(error: Exception) -> str:
    # Time-outs have no text of their own.
    return str(error) or type(error).__name__


def _decoded(status: int, text: bytes, what: str) -> Object:
    try:
        answer = decode(text) if text else {}
    except ValueError:
        answer = {}
    if status >= 400:
        details = answer if isinstance(answer, dict) else {}
        message = str(details.get("message") or text[:200].decode(errors="replace"))
        raise ApiError(status, str(details.get("reason") or ""), f"{what}: {message}")
    if not isinstance(answer, dict):
        raise ApiError(status, "", f"{what}: the answer is no JSON object")
    return answer
