"""The operator's parts, joined: what is worked on by whom, and what its probes say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from math import inf
from typing import Any

import pytest
from kubernetes.aio.client import Configuration

from agentstop.api.meta import TASK_LABEL
from agentstop.cluster.election import LeaderElectionConfig
from agentstop.cluster.family_index import OrphanKey, TaskKey
from agentstop.controller.operator import Operator
from agentstop.controller.options import Options
from agentstop.controller.wiring import Wiring
from agentstop.lifecycle.orders import OrderKey
from agentstop.workloads.objects import ObjectRef
from tests.unit.objects import NOW, raw_order, raw_pod, raw_task

KEY = TaskKey("ns", "x")
ORPHAN = OrphanKey("ns", "x", "pod-uid")


class Joined:
    """An operator's parts, of which nothing has begun, and the passes that are made."""

    def __init__(self, options: Options, stack: AsyncExitStack) -> None:
        self.filled = False
        configuration = Configuration()
        configuration.host = "http://127.0.0.1:9"
        self.wiring = Wiring(options, configuration, lambda: self.filled, stack)
        self.passes: list[tuple[str, Any]] = []

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for part in ("reconciler", "orphans"):
            for name in ("reconcile", "observe_only"):
                monkeypatch.setattr(getattr(self.wiring, part), name, self._noted(f"{part}.{name}"))
        monkeypatch.setattr(self.wiring.order_reconciler, "reconcile", self._noted("order_reconciler.reconcile"))

    def _noted(self, name: str) -> Any:
        def now(key: Any) -> None:
            self.passes.append((name, key))

        async def later(key: Any, *_: Any) -> None:
            self.passes.append((name, key))

        return later if name.endswith("reconcile") else now

    async def work(self) -> None:
        await self._work(self.wiring.workers.start(1, urgent_only=False))

    async def work_on_orders(self) -> None:
        await self._work(self.wiring.order_workers.start(1, urgent_only=True))

    async def _work(self, workers: list[asyncio.Task[None]]) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    def reconciles(self) -> float | None:
        return self.wiring.metrics.registry.get_sample_value("agentstop_reconcile_total", {"result": "success"})


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def joined(stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch) -> Joined:
    joined = Joined(Options(), stack)
    joined.watch(monkeypatch)
    return joined


async def test_a_task_that_comes_in_is_reconciled_and_counted(joined: Joined) -> None:
    joined.wiring.reflectors[0]._listener.changed("AgentTask", "ADDED", raw_task())
    await joined.work()

    assert joined.passes == [("reconciler.reconcile", KEY)]
    assert joined.reconciles() == 1


async def test_an_orphan_goes_to_whom_ends_orphans(joined: Joined) -> None:
    joined.wiring.queue.add(ORPHAN)
    await joined.work()

    assert joined.passes == [("orphans.reconcile", ORPHAN)]


async def test_whoever_does_not_lead_looks_on(stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    seat = LeaderElectionConfig(namespace="ns", name="l", duration=15, identity="me")
    joined = Joined(Options(seat=seat), stack)
    joined.watch(monkeypatch)
    joined.wiring.leader_guard.end()
    joined.wiring.queue.add(KEY)
    joined.wiring.queue.add(ORPHAN)
    await joined.work()

    assert joined.passes == [("reconciler.observe_only", KEY), ("orphans.observe_only", ORPHAN)]
    assert joined.reconciles() == 0


async def test_the_new_leader_decides_on_everything_anew(joined: Joined) -> None:
    joined.wiring.cache.tasks.put(raw_task(), NOW)
    joined.wiring.cache.tasks.put(raw_task(name="y", uid="y"), NOW)
    joined.wiring.lead(leads=False)
    await joined.work()
    assert joined.passes == []

    joined.wiring.lead(leads=True)
    await joined.work()
    assert [key for _, key in joined.passes] == [KEY, TaskKey("ns", "y")]


async def test_orders_have_workers_of_their_own(joined: Joined) -> None:
    joined.wiring.orders.order("ADDED", raw_order())
    await joined.work()
    assert joined.passes == [], "those of tasks take none"

    await joined.work_on_orders()
    assert joined.passes == [("order_reconciler.reconcile", OrderKey("StopOrder", "ns", "o"))]
    assert joined.reconciles() == 0, "that counts decisions on tasks"


async def test_an_order_is_left_alone_by_whoever_does_not_lead(joined: Joined) -> None:
    joined.wiring.leader_guard.end()
    joined.wiring.orders.order("ADDED", raw_order())
    await joined.work_on_orders()

    assert joined.passes == []
    joined.wiring.leader_guard.last_until(inf)
    joined.wiring.lead(leads=True)
    await joined.work_on_orders()
    assert [name for name, _ in joined.passes] == ["order_reconciler.reconcile"]


async def test_orphans_are_told_of_only_once_all_is_known(joined: Joined) -> None:
    pod = raw_pod(metadata={"ownerReferences": [], "labels": {TASK_LABEL: "x"}})
    joined.wiring.cache.objects.see(ObjectRef("Pod", "ns", "x"), pod, NOW)
    joined.wiring.orphans.sweep()
    assert list(joined.wiring.orphans) == []

    joined.filled = True
    joined.wiring.orphans.sweep()
    assert [each.name for each in joined.wiring.orphans] == ["x"]


async def test_it_is_ready_when_all_is_known_and_watched(joined: Joined) -> None:
    operator = Operator(Options())
    assert operator._unready(joined.wiring) == "the caches are not filled yet"

    operator._filled.set()
    awaited = operator._unready(joined.wiring)
    assert awaited is not None
    assert "has not begun yet" in awaited


async def test_work_that_ended_by_itself_is_told_of_until_the_operator_ends() -> None:
    operator = Operator(Options())
    assert operator._dead() is None

    ended = asyncio.create_task(asyncio.sleep(0), name="events")
    await ended
    operator._background.append(ended)
    assert operator._dead() == "events ended"
    operator.stop()
    assert operator._dead() is None
