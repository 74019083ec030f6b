"""Nodes that play dead."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tests.support.clusters import NODE, Cluster, is_ready
from tests.support.kube import NODES
from tests.support.waiting import PATIENCE, until

REHEARSAL: Final = "playground.agentstop.dev/kubelet"


@asynccontextmanager
async def dead_kubelet(cluster: Cluster) -> AsyncIterator[None]:
    """Have the node play dead, its containers running on."""

    async def set_to(value: str | None, ready: bool) -> None:
        await cluster.kube.merge(NODES, "", NODE, {"metadata": {"annotations": {REHEARSAL: value}}})

        async def there() -> bool:
            return is_ready(await cluster.kube.get(NODES, "", NODE)) is ready

        await until(there, PATIENCE, f"node ready: {ready}")

    await set_to("dead", False)
    try:
        yield
    finally:
        await set_to(None, True)
