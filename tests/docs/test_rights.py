"""The rights that the documentation asks for suffice to stop every kind of workload."""

from collections.abc import AsyncIterator

import pytest
import yaml

from tests.support import apiserver, clusters
from tests.support.clusters import OPERATOR_USER, Cluster
from tests.support.kube import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, NAMESPACES
from tests.support.operators import Operator
from tests.support.orders import Orders

from . import agents
from .conftest import Place
from .documents import ROOT, blocks

API_GROUP = "rbac.authorization.k8s.io"


@pytest.fixture
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A cluster on which the operator's user has the rights of the documentation, and no others."""
    if reason := apiserver.missing():
        pytest.skip(reason)
    async with clusters.real(tmp_path_factory.mktemp("rights")) as cluster:
        (role,) = (
            yaml.safe_load(block.text) for block in blocks(ROOT / "docs/operations.md") if "rules:" in block.text
        )
        name = role["metadata"]["name"]
        await cluster.kube.create(CLUSTER_ROLES, "", role)
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": API_GROUP, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": API_GROUP, "kind": "User", "name": OPERATOR_USER}],
        }
        await cluster.kube.create(CLUSTER_ROLE_BINDINGS, "", binding)
        yield cluster


async def test_they_suffice(guarded: Cluster) -> None:
    assert guarded.operator_token is not None
    kubeconfig = guarded.kubeconfig_of(guarded.operator_token)
    operator = await Operator.start(guarded, kubeconfig=kubeconfig)
    try:
        for name in ("researcher", "job", "deployment", "sandbox", "claim"):
            place = Place(guarded, name, kubeconfig)
            await guarded.kube.create(NAMESPACES, "", {"metadata": {"name": name}})
            objects = await agents.run(place, name)
            await agents.stop(place, objects)
            status = await agents.ended(place, objects[-1]["metadata"]["name"])
            assert (status["phase"], status["stop"]["verdict"]) == ("Stopped", "Graceful")
        for kind in ("StopOrder", "ClusterStopOrder"):
            namespace = kind.lower()
            place = Place(guarded, namespace, kubeconfig)
            await guarded.kube.create(NAMESPACES, "", {"metadata": {"name": namespace}})
            objects = await agents.run(place, "researcher")
            orders = Orders(guarded, namespace)
            order = await (orders.make() if kind == "StopOrder" else orders.make_wide())
            status = await agents.ended(place, objects[-1]["metadata"]["name"])
            assert (status["stop"]["source"], status["stop"]["order"]["kind"]) == ("StopOrder", kind)
            await order.phase("Complete")
            await orders.close()
    finally:
        await operator.program.end()
    assert "forbidden" not in operator.program.text().lower()
