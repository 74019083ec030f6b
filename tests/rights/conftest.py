"""A real API server with all that the chart installs on it, and users who have single rights."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import apiserver
from tests.support.aftermath import Aftermath
from tests.support.clusters import Cluster
from tests.support.guarded import API_GROUP, guarded
from tests.support.kube import CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS, ROLES, Kube, Object
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.workloads import Workloads

USERS = ("jane", "agent", "neighbour", "maker")
"""None of them has any right but those that a test gives."""


HERE = "tests/rights/"

ATTACKS = ("test_after_attacks",)
"""Files whose tests share an API server; the rest share another one."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have what needs the API server run in one process (xdist's --dist loadgroup)."""
    for item in items:
        if item.nodeid.startswith(HERE) and "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("rights attacks" if item.path.stem in ATTACKS else "rights"))


@dataclass
class Users:
    """The users of one test."""

    cluster: Cluster
    namespace: str
    stack: AsyncExitStack
    _count: int = field(default=0)

    async def bind(self, user: str, role: str, namespace: str | None = None) -> Kube:
        """Give a user one of the chart's roles, in the test's namespace or (empty) in all; return a client."""
        await self._bind(user, {"apiGroup": API_GROUP, "kind": "ClusterRole", "name": role}, namespace)
        return await self.client(user)

    async def grant(
        self, user: str, *rules: tuple[str, str, Sequence[str]], name: str = "", namespace: str | None = None
    ) -> Kube:
        """Give a user verbs on group/resource in the test's namespace, of one object where it is named."""
        self._count += 1
        role = f"{user}-{self._count}"
        named = {"resourceNames": [name]} if name else {}
        rights = [
            {"apiGroups": [group], "resources": [what], "verbs": list(verbs), **named} for group, what, verbs in rules
        ]
        await self.cluster.kube.create(
            ROLES, namespace or self.namespace, {"metadata": {"name": role}, "rules": rights}
        )
        await self._bind(user, {"apiGroup": API_GROUP, "kind": "Role", "name": role}, namespace)
        return await self.client(user)

    async def client(self, user: str) -> Kube:
        """Return a client of a user."""
        kube = await Kube.open(self.kubeconfig(user))
        self.stack.push_async_callback(kube.close)
        return kube

    def kubeconfig(self, user: str) -> Path:
        """Return a kubeconfig of a user."""
        return self.cluster.kubeconfig_of(self.cluster.tokens[user])

    async def _bind(self, user: str, role: Object, namespace: str | None) -> None:
        name = f"{user}-{secrets.token_hex(4)}"
        body: Object = {
            "metadata": {"name": name},
            "roleRef": role,
            "subjects": [{"apiGroup": API_GROUP, "kind": "User", "name": user}],
        }
        if namespace == "":
            await self.cluster.kube.create(CLUSTER_ROLE_BINDINGS, "", body)
            self.stack.push_async_callback(self.cluster.kube.delete, CLUSTER_ROLE_BINDINGS, "", name)
        else:
            await self.cluster.kube.create(ROLE_BINDINGS, namespace or self.namespace, body)


@pytest.fixture(scope="package")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    if reason := apiserver.missing():
        pytest.skip(reason)
    async with guarded(tmp_path_factory.mktemp("guarded"), USERS) as cluster:
        yield cluster


@pytest.fixture(scope="package")
async def operators(cluster: Cluster) -> AsyncIterator[Operators]:
    operators = Operators(cluster)
    yield operators
    await operators.end()


@pytest.fixture
async def ns(cluster: Cluster) -> AsyncIterator[Namespace]:
    """A namespace for this test alone; at its end, what happened in it is held against the rules."""
    namespace = Namespace(cluster, f"r-{secrets.token_hex(4)}")
    await namespace.open()
    yield namespace
    try:
        namespace.check()
    finally:
        await namespace.close()


@pytest.fixture
async def users(cluster: Cluster, ns: Namespace) -> AsyncIterator[Users]:
    async with AsyncExitStack() as stack:
        yield Users(cluster, ns.name, stack)


@pytest.fixture
async def operator(ns: Namespace, operators: Operators) -> AsyncIterator[Operator]:
    """The operator, with the rights that the chart gives it."""
    operator = await operators.serve(ns.name)
    since = len(operator.program.text())
    yield operator
    mistakes = operator.mistakes(since)
    assert not mistakes, f"the operator's log tells of mistakes: {mistakes}"


@pytest.fixture
async def aftermath(cluster: Cluster, operators: Operators, operator: Operator) -> Aftermath:
    """What must hold after each attack, with its object still in place."""
    return Aftermath(cluster, operators)


@pytest.fixture
async def workloads(ns: Namespace) -> Workloads:
    """Jobs, Deployments and sandboxes in the test's namespace."""
    return Workloads(ns)
