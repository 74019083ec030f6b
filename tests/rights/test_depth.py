"""Tasks whose template is nested too deep to be read, made by an agent that may edit its namespace and no more."""

import json
import secrets
from collections.abc import AsyncIterator

import pytest

from tests.support import agents
from tests.support.clusters import Cluster
from tests.support.kube import TASKS, Kube, KubeError, Object
from tests.support.laws import status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.orders import Orders

from .conftest import Users
from .test_admission import EDIT, task

MARK = '"containers": '

TEMPLATES = {
    "an unknown field": '"deep": %s, "containers": ',
    "a map": '"nodeSelector": %s, "containers": ',
    "metadata in it": '"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"resources":'
    ' {"requests": {"storage": "1Mi"}}}, "metadata": {"managedFields": [{"fieldsV1": %s}]}}}}], "containers": ',
}


@pytest.fixture
async def elsewhere(cluster: Cluster) -> AsyncIterator[Namespace]:
    """Somebody else's namespace."""
    namespace = Namespace(cluster, f"o-{secrets.token_hex(4)}")
    await namespace.open()
    yield namespace
    await namespace.close()


@pytest.mark.parametrize("levels", [1_200, 9_900, 12_000])
@pytest.mark.parametrize("where", TEMPLATES)
async def test_no_template_blinds_the_others(
    ns: Namespace, elsewhere: Namespace, users: Users, cluster: Cluster, operator: Operator, where: str, levels: int
) -> None:
    agent = await users.grant("agent", ("agentstop.dev", "agenttasks", EDIT), ("", "pods", EDIT))
    await elsewhere.create_task("other", agents.template(agents.graceful()))
    deep = '{"a":' * levels + "1" + "}" * levels
    changes: tuple[Object, ...] = ({}, {"stopRequested": True})
    for change in changes:
        body = task(f"deep-{len(change)}", **change)
        await post(agent, ns, json.dumps(body).replace(MARK, TEMPLATES[where] % deep, 1))

    everything = await cluster.kube.list(TASKS)
    assert '{"a": {"a": ' not in json.dumps(everything)
    await elsewhere.running("other")
    await elsewhere.stop("other")
    assert stop_of(await elsewhere.ended("other"))["verdict"] == "Graceful"
    orders = Orders(cluster, ns.name)
    order = await orders.make()
    assert await order.phase("Complete")
    # A node of the tests knows no claims of storage, and a pod that asks for one fails there by itself.
    assert {status(each)["phase"] for each in await cluster.kube.list(TASKS, ns.name)} <= {"Stopped", "Failed"}
    await orders.close()


async def post(agent: Kube, ns: Namespace, body: str) -> None:
    """Send it as it is: Python could not write it from an object. The API server may refuse it as it likes."""
    try:
        await agent.call("POST", TASKS.path(ns.name), body)
    except KubeError as error:
        assert error.code in {400, 422, 500}, error  # noqa: PT017
