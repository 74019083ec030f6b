"""A thin client of the API server: the same for all that is compared, and as cheap as it can be."""

import json
import ssl as tls
import time
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from agentstop.cluster.connection import load_configuration

JsonObject = dict[str, Any]

MERGE: Final = "application/merge-patch+json"
STRATEGIC_MERGE: Final = "application/strategic-merge-patch+json"
WATCH_SECONDS: Final = 3600
LARGEST_LINE: Final = 8 * 1024 * 1024


class RequestFailedError(Exception):
    """The API server did not do as asked; `code` is its HTTP status code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Api:
    """Requests to the API server that KUBECONFIG names. Raises RequestFailedError for answers that are no success."""

    def __init__(self, session: aiohttp.ClientSession, host: str) -> None:
        self._session = session
        self._host = host

    @classmethod
    async def connect(cls) -> Self:
        """Return a client of the API server that the environment names."""
        configuration = await load_configuration()
        header = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        ssl: Any = True
        if configuration.host.startswith("https"):
            ssl = tls.create_default_context(cafile=configuration.ssl_ca_cert)
            if configuration.cert_file:
                ssl.load_cert_chain(configuration.cert_file, configuration.key_file)
            if not configuration.verify_ssl:
                ssl.check_hostname = False
                ssl.verify_mode = tls.CERT_NONE
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=ssl),
            headers={"Authorization": header} if header else {},
            timeout=aiohttp.ClientTimeout(total=60),
            read_bufsize=1 << 20,
        )
        return cls(session, configuration.host)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, content_type: str = "application/json"
    ) -> JsonObject:
        """Make one request and return the answer."""
        data = json.dumps(body) if body is not None else None
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        async with self._session.request(method, self._host + path, data=data, headers=headers) as response:
            content = await response.read()
        if response.status >= 400:
            raise RequestFailedError(response.status, f"{method} {path}: {response.status} {content[:300]!r}")
        answer: JsonObject = json.loads(content)
        return answer

    async def patch(self, path: str, body: Mapping[str, Any]) -> JsonObject:
        """Merge into an object."""
        return await self.call("PATCH", path, body, MERGE)

    async def watch(self, path: str, version: str) -> AsyncIterator[tuple[float, str, JsonObject]]:
        """Yield (moment of arrival by time.perf_counter, event type, object) from a resource version on."""
        url = (
            f"{self._host}{path}?watch=true&allowWatchBookmarks=true&resourceVersion={version}"
            f"&timeoutSeconds={WATCH_SECONDS}"
        )
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.get(url, timeout=timeout, headers={"Accept": "application/json"}) as response:
            if response.status >= 400:
                raise RequestFailedError(response.status, (await response.read()).decode(errors="replace")[:300])
            rest = b""
            async for chunk in response.content.iter_any():
                at = time.perf_counter()
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise RequestFailedError(event["object"].get("code", 0), f"the watch of {path} broke: {event}")
                    yield at, event["type"], event["object"]
                if len(rest) > LARGEST_LINE:
                    raise RequestFailedError(0, f"the watch of {path} sent a line without end")
