"""API servers and namespaces for the tests."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from tests.support import apiserver
from tests.support.waiting import PATIENCE

from agentstop_playground.server import ApiServer

from .api import Api, Endpoint
from .objects import DEFINITION, FLEETS, SCALED, WIDGETS


@pytest_asyncio.fixture(scope="package")
async def playground() -> AsyncIterator[ApiServer]:
    """A playground server with the tests' definitions."""
    server = ApiServer(token=secrets.token_urlsafe(16), crds=[DEFINITION, SCALED])
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(scope="package", params=["playground", "kube-apiserver"])
async def endpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, playground: ApiServer
) -> AsyncIterator[Endpoint]:
    """Each of the servers in turn."""
    if request.param == "playground":
        yield Endpoint(playground.url, playground.kubeconfig()["users"][0]["user"]["token"])
        return
    reason = apiserver.missing()
    if reason is not None:
        pytest.skip(reason)
    async with apiserver.control_plane(tmp_path_factory.mktemp("apiserver")) as plane:
        yield Endpoint(plane.url, plane.token, plane.ssl(), real=True)


@pytest_asyncio.fixture(scope="package")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as opened:
        yield opened


async def _in_namespace(endpoint: Endpoint, session: aiohttp.ClientSession) -> Api:
    api = Api(endpoint, session, f"t-{secrets.token_hex(4)}")
    created = await api.create("/api/v1/namespaces", {"metadata": {"name": api.ns}})
    assert created.status == 201, created.body
    return api


@pytest_asyncio.fixture(scope="package")
async def defined(endpoint: Endpoint, session: aiohttp.ClientSession) -> Endpoint:
    """The server, once it serves the tests' kinds."""
    api = Api(endpoint, session, "default")
    if endpoint.real:
        for definition, plural in ((DEFINITION, WIDGETS), (SCALED, FLEETS)):
            created = await api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
            assert created.status == 201, created.body
            for _ in range(int(PATIENCE * 10)):
                if (await api.get(api.path(plural))).status == 200:
                    break
                await asyncio.sleep(0.1)
    return endpoint


@pytest_asyncio.fixture
async def api(defined: Endpoint, session: aiohttp.ClientSession) -> AsyncIterator[Api]:
    """A namespace of one's own on each of the servers."""
    opened = await _in_namespace(defined, session)
    yield opened
    await opened.delete(f"/api/v1/namespaces/{opened.ns}")


@pytest_asyncio.fixture
async def play(playground: ApiServer, session: aiohttp.ClientSession) -> AsyncIterator[Api]:
    """A namespace of one's own on the playground: for what a bare kube-apiserver does not do."""
    endpoint = Endpoint(playground.url, playground.kubeconfig()["users"][0]["user"]["token"])
    opened = await _in_namespace(endpoint, session)
    yield opened
    await opened.delete(f"/api/v1/namespaces/{opened.ns}")
