"""A collector of traces on loopback: takes OTLP/HTTP, and keeps what it gets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """What arrived."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.answers = asyncio.Event()
        self.answers.set()

    @property
    def names(self) -> list[str]:
        """Names of the spans, in the order in which they came."""
        return [span.name for span in self.spans]

    async def take(self, request: web.Request) -> web.Response:
        """Take spans in."""
        await self.answers.wait()
        assert request.content_type == "application/x-protobuf"
        message = ExportTraceServiceRequest.FromString(await request.read())
        for each in message.resource_spans:
            given = {item.key: item.value.string_value for item in each.resource.attributes}
            self.services.add(given["service.name"])
            self.spans += [span for scope in each.scope_spans for span in scope.spans]
        return web.Response(body=b"", content_type="application/x-protobuf")


@asynccontextmanager
async def collecting(port: int) -> AsyncIterator[Collector]:
    """Listen on a port."""
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield collector
    finally:
        collector.answers.set()
        await runner.cleanup()
