"""API servers, namespaces and nodes for the tests of the playground's node."""

import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support import apiserver

from agentstop_playground.server import ApiServer

from .cluster import Cluster, Endpoint


@contextlib.asynccontextmanager
async def playground(folder: Path) -> AsyncIterator[Endpoint]:
    token = secrets.token_urlsafe(16)
    server = ApiServer(token=token, crds=[])
    await server.start()
    kubeconfig = folder / "kubeconfig"
    apiserver.write_kubeconfig(kubeconfig, server.url, token, None)
    yield Endpoint(server.url, token, None, kubeconfig)
    await server.stop()


@pytest.fixture(scope="package", params=["playground", "kube-apiserver"])
async def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Endpoint]:
    folder = tmp_path_factory.mktemp("apiserver")
    if request.param == "playground":
        async with playground(folder) as endpoint:
            yield endpoint
        return
    reason = apiserver.missing()
    if reason is not None:
        pytest.skip(reason)
    async with apiserver.control_plane(folder) as plane:
        yield Endpoint(plane.url, plane.token, plane.ssl(), plane.kubeconfig)


@pytest.fixture
async def empty_cluster(endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A namespace without a node."""
    cluster = Cluster(endpoint, f"t-{secrets.token_hex(4)}", tmp_path / "data")
    await cluster.open()
    yield cluster
    await cluster.close()


@pytest.fixture
async def cluster(empty_cluster: Cluster) -> AsyncIterator[Cluster]:
    """A namespace with a node that serves it."""
    node = empty_cluster.node()
    await node.start()
    yield empty_cluster
    await node.stop()
