"""Clusters, operators and gateways: on the playground, and on a real API server with all that the chart installs."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.rights.conftest import Users
from tests.support import apiserver, browsers, clusters, laws
from tests.support.clusters import Cluster, Feature
from tests.support.gateways import Client, Gateway
from tests.support.guarded import API_GROUP, guarded
from tests.support.kube import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Object
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.waiting import PATIENCE, until

from .api import PREFIX

GATEWAY_USER = "agentstop-gateway"
"""User with the gateway's rights, and no others."""

USERS = ("jane", "joe", GATEWAY_USER)

HERE = "tests/gateway/"

ON_BOTH = (
    "test_callers",
    "test_every_dialect",
    "test_api_tasks",
    "test_api_orders",
    "test_api_events",
    "test_hooks",
    "test_meter",
)
"""Files whose tests ask all that a gateway asks of an API server: lists, watches, patches, and those that fail. With
--all they run on the playground as well. What the others try is the gateway's own: what it takes a request for, and how
it words the answer."""

FREEZING = "freezing playground"
"""A playground whose node freezes what it is asked to, for the tests that are marked so."""

SECOND = ("test_a2a", "test_wexa", "test_wexa_sdk", "test_xpander", "test_xpander_sdk")
"""Files whose tests share another cluster and gateway than the rest: two parts with about as much to do each."""

RULES: list[Object] = [
    {
        "apiGroups": ["agentstop.dev"],
        "resources": ["agenttasks", "stoporders", "clusterstoporders"],
        "verbs": ["get", "list", "watch"],
    },
    {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["jane", "joe"]},
    {"apiGroups": [""], "resources": ["groups"], "verbs": ["impersonate"], "resourceNames": ["oncall", "night-shift"]},
]
"""What the gateway may do: look at tasks and orders, and be whom its keys stand for."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what needs a cluster on a real API server; all of it on the playground where that is all that there is."""
    if "cluster" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("all") and Path(metafunc.module.__file__).stem in ON_BOTH
        both = wanted or apiserver.missing() is not None
        mark = metafunc.definition.get_closest_marker("on")
        kinds = mark.args if mark is not None else ("playground", "apiserver") if both else ("apiserver",)
        metafunc.parametrize("cluster", kinds, indirect=True, scope="package")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have what needs the same cluster run in the same process (xdist's --dist loadgroup)."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and "cluster" in callspec.params and item.nodeid.startswith(HERE):
            part = "vendors" if item.path.stem in SECOND else "others"
            item.add_marker(pytest.mark.xdist_group(f"gateway {callspec.params['cluster']} {part}"))


@pytest.fixture(scope="package")
async def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    folder = tmp_path_factory.mktemp(f"gateway-{request.param}")
    if request.param == "apiserver" and (reason := apiserver.missing()):
        pytest.skip(reason)
    component = request.param == FREEZING
    playground = component or request.param == "playground"
    context = clusters.playground(folder, component=component) if playground else guarded(folder, USERS)
    async with context as cluster:
        if Feature.RBAC in cluster.features:
            await _give_rights(cluster)
        yield cluster


async def _give_rights(cluster: Cluster) -> None:
    name = {"metadata": {"name": GATEWAY_USER}}
    await cluster.kube.create(CLUSTER_ROLES, "", {**name, "rules": RULES})
    role = {"apiGroup": API_GROUP, "kind": "ClusterRole", "name": GATEWAY_USER}
    subject = {"apiGroup": API_GROUP, "kind": "User", "name": GATEWAY_USER}
    await cluster.kube.create(CLUSTER_ROLE_BINDINGS, "", {**name, "roleRef": role, "subjects": [subject]})


@pytest.fixture(autouse=True)
def _needs(request: pytest.FixtureRequest) -> None:
    """Skip what the cluster cannot do."""
    mark = request.node.get_closest_marker("needs")
    if mark is not None:
        cluster: Cluster = request.getfixturevalue("cluster")
        missing = [feature.value for feature in mark.args if feature not in cluster.features]
        if missing:
            pytest.skip(f"cluster {cluster.name} does not have it that {' and '.join(missing)}")


@pytest.fixture(scope="package")
async def operators(cluster: Cluster) -> AsyncIterator[Operators]:
    operators = Operators(cluster)
    yield operators
    await operators.end()


class KnownNamespace(Namespace):
    """A namespace whose ends the gateway knows of as well, before a test goes on: its own watch may be behind."""

    reader: Client | None = None

    async def ended(self, name: str, seconds: float = PATIENCE) -> Object:
        task = await super().ended(name, seconds)
        if self.reader is not None:
            await self._known(self.reader, task, seconds)
        return task

    async def _known(self, reader: Client, task: Object, seconds: float) -> None:
        path = f"/tasks/{task['metadata']['uid']}"

        async def is_known() -> bool:
            return bool((await reader.get(path))["phase"] in laws.TERMINAL)

        await until(is_known, seconds, f"the gateway knows of the end of {task['metadata']['name']}")


@pytest.fixture
async def ns(cluster: Cluster) -> AsyncIterator[KnownNamespace]:
    """A namespace for this test alone; at its end, what happened in it is held against the rules."""
    namespace = KnownNamespace(cluster, f"g-{secrets.token_hex(4)}")
    await namespace.open()
    yield namespace
    try:
        namespace.check()
    finally:
        await namespace.close()


@pytest.fixture(scope="package")
async def browser() -> AsyncIterator[Browser]:
    async with browsers.chromium() as browser:
        yield browser


@pytest.fixture
async def operator(ns: Namespace, operators: Operators) -> Operator:
    """An operator that serves the test's namespace."""
    return await operators.serve(ns.name)


def gateway_kubeconfig(cluster: Cluster) -> Path:
    """Return the kubeconfig of a gateway: with its own rights alone, where the cluster tells rights apart."""
    if Feature.RBAC not in cluster.features:
        return cluster.kubeconfig
    return cluster.kubeconfig_of(cluster.tokens[GATEWAY_USER])


@pytest.fixture(scope="package")
async def shared_gateway(cluster: Cluster) -> AsyncIterator[Gateway]:
    gateway = await Gateway.start(cluster, kubeconfig=gateway_kubeconfig(cluster), options=["--wait", "8"])
    yield gateway
    await gateway.program.end()


@pytest.fixture
def gateway(shared_gateway: Gateway) -> Iterator[Gateway]:
    """The gateway of all tests of a cluster; its log must not tell of mistakes."""
    since = len(shared_gateway.program.text())
    yield shared_gateway
    mistakes = shared_gateway.mistakes(since)
    assert not mistakes, f"the gateway's log tells of mistakes: {mistakes}"


@dataclass
class People:
    """Who may do what in the test's namespace."""

    users: Users
    cluster: Cluster

    async def bind(self, user: str, role: str, namespace: str | None = None) -> None:
        """Give a user one of the chart's roles; on a cluster without rights, everybody may do everything."""
        if Feature.RBAC in self.cluster.features:
            await self.users.bind(user, role, namespace)


@pytest.fixture
async def people(cluster: Cluster, ns: Namespace) -> AsyncIterator[People]:
    async with AsyncExitStack() as stack:
        yield People(Users(cluster, ns.name, stack), cluster)


@pytest.fixture
async def jane(gateway: Gateway, people: People, ns: KnownNamespace) -> str:
    """The API key of jane, who may stop, change and delete tasks in the test's namespace."""
    await people.bind("jane", "agentstop-edit")
    key = gateway.keys.add("jane")
    ns.reader = Client(gateway, PREFIX, key)
    return key
