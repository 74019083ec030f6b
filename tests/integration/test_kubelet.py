"""A kubelet that really dies, where the tests may end it: its containers run on, and nobody knows."""

import asyncio
import shlex
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support import agents
from tests.support.clusters import Cluster, Feature, is_ready
from tests.support.kube import NODES
from tests.support.laws import conditions_of, exit_code, stalled, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.waiting import PATIENCE, until

pytestmark = [pytest.mark.needs(Feature.KUBELET_COMMAND), pytest.mark.exclusive]


async def tell(cluster: Cluster, word: str) -> None:
    assert cluster.kubelet_command is not None
    command = [*shlex.split(cluster.kubelet_command), word]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"


@asynccontextmanager
async def without_kubelet(cluster: Cluster, node: str) -> AsyncIterator[None]:
    async def ready() -> bool:
        return is_ready(await cluster.kube.get(NODES, "", node))

    await tell(cluster, "stop")
    try:
        yield
    finally:
        await tell(cluster, "start")
        await until(ready, PATIENCE, f"node {node} ready again")


async def test_a_stop_waits_for_a_kubelet_that_died(ns: Namespace, operator: Operator, cluster: Cluster) -> None:
    await ns.create_task("a", agents.template(agents.graceful(), grace=2))
    task = await ns.running("a")
    node = str(status(task)["workload"]["pods"][0]["node"])
    async with without_kubelet(cluster, node):
        await ns.stop("a")
        task = await ns.stalled("a", "NodeUnreachable")
        assert status(task)["phase"] == "Stopping"
        assert node in conditions_of(task)["Stalled"]["message"]
        assert status(await ns.task("a"))["phase"] == "Stopping"
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_code(task)) == ("Stopped", "Graceful", 0)
    assert stalled(task) is None


async def test_an_agent_that_ends_while_its_kubelet_is_dead(
    ns: Namespace, operator: Operator, cluster: Cluster
) -> None:
    await ns.create_task("a", agents.template(agents.ending(5), grace=2))
    task = await ns.running("a")
    async with without_kubelet(cluster, str(status(task)["workload"]["pods"][0]["node"])):
        await ns.stop("a")
        await ns.stalled("a", "NodeUnreachable")
    task = await ns.ended("a")
    assert (status(task)["phase"], exit_code(task)) == ("Stopped", 0)
