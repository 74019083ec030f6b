"""API servers with and without Kubernetes' own controllers, and a bench on each."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.support import apiserver, controllers, definitions
from tests.support.kube import Kube

from agentstop_playground.controllers import ray_crds, sandbox_crds
from agentstop_playground.server import ApiServer

from .bench import Bench, Endpoint

OURS = ("playground", "kube-apiserver")
ALL = (*OURS, "kube-controller-manager")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that are marked `ours` look at what only our controllers do, or do without delay."""
    if "endpoint" in metafunc.fixturenames:
        marks = {mark.name for mark in metafunc.definition.iter_markers()}
        endpoints = OURS[:1] if "playground_only" in marks else OURS if "ours" in marks else ALL
        metafunc.parametrize("endpoint", endpoints, indirect=True, scope="package")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "ours: not for Kubernetes' own controllers")
    config.addinivalue_line("markers", "playground_only: not for a real API server")


@pytest.fixture(scope="package")
async def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Endpoint]:
    """Each of the API servers in turn."""
    if request.param == "playground":
        token = secrets.token_urlsafe(16)
        server = ApiServer(token=token, crds=[*sandbox_crds(), *ray_crds()])
        await server.start()
        yield Endpoint(server.url, token)
        await server.stop()
        return
    native = request.param == "kube-controller-manager"
    reason = apiserver.missing()
    if reason is not None:
        pytest.skip(reason)
    if native and not controllers.has_manager():
        pytest.skip("no kube-controller-manager beside kube-apiserver")
    folder = tmp_path_factory.mktemp("control-plane")
    async with AsyncExitStack() as stack:
        plane = await stack.enter_async_context(apiserver.control_plane(folder))
        kube = await Kube.open(plane.kubeconfig)
        stack.push_async_callback(kube.close)
        await definitions.install(kube, [*sandbox_crds(), *ray_crds()])
        if native:
            await stack.enter_async_context(controllers.kubernetes(plane, folder))
        yield Endpoint(plane.url, plane.token, plane.ssl(), native=native, collects_garbage=native)


@pytest.fixture
async def idle_bench(endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Bench]:
    """A namespace with a node, and nobody who looks after anything but pods."""
    bench = Bench(endpoint, f"t-{secrets.token_hex(4)}", tmp_path)
    await bench.open()
    yield bench
    await bench.close()


@pytest.fixture
async def bench(idle_bench: Bench) -> Bench:
    """A namespace with a node and controllers."""
    await idle_bench.control()
    return idle_bench
