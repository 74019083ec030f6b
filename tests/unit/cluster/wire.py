"""A server on loopback that keeps what it is asked, and answers as it is told."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.unit.objects import Raw

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class SeenRequest:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Server:
    """Keeps what it is asked, and answers as it is told."""

    seen: list[SeenRequest] = field(default_factory=list)
    answer: Answer | None = None
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        body = json.loads(text) if text else None
        self.seen.append(SeenRequest(request.method, request.path, dict(request.query), dict(request.headers), body))
        if self.answer is not None:
            return await self.answer(request)
        return web.json_response({"kind": "Pod"})

    def says(self, status: int, body: Raw) -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.json_response(body, status=status)

        self.answer = answer
