"""A hundred tasks that one tenant has filled up to what the store takes, in half of the memory that the chart gives."""

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.support import agents
from tests.support.clusters import Cluster, Feature
from tests.support.kube import NAMESPACES, TASKS, Object
from tests.support.laws import stop_of
from tests.support.namespaces import API_VERSION, Namespace
from tests.support.operators import MODULE, Operator, Operators
from tests.support.run import run_of
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.exclusive

TASKS_OF_THE_CROWD = 100
FINALIZERS = 5_700
"""Of each of them: some 1.15 MB, which costs the API server least of all that is large."""

MAX_MIB = 256
"""Half of what the chart's `resources.limits.memory` allows: whoever kept what these tasks hold, 115 MB as text and
more than that once it is read, had no room for it."""

SIGNAL_SECONDS = 1.0
"""Where the API server takes longer for small patches meanwhile, it is twice what they take at most, but no more than
`MAX_SIGNAL_SECONDS`."""
MAX_SIGNAL_SECONDS = 5.0
TURN_SECONDS = 60.0
"""A large object that is to end is read before the others of its namespace, which have all just changed."""

AT_ONCE = 4


def full(name: str) -> Object:
    """Return a paused task of that size."""
    domain = f"{'a' * 60}.{'b' * 60}.example.com"
    finalizers = [f"{domain}/{'f' * 50}-{number:05}" for number in range(FINALIZERS)]
    spec = {"podTemplate": agents.template(agents.graceful()), "paused": True}
    metadata = {"name": name, "finalizers": finalizers}
    return {"apiVersion": API_VERSION, "kind": "AgentTask", "metadata": metadata, "spec": spec}


@pytest.fixture
async def crowd(request: pytest.FixtureRequest, ns: Namespace, cluster: Cluster) -> AsyncIterator[str]:
    """A namespace that is full of them."""
    name = f"{ns.name}-crowd"
    await cluster.kube.create(NAMESPACES, "", {"metadata": {"name": name}})
    at_once = asyncio.Semaphore(AT_ONCE)

    async def make(number: int) -> None:
        async with at_once:
            await cluster.kube.create(TASKS, name, full(f"t{number}"))

    await asyncio.gather(*map(make, range(TASKS_OF_THE_CROWD)))
    yield name
    if run_of(request.config) is not None:
        return  # the cluster goes, too

    async def empty(number: int) -> None:
        async with at_once:
            await cluster.kube.merge(TASKS, name, f"t{number}", {"metadata": {"finalizers": None}})

    await asyncio.gather(*map(empty, range(TASKS_OF_THE_CROWD)))
    await cluster.kube.call("DELETE", TASKS.path(name))
    await cluster.kube.delete(NAMESPACES, "", name)


def most_mib(operator: Operator) -> float:
    """Return the most memory that a process has taken so far."""
    (kib,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{operator.program.pid}/status").read_text("utf-8"))
    return int(kib) / 1024


@pytest.mark.needs(Feature.OWN_SERVER, Feature.RBAC)
@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc")
async def test_a_crowd_of_large_tasks_fits_into_the_memory_and_slows_no_stop(
    ns: Namespace, crowd: str, launch: Operators, cluster: Cluster
) -> None:
    operator = await Operator.start(cluster, command=[sys.executable, "-m", MODULE], wait=False)
    try:
        await operator.ready()
        assert most_mib(operator) < MAX_MIB

        async def seen() -> bool:
            _, metrics = await operator.get("/metrics")
            return f'agentstop_tasks{{namespace="{crowd}",phase="Paused"}} {float(TASKS_OF_THE_CROWD)}' in metrics

        await until(seen, PATIENCE, "all of the crowd are paused")
        await ns.create_task("a", agents.template(agents.graceful()))
        await ns.running("a")

        async def change(number: int) -> None:
            await cluster.kube.merge(TASKS, crowd, f"t{number}", {"metadata": {"annotations": {"a": "b"}}})

        async def small(number: int) -> float:
            began = time.monotonic()
            await cluster.kube.merge(NAMESPACES, "", ns.name, {"metadata": {"labels": {"n": str(number)}}})
            return time.monotonic() - began

        # Their events, and those of the pod, are too large to be read at once; what they tell is seen all the same.
        await ns.patch_pod("a", {"metadata": {"annotations": {"a": "x" * 200_000}}})
        await cluster.kube.merge(TASKS, crowd, "t0", {"spec": {"stopRequested": True}})
        changes = asyncio.gather(*map(change, range(1, 20)))
        await ns.stop("a")
        slowest = max([await small(number) for number in range(5)])
        stop = stop_of(await ns.ended("a"))
        await changes
        signaled, accepted = (datetime.fromisoformat(stop[each]) for each in ("signaledAt", "acceptedAt"))
        assert (signaled - accepted).total_seconds() <= min(max(SIGNAL_SECONDS, 2 * slowest), MAX_SIGNAL_SECONDS)

        async def stopped() -> bool:
            return bool((await cluster.kube.get(TASKS, crowd, "t0"))["status"]["phase"] == "Stopped")

        await until(stopped, TURN_SECONDS, "one of the crowd is stopped")
        assert most_mib(operator) < MAX_MIB
        assert (await operator.get("/readyz"))[1] == "ok\n"
        assert not operator.mistakes()
    finally:
        await operator.program.end()
