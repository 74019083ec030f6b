"""Stop orders in tests: made, watched, held against the tasks that they stopped, and removed at the end."""

import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from tests.support.clusters import Cluster
from tests.support.kube import NAMESPACES, Kind, Kube, KubeError, Object
from tests.support.laws import TERMINAL, status, stop_of
from tests.support.namespaces import API_VERSION, Namespace
from tests.support.waiting import PATIENCE, until

ORDERS = Kind("/apis/agentstop.dev/v1alpha1", "stoporders")
CLUSTER_ORDERS = Kind("/apis/agentstop.dev/v1alpha1", "clusterstoporders")

BUCKETS = {"Graceful": "graceful", "Killed": "killed", "NotStarted": "notStarted"}


class Order:
    """One order."""

    def __init__(self, kube: Kube, made: Object) -> None:
        self._kube = kube
        self.kind = made["kind"]
        self.name = made["metadata"]["name"]
        self.namespace = made["metadata"].get("namespace", "")
        self._where = ORDERS if self.namespace else CLUSTER_ORDERS

    async def get(self) -> Object:
        """Return it as it is now."""
        return await self._kube.get(self._where, self.namespace, self.name)

    async def status(self) -> Object:
        """Return its status, empty before there is one."""
        return status(await self.get())

    async def edit(self, **spec: Any) -> Object:
        """Merge into its spec."""
        return await self._kube.merge(self._where, self.namespace, self.name, {"spec": spec})

    async def delete(self) -> None:
        """Delete it, if it is still there."""
        await self._kube.delete(self._where, self.namespace, self.name, missing_ok=True)

    async def gone(self, seconds: float = PATIENCE) -> None:
        """Wait until it is not there any more."""

        async def absent() -> bool:
            try:
                await self.get()
            except KubeError as error:
                return error.code == 404
            return False

        await until(absent, seconds, f"{self.kind} {self.name} gone")

    async def until(self, wanted: Callable[[Object], bool], what: str, seconds: float = PATIENCE) -> Object:
        """Wait for a status."""
        seen: list[Object] = [{}]

        async def as_wanted() -> bool:
            seen[0] = await self.status()
            return wanted(seen[0])

        try:
            await until(as_wanted, seconds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.kind} {self.name} is {seen[0]}") from None
        return seen[0]

    async def phase(self, phase: str, seconds: float = PATIENCE) -> Object:
        """Wait for a phase."""
        return await self.until(lambda now: now.get("phase") == phase, phase, seconds)

    async def accepted(self) -> Object:
        """Wait until an operator has taken it up; all that it stops may have ended by then."""
        return await self.until(lambda now: "startedAt" in now, "accepted")


class Orders:
    """The orders of one test."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._kube = cluster.kube
        self._namespace = namespace
        self._made: list[Order] = []

    async def make(self, name: str = "o", **spec: Any) -> Order:
        """Make a StopOrder in the test's namespace, by default over everything."""
        return await self._create(ORDERS, "StopOrder", name, self._namespace, spec)

    async def make_wide(self, **spec: Any) -> Order:
        """Make a ClusterStopOrder, by default over everything."""
        return await self._create(CLUSTER_ORDERS, "ClusterStopOrder", f"o-{secrets.token_hex(4)}", "", spec)

    async def _create(self, where: Kind, kind: str, name: str, namespace: str, spec: Object) -> Order:
        metadata = {"name": name}
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": {"selector": {}} | spec}
        order = Order(self._kube, await self._kube.create(where, namespace, body))
        self._made.append(order)
        return order

    async def close(self) -> None:
        """Remove all of them."""
        for order in self._made:
            await order.delete()


@asynccontextmanager
async def more_namespaces(cluster: Cluster, number: int, labels: dict[str, str]) -> AsyncIterator[list[Namespace]]:
    """More namespaces for one test, with labels, held against the rules at the end like the first one."""
    async with AsyncExitStack() as stack:
        made = [Namespace(cluster, f"t-{secrets.token_hex(4)}") for _ in range(number)]
        for each in made:
            await each.open()
            stack.push_async_callback(each.close)
            await cluster.kube.merge(NAMESPACES, "", each.name, {"metadata": {"labels": labels}})
        yield made
        for each in made:
            each.check()


def outcomes(tasks: Iterable[Object]) -> Counter[str]:
    """Count tasks by how they ended, in the words of an order's status."""
    counts: Counter[str] = Counter()
    for task in tasks:
        assert status(task).get("phase") in TERMINAL, f"{task['metadata']['name']} has not ended: {status(task)}"
        counts[BUCKETS.get(stop_of(task).get("verdict", ""), "other")] += 1
    return counts


def counted(order: Object) -> Counter[str]:
    """Return the same from an order's status."""
    return Counter({bucket: count for bucket, count in order["stopped"].items() if count})
