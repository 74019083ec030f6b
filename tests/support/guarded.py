"""A real API server with all that the chart installs on it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support import clusters, installed
from tests.support.clusters import Cluster
from tests.support.kube import CLUSTER_ROLE_BINDINGS, CONFIG_MAPS, Kube, KubeError, Object
from tests.support.waiting import until

API_GROUP = "rbac.authorization.k8s.io"

_NAMED = {"apiVersion": installed.POLICY_GROUP, "metadata": {"name": "sentinel"}}
_CREATION = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
SENTINEL: Sequence[Object] = (
    {
        **_NAMED,
        "kind": "ValidatingAdmissionPolicy",
        "spec": {
            "matchConstraints": {"resourceRules": [_CREATION]},
            "validations": [{"expression": "object.metadata.name != 'sentinel'"}],
        },
    },
    {
        **_NAMED,
        "kind": "ValidatingAdmissionPolicyBinding",
        "spec": {"policyName": "sentinel", "validationActions": ["Deny"]},
    },
)
"""Refuses one name. It is made last, and policies are taken in in order: once it counts, all that validate do."""


@asynccontextmanager
async def guarded(folder: Path, users: Sequence[str]) -> AsyncIterator[Cluster]:
    """The cluster; of `users` none has any right. One of them is given all for a moment, to try the policies."""
    async with clusters.real(folder, users=users) as cluster:
        await installed.install(cluster.kube, installed.rights())
        await installed.install(cluster.kube, [*installed.policies(), *SENTINEL])
        await _until_they_count(cluster, users[0])
        yield cluster


async def _until_they_count(cluster: Cluster, user: str) -> None:
    """Wait until the policies count: the API server takes a moment to read them."""
    client, kube = await Kube.open(cluster.kubeconfig_of(cluster.tokens[user])), cluster.kube
    subject = {"apiGroup": API_GROUP, "kind": "User", "name": user}
    reference = {"apiGroup": API_GROUP, "kind": "ClusterRole", "name": "agentstop-stop"}
    await kube.create(
        CLUSTER_ROLE_BINDINGS, "", {"metadata": {"name": "try"}, "roleRef": reference, "subjects": [subject]}
    )
    where = "/apis/agentstop.dev/v1alpha1/namespaces/default/stoporders"
    spec = {"selector": {"matchLabels": {"team": "nobody"}}}

    async def made(**metadata: Any) -> Object:
        body = {"apiVersion": "agentstop.dev/v1alpha1", "kind": "StopOrder", "metadata": {"name": "try", **metadata}}
        return await client.call("POST", where, {**body, "spec": spec}, query={"dryRun": "All"})

    async def last_counts() -> bool:
        try:
            await kube.call(
                "POST", CONFIG_MAPS.path("default"), {"metadata": {"name": "sentinel"}}, query={"dryRun": "All"}
            )
        except KubeError as error:
            return error.code == 422
        return False

    async def counted() -> bool:
        if not await last_counts():
            return False
        try:
            stamped = bool((await made())["metadata"].get("annotations"))
        except KubeError:
            return False
        try:
            await made(finalizers=[f"example.com/f{number}" for number in range(17)])
        except KubeError:
            return stamped
        return False

    try:
        await until(counted, installed.ACTIVE_SECONDS, "orders are stamped, and held to their bounds")
    finally:
        await kube.delete(CLUSTER_ROLE_BINDINGS, "", "try")
        await client.close()
