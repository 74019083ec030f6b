"""A real API server on which the chart is installed, and whose node runs the chart's pods as processes."""

import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.support import apiserver, clusters, controllers, helm
from tests.support.clusters import Cluster
from tests.support.gateways import Keys
from tests.support.helm import NAMESPACE
from tests.support.kube import CRDS, NAMESPACES, TASKS, KubeError, Object
from tests.support.programs import ROOT, free_port
from tests.support.waiting import PATIENCE, until

HERE = "tests/chart/"

ELSEWHERE = "elsewhere"
"""Another namespace for releases."""

SECOND = "brake"
"""Another release."""

SERVED = ("team-a", "team-b")
"""Namespaces that are served alone."""

PLACES = (NAMESPACE, ELSEWHERE, *SERVED)
"""All namespaces in which there may be something."""

ROBOT = f"system:serviceaccount:{SERVED[0]}:ci"
"""A service account that API keys may stand for."""

ACCOUNTS = ("agentstop", "agentstop-gateway", "agentstop-test", "agentstop-unprotect")


def _users() -> list[str]:
    """Return the users that the service accounts of the chart's pods are, for all releases of these tests."""
    names = [*ACCOUNTS, *(f"{SECOND}-{name}" for name in ACCOUNTS)]
    return [f"system:serviceaccount:{where}:{name}" for where in PLACES for name in names]


DEFINITION_SECONDS = 3 * PATIENCE
"""So long the end of a definition may take: a busy API server gives its objects a minute, and then begins anew.

Source: https://github.com/kubernetes/apiextensions-apiserver/blob/master/pkg/controller/finalizer/crd_finalizer.go
"""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have what needs the cluster run in the same process (xdist's --dist loadgroup)."""
    for item in items:
        if item.nodeid.startswith(HERE) and "site" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("chart"))


def _how_it_ends(definition: Object) -> str:
    """Return what the API server says of a definition that is being deleted."""
    conditions = definition.get("status", {}).get("conditions", [])
    said = [f"{each['reason']}: {each['message']}" for each in conditions if each["type"] == "Terminating"]
    return f"{definition['metadata']['name']}: {', '.join(said) or 'nothing is said'}"


@dataclass(frozen=True)
class Site:
    """A cluster without anything of ours."""

    cluster: Cluster
    values: Object
    """What a user would not set: with these the node can run the chart's pods as processes of this machine."""

    async def definitions(self) -> list[Object]:
        """Return our CustomResourceDefinitions."""
        return [each for each in await self.cluster.kube.list(CRDS) if each["spec"]["group"] == "agentstop.dev"]

    async def clear(self) -> None:
        """Uninstall everything, and remove what stays of it: the tasks, and the definitions."""
        for namespace in PLACES:
            with helm.connected(self.cluster.kubeconfig, namespace) as releases:
                for name in await releases.names():
                    await releases.uninstall(name)
        for each in await self.definitions():
            await self.cluster.kube.delete(CRDS, "", each["metadata"]["name"])

        left: list[str] = []

        async def gone() -> bool:
            left[:] = [_how_it_ends(each) for each in await self.definitions()]
            return not left

        try:
            await until(gone, DEFINITION_SECONDS, "the end of our definitions")
        except AssertionError as error:
            raise AssertionError(f"{error}: {'; '.join(left)}") from None

    async def tasks(self, namespace: str) -> list[Object]:
        """Return the tasks of a namespace; none where there is no such kind."""
        try:
            return await self.cluster.kube.list(TASKS, namespace)
        except KubeError as error:
            if error.code != 404:
                raise
            return []


@pytest.fixture(scope="package")
async def bare(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    if reason := apiserver.missing():
        pytest.skip(reason)
    if not controllers.has_manager():
        pytest.skip(f"no {controllers.MANAGER} in $KUBEBUILDER_ASSETS or {apiserver.DEFAULT_ASSETS}")
    async with clusters.real(tmp_path_factory.mktemp("chart"), users=_users(), crds=False) as cluster:
        for user in _users():
            content = yaml.safe_load(cluster.kubeconfig.read_text())
            content["users"][0]["user"] = {"token": cluster.tokens[user]}
            (cluster.folder / f"{user.replace(':', '.')}.kubeconfig").write_text(yaml.safe_dump(content))
        for name in PLACES:
            labels = {} if name in SERVED else {"pod-security.kubernetes.io/enforce": "restricted"}
            await cluster.kube.create(NAMESPACES, "", {"metadata": {"name": name, "labels": labels}})
        yield cluster


@pytest.fixture
async def site(bare: Cluster) -> AsyncIterator[Site]:
    account = "system.serviceaccount.$(NAMESPACE).$(ACCOUNT).kubeconfig"
    values = {
        "metrics": {"port": free_port()},
        "extraArgs": ["--bind-address=127.0.0.1", f"--health-port={free_port()}"],
        "extraEnv": [
            {"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "ACCOUNT", "valueFrom": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}}},
            {"name": "KUBECONFIG", "value": f"{bare.folder}/{account}"},
            {"name": "PYTHONPATH", "value": str(ROOT / "operator")},
            {"name": "PATH", "value": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        ],
    }
    found = Site(bare, values)
    yield found
    await found.clear()


@dataclass
class Door:
    """A gateway that the chart is to install."""

    site: Site
    keys: Keys
    url: str
    values: Object

    async def stop(self, task: Object, key: str) -> tuple[int, Any]:
        """Stop a task through it; return code and body of the answer."""
        url = f"{self.url}/xpander/v1/tasks/{task['metadata']['uid']}/stop"
        async with aiohttp.ClientSession() as session, session.post(url, headers={"x-api-key": key}) as answer:
            return answer.status, await answer.json()


@pytest.fixture
def door(site: Site) -> Door:
    """The gateway's values, and what of them a user would not set: pods are processes of this machine."""
    port = free_port()
    keys = Keys(site.cluster.folder / f"keys-{port}.yaml")
    url = f"http://127.0.0.1:{port}"
    values = {
        "enabled": True,
        "replicaCount": 1,
        "url": url,
        "keys": {"secretName": "made-later"},
        "impersonate": {"users": ["jane", ROBOT], "groups": ["oncall"]},
        "extraArgs": ["--bind-address=127.0.0.1", f"--port={port}", f"--keys={keys.path}"],
    }
    return Door(site, keys, url, {**site.values, "gateway": values})
