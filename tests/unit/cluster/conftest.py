"""A gateway, and a server on loopback at its other end."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from agentstop.cluster.gateway import Gateway
from agentstop.cluster.transport import Transport

from .wire import Server


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def transport(server: Server) -> AsyncIterator[Transport]:
    configuration = Configuration()
    configuration.host = server.url
    configuration.api_key = {"BearerToken": "secret"}
    configuration.api_key_prefix = {"BearerToken": "Bearer"}
    transport = Transport(configuration)
    yield transport
    await transport.close()


@pytest.fixture
def gateway(transport: Transport) -> Gateway:
    return Gateway(transport)
