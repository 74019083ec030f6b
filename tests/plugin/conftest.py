"""A playground without an operator, where tests write statuses by themselves, and one with it."""

import secrets
from collections.abc import AsyncIterator

import pytest

from tests.plugin.commands import Cli
from tests.plugin.paper import Paper
from tests.support import clusters
from tests.support.clusters import Cluster
from tests.support.kube import NAMESPACES
from tests.support.namespaces import Namespace
from tests.support.operators import Operator

HERE = "tests/plugin/"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests together that share a playground."""
    for item in items:
        if item.nodeid.startswith(HERE):
            acted = "operated" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group("plugin with operator" if acted else "plugin"))


@pytest.fixture(scope="package")
async def bare(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A playground where no operator runs."""
    async with clusters.playground(tmp_path_factory.mktemp("bare")) as cluster:
        yield cluster


@pytest.fixture(scope="package")
async def operated(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A playground with an operator."""
    async with clusters.playground(tmp_path_factory.mktemp("operated")) as cluster:
        operator = await Operator.start(cluster)
        yield cluster
        await operator.program.end()


@pytest.fixture
async def paper(bare: Cluster) -> Paper:
    """A namespace in which nobody but the test acts."""
    name = f"p-{secrets.token_hex(4)}"
    await bare.kube.create(NAMESPACES, "", {"metadata": {"name": name}})
    return Paper(bare.kube, name)


@pytest.fixture
def cli(bare: Cluster) -> Cli:
    """The command where nobody but the test acts."""
    return Cli(bare.kubeconfig)


@pytest.fixture
async def ns(operated: Cluster) -> AsyncIterator[Namespace]:
    """A namespace that an operator serves."""
    namespace = Namespace(operated, f"t-{secrets.token_hex(4)}")
    await namespace.open()
    yield namespace
    try:
        namespace.check()
    finally:
        await namespace.close()


@pytest.fixture
def live(operated: Cluster) -> Cli:
    """The command where an operator acts."""
    return Cli(operated.kubeconfig)
