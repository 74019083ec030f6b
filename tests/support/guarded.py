"""A real API server with all that the chart installs on it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support import clusters, installed
from tests.support.clusters import Cluster
from tests.support.kube import CLUSTER_ROLE_BINDINGS, Kube, KubeError
from tests.support.waiting import until

API_GROUP = "rbac.authorization.k8s.io"


@asynccontextmanager
async def guarded(folder: Path, users: Sequence[str]) -> AsyncIterator[Cluster]:
    """The cluster; of `users` none has any right. One of them is given all for a moment, to try the policies."""
    async with clusters.real(folder, users=users) as cluster:
        await installed.install(cluster.kube, installed.rights())
        await installed.install(cluster.kube, installed.policies())
        await _until_they_count(cluster, users[0])
        yield cluster


async def _until_they_count(cluster: Cluster, user: str) -> None:
    """Wait until every policy counts: the API server takes a moment to read them."""
    client, kube = await Kube.open(cluster.kubeconfig_of(cluster.tokens[user])), cluster.kube
    subject = {"apiGroup": API_GROUP, "kind": "User", "name": user}
    reference = {"apiGroup": API_GROUP, "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"metadata": {"name": "try"}, "roleRef": reference, "subjects": [subject]}
    task = {"apiVersion": "agentstop.dev/v1alpha1", "kind": "AgentTask", "metadata": {"name": "try"}}
    spec = {"podTemplate": {"spec": {"containers": [{"name": "a", "image": "a"}]}}, "stopRequested": True}
    where = "/apis/agentstop.dev/v1alpha1/namespaces/default/agenttasks"
    await kube.create(CLUSTER_ROLE_BINDINGS, "", binding)

    async def stamped() -> bool:
        try:
            made = await client.call("POST", where, {**task, "spec": spec}, query={"dryRun": "All"})
        except KubeError:
            return False
        return bool(made["metadata"].get("annotations"))

    try:
        await until(stamped, installed.ACTIVE_SECONDS, "stops are stamped")
    finally:
        await kube.delete(CLUSTER_ROLE_BINDINGS, "", "try")
        await client.close()
