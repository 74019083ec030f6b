"""Clusters, namespaces and operators for the integration tests."""

import enum
import secrets
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass

import pytest

from tests.support import apiserver, clusters, components, installed, shared
from tests.support.clusters import Cluster, Feature
from tests.support.components import NodeComponent
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.run import run_of
from tests.support.workloads import Workloads

CLUSTERS = ("playground", "apiserver", "whole")

REAL = frozenset({Feature.KUBELET_COMMAND, Feature.MEMORY_LIMITS, Feature.IMAGE_CHANGES})
LACKS = {"playground": REAL | {Feature.RBAC}}
"""What a cluster never has: none is started for a test that needs it."""

ALONE = ("test_busy_kubelets", "test_crowd")
"""Files whose exclusive tests have a cluster for themselves: one takes long, the other leaves a full one behind. A
cluster costs as much as many tests, so there are few."""


class Use(enum.Enum):
    """How a test uses its cluster."""

    SERVED = "with all processes of the run, and with one operator of all namespaces"
    PRIVATE = "with all processes of the run; it starts operators of its own namespace"
    EXCLUSIVE = "with few others, one after the other"


@dataclass(frozen=True)
class Place:
    """Where a test runs."""

    kind: str
    use: Use


LOG_CHARACTERS = 6000
"""So much of an operator's log is shown with a test that fails."""

HERE = "tests/integration/"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "exclusive: halts or changes what tests share, or counts what all of them do")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test on a real API server where there is one, and with --all on the playground as well.

    A cluster that is given counts beside these. All have to have what the test needs.
    """
    if "cluster" not in metafunc.fixturenames:
        return
    given = metafunc.config.getoption("kubeconfig") is not None
    needed = {feature for mark in metafunc.definition.iter_markers("needs") for feature in mark.args}
    names = [name for name in CLUSTERS if (given or name != "whole") and not needed & LACKS.get(name, frozenset())]
    if not metafunc.config.getoption("all") and "apiserver" in names and apiserver.missing() is None:
        names = [name for name in names if name != "playground"]
    use = _use(metafunc) if run_of(metafunc.config) is not None else Use.EXCLUSIVE
    places = [Place(name, use if name != "whole" else Use.EXCLUSIVE) for name in names]
    metafunc.parametrize("cluster", places, ids=names, indirect=True, scope="package")


def _use(metafunc: pytest.Metafunc) -> Use:
    if any(metafunc.definition.iter_markers("exclusive")):
        return Use.EXCLUSIVE
    return Use.PRIVATE if "launch" in metafunc.fixturenames else Use.SERVED


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have tests run in one process (xdist's --dist loadgroup) that share a cluster which others do not."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        place = callspec.params.get("cluster") if callspec is not None else None
        if isinstance(place, Place) and place.use is Use.EXCLUSIVE:
            part = "" if place.kind == "whole" else item.path.stem if item.path.stem in ALONE else "others"
            item.add_marker(pytest.mark.xdist_group(f"{place.kind} {part}".strip()))
        elif not isinstance(place, Place) and item.nodeid.startswith(HERE):
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
    place: Place = request.param
    if place.kind == "apiserver" and (reason := apiserver.missing()):
        pytest.skip(reason)
    folder, run = tmp_path_factory.mktemp(place.kind), run_of(request.config)
    if place.use is not Use.EXCLUSIVE and run is not None:
        context = shared.attached(run, place.kind, served=place.use is Use.SERVED)
    elif place.kind == "playground":
        context = clusters.playground(folder)
    elif place.kind == "apiserver":
        context = clusters.real(folder)
    else:
        context = clusters.whole(
            request.config.getoption("kubeconfig"), folder, request.config.getoption("kubelet_command")
        )
    async with context as cluster:
        yield cluster


@pytest.fixture(scope="package")
async def operators(cluster: Cluster) -> AsyncIterator[Operators]:
    operators = Operators(cluster, shared.operator_of(cluster))
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
    mistakes = operator.mistakes(since, ns.name)
    await operators.end_private()
    assert not mistakes, f"the operator's log tells of mistakes: {mistakes}"


@pytest.fixture
async def launch(ns: Namespace, operators: Operators) -> AsyncIterator[Operators]:
    """For tests that start and end operators of their own."""
    await operators.end_shared()
    yield operators
    ended = await operators.end_private()
    assert not [each.program.log for each in ended if "Traceback" in each.program.text()]


@pytest.fixture
async def node(ns: Namespace, cluster: Cluster) -> AsyncIterator[NodeComponent]:
    """The component on the cluster's node."""
    async with components.component(cluster, ns.name) as made:
        yield made


@pytest.fixture
async def asking(ns: Namespace, cluster: Cluster, launch: Operators) -> Operator:
    """An operator that asks the nodes."""
    if Feature.RBAC in cluster.features and cluster.operator_kubeconfig is not None:
        await installed.let_ask_nodes(cluster.kube, ns.name)
    return await launch.start(ns.name, options=["--ask-nodes"])
