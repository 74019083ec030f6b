"""Where attackers are let loose: a cluster with the chart's policies if there can be one, and agents' usual rights."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.support import apiserver, clusters
from tests.support.clusters import Cluster
from tests.support.guarded import API_GROUP, guarded
from tests.support.kube import NAMESPACES, ROLE_BINDINGS, ROLES, Kube

ATTACKER: Final = "attacker"

ROLES_OF_AGENTS: Final = (
    # What the role `edit` is put together from; nobody puts it together without Kubernetes' controllers.
    "system:aggregate-to-edit",
    "system:aggregate-to-view",
    "agentstop-edit",
    "agentstop-stop",
)

MORE: Final = (
    {"apiGroups": ["agents.x-k8s.io"], "resources": ["*"], "verbs": ["*"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["*"]},
)
"""What the operators of sandboxes and the like add to `edit`."""


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    """The real API server where its programs are, or else the playground, which has no policies."""
    context = clusters.playground(folder) if apiserver.missing() else guarded(folder, [ATTACKER])
    async with context as cluster:
        yield cluster


@asynccontextmanager
async def attacker(cluster: Cluster) -> AsyncIterator[tuple[Kube, str]]:
    """An agent with the rights that agents really get in a namespace of its own: its client and the namespace."""
    namespace = f"hostile-{secrets.token_hex(4)}"
    await cluster.kube.create(NAMESPACES, "", {"metadata": {"name": namespace}})
    guarded_one = ATTACKER in cluster.tokens
    if guarded_one:
        await cluster.kube.create(ROLES, namespace, {"metadata": {"name": "more"}, "rules": list(MORE)})
        for kind, role in (*(("ClusterRole", each) for each in ROLES_OF_AGENTS), ("Role", "more")):
            body = {
                "metadata": {"name": role},
                "roleRef": {"apiGroup": API_GROUP, "kind": kind, "name": role},
                "subjects": [{"apiGroup": API_GROUP, "kind": "User", "name": ATTACKER}],
            }
            await cluster.kube.create(ROLE_BINDINGS, namespace, body)
    kube = await Kube.open(cluster.kubeconfig_of(cluster.tokens[ATTACKER]) if guarded_one else cluster.kubeconfig)
    try:
        yield kube, namespace
    finally:
        await kube.close()
        await cluster.kube.delete(NAMESPACES, "", namespace)
