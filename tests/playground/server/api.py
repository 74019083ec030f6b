"""A plain HTTP client for the tests: what is sent and what is answered, with nothing in between."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any

import aiohttp
from tests.support.waiting import PATIENCE

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"


@dataclass(frozen=True)
class Endpoint:
    """An API server to test against."""

    url: str
    token: str
    ssl: SSLContext | None = None
    real: bool = False


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    body: Any
    warnings: list[str]

    @property
    def message(self) -> str:
        return str(self.body["message"])

    @property
    def causes(self) -> set[tuple[str, str, str]]:
        """The field errors as (field, reason, message)."""
        found = (self.body.get("details") or {}).get("causes") or []
        return {(item.get("field", ""), item["reason"], item.get("message", "")) for item in found}


@dataclass
class Watch:
    """An open watch; events arrive in order."""

    response: aiohttp.ClientResponse
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def next(self) -> tuple[str, Any]:
        """The next event that is no bookmark."""
        while True:
            kind, obj = await self.next_frame()
            if kind != "BOOKMARK":
                return kind, obj

    async def next_frame(self) -> tuple[str, Any]:
        line = await asyncio.wait_for(self.response.content.readline(), PATIENCE)
        assert line, "the watch has ended"
        event = json.loads(line)
        self.seen.append(event)
        return event["type"], event["object"]

    async def names(self, count: int) -> list[tuple[str, str]]:
        """The types and names of the next events."""
        return [(kind, obj["metadata"]["name"]) for kind, obj in [await self.next() for _ in range(count)]]


class Api:
    """Requests to one server; ``ns`` is a namespace that belongs to the test."""

    def __init__(self, endpoint: Endpoint, session: aiohttp.ClientSession, ns: str) -> None:
        self.endpoint = endpoint
        self.ns = ns
        self._session = session

    def path(self, plural: str, name: str = "") -> str:
        """The path of an object in the test's namespace; ``plural`` may be ``group/version/plural``."""
        base, _, plural = plural.rpartition("/")
        prefix = f"/apis/{base}" if base else "/api/v1"
        return f"{prefix}/namespaces/{self.ns}/{plural}" + (f"/{name}" if name else "")

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        agent: str = "tester/1.0",
        token: str | None = None,
    ) -> Answer:
        headers = {"Accept": accept, "User-Agent": agent}
        token = self.endpoint.token if token is None else token
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = body if isinstance(body, str | bytes) else json.dumps(body)
        url = self.endpoint.url + path
        async with self._session.request(
            method, url, data=data, headers=headers, ssl=self.endpoint.ssl or True
        ) as answer:
            text = await answer.text()
            try:
                parsed = json.loads(text)
            except ValueError:
                parsed = text
            return Answer(answer.status, parsed, answer.headers.getall("Warning", []))

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.call("GET", path, **options)

    async def create(self, path: str, body: Any, **options: Any) -> Answer:
        return await self.call("POST", path, body, **options)

    async def put(self, path: str, body: Any, **options: Any) -> Answer:
        return await self.call("PUT", path, body, **options)

    async def patch(self, path: str, body: Any, content_type: str = MERGE_PATCH, **options: Any) -> Answer:
        return await self.call("PATCH", path, body, content_type=content_type, **options)

    async def delete(self, path: str, body: Any = None, **options: Any) -> Answer:
        return await self.call("DELETE", path, body, **options)

    @asynccontextmanager
    async def watch(
        self, path: str, params: Mapping[str, str], accept: str = "application/json"
    ) -> AsyncIterator[Watch]:
        headers = {"Authorization": f"Bearer {self.endpoint.token}", "Accept": accept}
        async with self._session.get(
            self.endpoint.url + path,
            params={"watch": "true", **params},
            headers=headers,
            ssl=self.endpoint.ssl or True,
        ) as response:
            assert response.status == 200, await response.text()
            yield Watch(response)
