"""The chart's gateway on a real API server: started as it is rendered, with the rights of its account and no others."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.support import agents, helm
from tests.support.guarded import API_GROUP
from tests.support.kube import CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS, TASKS, Object
from tests.support.laws import status, stop_of
from tests.support.waiting import PATIENCE, until

from .conftest import ROBOT, SERVED, Door, Site
from .test_releases import KIND, available, nothing_left, stops_proven, together

HERE, THERE = SERVED


async def running(site: Site, namespace: str, name: str) -> Object:
    """Run a task; return it once it runs."""
    body = {**KIND, "metadata": {"name": name}, "spec": {"podTemplate": agents.template(agents.graceful())}}
    await site.cluster.kube.create(TASKS, namespace, body)

    async def runs() -> bool:
        return status(await site.cluster.kube.get(TASKS, namespace, name)).get("phase") == "Running"

    await until(runs, PATIENCE, f"task {name} running")
    return await site.cluster.kube.get(TASKS, namespace, name)


async def let_stop(site: Site, namespace: str, *subjects: Object, kind: str = "ClusterRole") -> None:
    """Give somebody the chart's role to stop in a namespace."""
    role = {"apiGroup": API_GROUP, "kind": kind, "name": "agentstop-stop"}
    body = {"metadata": {"name": "stoppers"}, "roleRef": role, "subjects": list(subjects)}
    await site.cluster.kube.create(ROLE_BINDINGS, namespace, body)


def somebody(kind: str, name: str) -> Object:
    return {"apiGroup": API_GROUP, "kind": kind, "name": name}


@pytest.fixture(autouse=True)
async def _nothing_stays(site: Site) -> AsyncIterator[None]:
    yield
    for namespace in SERVED:
        for kind in (TASKS, ROLE_BINDINGS):
            for each in await site.cluster.kube.list(kind, namespace):
                await site.cluster.kube.delete(kind, namespace, each["metadata"]["name"])


async def test_helm_test_stops_a_task_through_it(door: Door) -> None:
    with helm.connected(door.site.cluster.kubeconfig) as releases:
        await releases.install(values=door.values)
        await available(door.site)
        await available(door.site, name="agentstop-gateway")
        before = await stops_proven(door.site, helm.NAMESPACE)
        await releases.test()
        assert await stops_proven(door.site, helm.NAMESPACE) == before + 1
        async with aiohttp.ClientSession() as session, session.get(f"{door.url}/metrics") as answer:
            assert 'agentstop_gateway_requests_total{code="200",dialect="xpander"}' in await answer.text()
        await releases.uninstall()
        await nothing_left(door.site)


async def test_a_key_stops_in_its_users_name_and_nobody_else_is_impersonated(door: Door) -> None:
    site = door.site
    with helm.connected(site.cluster.kubeconfig) as releases:
        await releases.install(values=door.values)
        await available(site)
        await available(site, name="agentstop-gateway")
        # By then the API server's policies know the kinds.
        await releases.test()
        account = {"kind": "ServiceAccount", "namespace": HERE, "name": "ci"}
        await let_stop(site, HERE, somebody("User", "jane"), somebody("Group", "oncall"), account)
        jane, robot, night = (
            door.keys.add(*who, name=name)
            for name, who in (("jane", ("jane",)), ("robot", (ROBOT,)), ("night", ("jane", "oncall")))
        )
        for user, key in (("jane", jane), (ROBOT, robot), ("jane", night)):
            task = await running(site, HERE, "a")
            code, body = await door.stop(task, key)
            assert (code, body["status"]) == (200, "stopped"), body
            stopped = await site.cluster.kube.get(TASKS, HERE, "a")
            assert stop_of(stopped)["requestedBy"] == user
            await site.cluster.kube.delete(TASKS, HERE, "a")

        task = await running(site, HERE, "b")
        strangers = [("mallory",), ("jane", "night-shift"), (f"system:serviceaccount:{THERE}:ci",), ("system:admin",)]
        for number, who in enumerate([*strangers, ("jane", "system:masters")]):
            code, body = await door.stop(task, door.keys.add(*who, name=f"stranger-{number}"))
            assert code == 403, body
            assert "cannot impersonate" in body["detail"]
        # Where she has no role, she has none through the gateway either.
        elsewhere = await running(site, THERE, "c")
        code, body = await door.stop(elsewhere, jane)
        assert (code, "jane" in body["detail"]) == (403, True)
        for name, namespace in (("b", HERE), ("c", THERE)):
            assert not (await site.cluster.kube.get(TASKS, namespace, name))["spec"].get("stopRequested")


async def test_of_single_namespaces_it_serves_these(door: Door) -> None:
    site = door.site
    with helm.connected(site.cluster.kubeconfig) as releases:
        await releases.install(values=together(door.values, {"watchNamespaces": [HERE]}))
        await available(site)
        await available(site, name="agentstop-gateway")
        await releases.test()
        bindings = await site.cluster.kube.list(CLUSTER_ROLE_BINDINGS)
        assert f"{helm.NAMESPACE}-agentstop-gateway" in {each["metadata"]["name"] for each in bindings}
        await let_stop(site, HERE, somebody("User", "jane"), kind="Role")
        task = await running(site, HERE, "a")
        code, body = await door.stop(task, door.keys.add("jane"))
        assert (code, body["status"]) == (200, "stopped"), body
        await releases.uninstall()
        await nothing_left(site)
