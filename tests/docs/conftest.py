"""A cluster with the operator, on which documents and examples are tried as a reader tries them."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.support import clusters
from tests.support.clusters import Cluster
from tests.support.kube import NAMESPACES, TASKS
from tests.support.operators import Operators
from tests.support.waiting import PATIENCE, until

HERE = "tests/docs/"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try everything on the playground, and on the cluster that was given."""
    if "cluster" in metafunc.fixturenames:
        given = metafunc.config.getoption("kubeconfig") is not None
        metafunc.parametrize("cluster", ("playground", "whole") if given else ("playground",), indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have what needs the same cluster run in the same process (xdist's --dist loadgroup)."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and "cluster" in callspec.params and item.nodeid.startswith(HERE):
            item.add_marker(pytest.mark.xdist_group(f"docs {callspec.params['cluster']}"))


@pytest.fixture(scope="package")
async def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    folder = tmp_path_factory.mktemp(f"docs-{request.param}")
    given = request.config.getoption("kubeconfig")
    context = clusters.playground(folder) if request.param == "playground" else clusters.whole(given, folder)
    async with context as cluster:
        yield cluster


@pytest.fixture(scope="package")
async def operators(cluster: Cluster) -> AsyncIterator[Operators]:
    operators = Operators(cluster)
    yield operators
    await operators.end()


@dataclass(frozen=True)
class Place:
    """A namespace that an operator serves, and a kubeconfig that leads there."""

    cluster: Cluster
    namespace: str
    kubeconfig: Path


@pytest.fixture
async def place(cluster: Cluster, operators: Operators, tmp_path: Path) -> AsyncIterator[Place]:
    namespace = f"d-{secrets.token_hex(4)}"
    await cluster.kube.create(NAMESPACES, "", {"metadata": {"name": namespace}})
    content = yaml.safe_load(cluster.kubeconfig.read_text())
    for context in content["contexts"]:
        context["context"]["namespace"] = namespace
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(content))
    async with clusters.looked_after(cluster, namespace):
        await operators.serve(namespace)
        yield Place(cluster, namespace, kubeconfig)
        await _clear(cluster, namespace)
    await operators.end_private()


async def _clear(cluster: Cluster, namespace: str) -> None:
    """Remove the tasks while there is an operator to take its finalizers off, and then the rest."""
    for task in await cluster.kube.list(TASKS, namespace):
        await cluster.kube.delete(TASKS, namespace, task["metadata"]["name"], missing_ok=True)

    async def none_left() -> bool:
        return not await cluster.kube.list(TASKS, namespace)

    await until(none_left, PATIENCE, "the end of all tasks")
    await cluster.kube.delete(NAMESPACES, "", namespace)
