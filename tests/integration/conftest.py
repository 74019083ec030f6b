"""Clusters, namespaces and operators for the integration tests."""

import secrets
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest

from tests.support import apiserver, clusters
from tests.support.clusters import Cluster
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.workloads import Workloads

CLUSTERS = ("playground", "apiserver", "whole")

LOG_CHARACTERS = 6000
"""So much of an operator's log is shown with a test that fails."""

HERE = Path(__file__).parent

GROUPS = {
    **dict.fromkeys(("test_adoption", "test_endings", "test_rights", "test_jobs", "test_sandboxes"), 1),
    **dict.fromkeys(("test_busy_kubelets", "test_grace"), 1),
    **dict.fromkeys(("test_late_controllers", "test_disruptions", "test_takeovers"), 3),
    **dict.fromkeys(("test_crashes", "test_nodes", "test_failover"), 2),
    **dict.fromkeys(("test_orders", "test_families", "test_pausing"), 3),
}
"""Which files' tests run after one another in one process: four processes a cluster, with about as much to do each."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test on all clusters that have what it needs."""
    if "cluster" not in metafunc.fixturenames:
        return
    given = metafunc.config.getoption("kubeconfig") is not None
    names = [name for name in CLUSTERS if given or name != "whole"]
    metafunc.parametrize("cluster", names, indirect=True, scope="package")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the tests over processes (xdist's --dist loadgroup) so that few of them start a cluster of their own."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and "cluster" in callspec.params:
            group = GROUPS.get(item.path.stem, 0)
            item.add_marker(pytest.mark.xdist_group(f"{callspec.params['cluster']} {group}"))
        elif item.path.parent == HERE:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of the operators' logs with a test that fails."""
    report = yield
    operators = getattr(item, "funcargs", {}).get("operators")
    if report.failed and isinstance(operators, Operators):
        report.sections += [(name, text[-LOG_CHARACTERS:]) for name, text in operators.logs().items()]
    return report


@pytest.fixture(scope="package")
async def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "playground":
        context = clusters.playground(folder)
    elif request.param == "apiserver":
        reason = apiserver.missing()
        if reason is not None:
            pytest.skip(reason)
        context = clusters.real(folder)
    else:
        context = clusters.whole(
            request.config.getoption("kubeconfig"), folder, request.config.getoption("kubelet_command")
        )
    async with context as cluster:
        yield cluster


@pytest.fixture(scope="package")
async def operators(cluster: Cluster) -> AsyncIterator[Operators]:
    operators = Operators(cluster)
    yield operators
    await operators.end()


@pytest.fixture(autouse=True)
def _needs(request: pytest.FixtureRequest) -> None:
    """Skip what the cluster cannot do."""
    mark = request.node.get_closest_marker("needs")
    if mark is None:
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    missing = [feature.value for feature in mark.args if feature not in cluster.features]
    if missing:
        pytest.skip(f"cluster {cluster.name} does not have it that {' and '.join(missing)}")


@pytest.fixture
async def ns(cluster: Cluster) -> AsyncIterator[Namespace]:
    """A namespace for this test alone; at its end, what happened in it is held against the rules."""
    namespace = Namespace(cluster, f"t-{secrets.token_hex(4)}")
    await namespace.open()
    yield namespace
    try:
        namespace.check()
    finally:
        await namespace.close()


@pytest.fixture
async def workloads(ns: Namespace, cluster: Cluster) -> AsyncIterator[Workloads]:
    """Jobs, Deployments and sandboxes in the test's namespace, on a cluster that has their controllers and kinds."""
    async with clusters.looked_after(cluster, ns.name):
        yield Workloads(ns)


@pytest.fixture
async def operator(ns: Namespace, operators: Operators) -> AsyncIterator[Operator]:
    """An operator that serves the test's namespace."""
    operator = await operators.serve(ns.name)
    since = len(operator.program.text())
    yield operator
    mistakes = operator.mistakes(since)
    await operators.end_private()
    assert not mistakes, f"the operator's log tells of mistakes: {mistakes}"


@pytest.fixture
async def launch(ns: Namespace, operators: Operators) -> AsyncIterator[Operators]:
    """For tests that start and end operators of their own."""
    await operators.end_shared()
    yield operators
    ended = await operators.end_private()
    assert not [each.program.log for each in ended if "Traceback" in each.program.text()]
