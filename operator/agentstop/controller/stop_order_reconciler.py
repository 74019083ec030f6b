"""Orders: accepted at once, counted as they go, and written down at a pace that does not slow the stops."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from pydantic import ValidationError

from agentstop.api.meta import API_VERSION, STOP_FINALIZER
from agentstop.api.order import (
    CLUSTER_ORDER_KIND,
    CLUSTER_ORDER_PLURAL,
    ORDER_KIND,
    ORDER_PLURAL,
    ClusterStopOrderSpec,
    ListedTask,
    OrderStatus,
)
from agentstop.api.task import KIND
from agentstop.cluster.cache import Cache
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.leader_guard import LeaderGuard
from agentstop.cluster.orders import StopOrderIndex, key_of
from agentstop.cluster.queue import Enqueuer, Priority
from agentstop.cluster.resources import TASKS, APIResource
from agentstop.controller.drill import Drill
from agentstop.lifecycle.conditions import order_conditions
from agentstop.lifecycle.decision import MAX_GRACE_SECONDS
from agentstop.lifecycle.observation import Task
from agentstop.lifecycle.order_progress import progress
from agentstop.lifecycle.orders import Order, OrderKey, matches, means_orphan

log = logging.getLogger(__name__)

PACE_SECONDS: Final = 0.5
"""How often the status of an order is written at most."""

RETRY_SECONDS: Final = 2.0

LOOK: Final = timedelta(seconds=60)
"""How often an order in force is read again: a watch that was blind does not tell that it was lifted or deleted."""

MAX_WAIT_SECONDS: Final = 86_400.0

BATCH: Final = 25
"""So many tasks are looked at at once. A single stop that comes meanwhile takes some ten turns of the event loop, and
waits for so many tasks in each of them."""

NAMESPACES: Final = APIResource("/api/v1", "namespaces")


@dataclass(slots=True)
class _Work:
    """What is under way for one order."""

    looked_at: datetime
    """When the order was read last."""
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Whether something has changed that matters to it."""
    read: bool = False
    """Whether all tasks were looked at for it."""
    certain: bool = False
    """Whether no task can be meant by it that is not known."""
    unguarded: bool = False
    """Whether the API server does not let us put our finalizer on it."""
    task: asyncio.Task[None] | None = None


class StopOrderReconciler:
    """Keeps the orders: each in its own task while there is something to do for it."""

    def __init__(
        self,
        cache: Cache,
        queue: Enqueuer[TaskKey],
        gateway: Gateway,
        leader_guard: LeaderGuard,
        filled: Callable[[], bool],
        clock: Callable[[], datetime],
        *,
        trust_requested_by: bool = False,
        orphans: Callable[[], Iterable[ListedTask]] = tuple,
        max_grace_seconds: int = MAX_GRACE_SECONDS,
    ) -> None:
        """`orphans` returns the pods that run though their tasks are gone, by the names of these."""
        self._orphans = orphans
        self._cache = cache
        self._queue = queue
        self._gateway = gateway
        self._leader_guard = leader_guard
        self._filled = filled
        self._clock = clock
        self.book = StopOrderIndex(self._ask, trust_requested_by=trust_requested_by)
        self._works: dict[OrderKey, _Work] = {}
        self._drill = Drill(cache, gateway, self.book, clock, max_grace_seconds)
        cache.listen(self._changed)

    # What comes in

    async def learn(self, namespaces: Collection[str] = ()) -> None:
        """Read the orders that stand, before any task is decided on: nothing may start that one of them holds.

        No namespaces are all, and cluster-wide orders too. Raises ApiError where they cannot be read.
        """
        if not namespaces:
            await self._learn_namespaces()
            await self._learn_orders(CLUSTER_ORDER_KIND, CLUSTER_ORDER_PLURAL, "")
        for namespace in namespaces or ("",):
            await self._learn_orders(ORDER_KIND, ORDER_PLURAL, namespace)

    async def _learn_orders(self, kind: str, plural: str, namespace: str) -> None:
        async for raw in self._gateway.objects(APIResource(TASKS, plural), namespace):
            self._take(partial(self.order, None, {"kind": kind, **raw}), raw)

    def _take(self, take: Callable[[], None], raw: JsonObject) -> None:
        """Take in one of many: one that we stumble over must not hide the others."""
        try:
            take()
        except Exception:
            log.exception("%s could not be taken in", (raw.get("metadata") or {}).get("name"))

    def order(self, kind: str | None, raw: dict[str, Any]) -> None:
        """Take in the event of an order."""
        key = key_of(raw)
        before = self.book.order(key)
        if kind == "DELETED":
            if before is not None and before.uid == raw["metadata"]["uid"]:
                self._gone(before)
            return
        try:
            order = self.book.put(raw)
        except ValidationError as error:
            problem = error.errors()[0]
            log.error("%s cannot be read, and is left alone: %s: %s", key, problem["loc"], problem["msg"])
            return
        if order is None:
            return
        replaced = before is not None and before.uid != order.uid
        if replaced:
            self._end(key)
        if before is not None and before.holds and (replaced or not order.holds):
            self._release(before)
        self._want(key)

    def namespace(self, kind: str | None, raw: dict[str, Any]) -> None:
        """Take in the event of a namespace: its labels may decide whether an order means its tasks."""
        name = raw["metadata"]["name"]
        if kind == "DELETED":
            self.book.namespaces.pop(name, None)
            return
        awaited = name not in self.book.namespaces and any(_by_namespace(order) for order in self.book.orders())
        self.book.namespaces[name] = dict(raw["metadata"].get("labels") or {})
        for key, task in self._cache.tasks() if awaited else ():
            if key.namespace == name and not task.status.phase.terminal:
                self._meet_all(task)
                self._queue.add(key)

    def _meet_all(self, task: Task) -> None:
        for order in self.book.orders():
            if self.book.meet(order, task):
                self._want(order.key)

    def _changed(self, _: TaskKey, before: Task | None, after: Task | None) -> None:
        for key in self.book.changed(before, after, self._clock()):
            self._want(key)

    def _gone(self, order: Order) -> None:
        self.book.drop(order.key)
        self._end(order.key)
        if order.holds:
            self._release(order)

    def _release(self, order: Order) -> None:
        """Have what an order held decided on again."""
        for key, task in self._cache.tasks():
            if not task.status.phase.terminal and matches(order, task, self.book.namespaces):
                self._queue.add(key)

    def _ask(self, key: TaskKey) -> None:
        self._cache.mark_asked(key, self._clock())
        self._queue.add(key, priority=Priority.MASS)

    def lead(self, *, leads: bool) -> None:
        """Begin to work on the orders, as after a start, or leave them to another replica."""
        for key in list(self._works):
            self._end(key)
        if leads:
            self.book.count_anew()
            for order in self.book.orders():
                self._want(order.key)

    def _want(self, key: OrderKey) -> None:
        if self.book.order(key) is None or not self._leader_guard.holds:
            return
        work = self._works.get(key)
        if work is None:
            work = self._works[key] = _Work(self._clock())
            work.task = asyncio.create_task(self._keep(key, work), name=f"keep {key}")
        work.wanted.set()

    def _end(self, key: OrderKey) -> None:
        work = self._works.pop(key, None)
        if work is not None and work.task is not None:
            work.task.cancel()

    async def close(self) -> None:
        """End all work on orders."""
        tasks = [work.task for work in self._works.values() if work.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Work on one order

    async def _keep(self, key: OrderKey, work: _Work) -> None:
        while True:
            work.wanted.clear()
            order = self.book.order(key)
            if order is None:
                return
            pause = PACE_SECONDS
            try:
                wake = await self._advance(order, work)
            except ApiError as error:
                log.warning("%s is tried again: %s", key, error)
                wake, pause = self._clock(), RETRY_SECONDS
            except Exception:
                log.exception("%s could not be worked on, and is tried again", key)
                wake, pause = self._clock(), RETRY_SECONDS
            await asyncio.sleep(pause)
            await self._wait(work, wake)

    async def _wait(self, work: _Work, wake: datetime | None) -> None:
        """Wait until something happens to the order, or the time has come."""
        left = (wake - self._clock()).total_seconds() if wake is not None else MAX_WAIT_SECONDS
        if left > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, MAX_WAIT_SECONDS)):
                    await work.wanted.wait()

    async def _advance(self, order: Order, work: _Work) -> datetime | None:
        """Do what is next for an order; return when to look again, if nothing happens before."""
        now = self._clock()
        if order.withdrawn:
            return None
        if order.status.phase.over:
            self.book.close(order.key)
            settled = await self._guard(order, work, wanted=False)
            return await self._expire(order, now) if settled else now
        if now - work.looked_at >= LOOK:
            work.looked_at = now
            return now if await self._look(order) else None
        if order.spec.drill:
            return await self._rehearse(order, now)
        if not work.read:
            await self._read(order)
            work.read = True
        return await self._count(order.key, work)

    async def _read(self, order: Order) -> None:
        """Go over all tasks for an order, once. The first stops go out while the others are still looked at."""
        new = order.status.started_at is None
        if new:
            if _by_namespace(order):
                await self._learn_namespaces()
            order = self.book.accept(self.book.order(order.key) or order, self._clock())
        for number, (key, _) in enumerate(self._cache.tasks()):
            task = self._cache.task(key)
            if task is not None:
                self.book.meet(order, task, here=new and order.deleted_at is None)
            if number % BATCH == BATCH - 1:
                await asyncio.sleep(0)
        if new:
            log.info("%s is accepted: %d tasks match", order.key, len(self.book.ledger(order.key).buckets))

    async def _count(self, key: OrderKey, work: _Work) -> datetime | None:
        """Bring the status of an order up to date."""
        ledger, order = self.book.ledger(key), self.book.order(key)
        if order is None:
            return None
        if not ledger.whole:
            if not self._filled():
                return self._clock()  # counts that are not complete yet would be wrong
            ledger.take_over(order.status)
        if order.stops and not work.certain and not ledger.unrecorded and self._filled():
            await self._know_all(key.namespace)
            work.certain = not ledger.unrecorded
        # What asks for a stop is never lost: what no task has on its own record yet hangs on the order alone.
        exposed = bool(ledger.unrecorded) or not self._cache.unwritten.isdisjoint(ledger.buckets)
        order = self.book.order(key) or order
        known = exposed or work.certain or not order.stops
        if known and not await self._guard(order, work, wanted=exposed):
            return self._clock()
        now = self._clock()
        order = self.book.order(key) or order
        labels = self.book.namespaces
        ledger.wait_for(each for each in self._orphans() if means_orphan(order, each.namespace, each.name, labels))
        status = progress(order, ledger.counts(), now, complete=work.certain)
        await self._write(order, status, now)
        if status.phase.over:
            return now
        look_at = work.looked_at + LOOK
        return min(now + timedelta(seconds=RETRY_SECONDS), look_at) if order.stops else look_at

    async def _guard(self, order: Order, work: _Work, *, wanted: bool) -> bool:
        """Put our finalizer on an order or take it off it; return whether that is settled."""
        if order.protected is wanted or (wanted and (work.unguarded or order.deleted_at is not None)):
            return True
        finalizers = [each for each in order.finalizers if each != STOP_FINALIZER] + [STOP_FINALIZER] * wanted
        metadata = {"uid": order.uid, "resourceVersion": order.resource_version, "finalizers": finalizers}
        try:
            answer = await self._gateway.patch_order(*order.key, {"metadata": metadata})
        except ApiError as error:
            if wanted and error.refused:
                log.error("%s would lose stops if it were deleted while no operator runs: %s", order.key, error)
                work.unguarded = True
                return True
            if not error.absent and error.code != 409:
                raise
            await self._look(order)
            return False
        if "deletionTimestamp" in answer["metadata"]:
            return False  # it goes with its last finalizer; the watch tells
        self.order(None, answer)
        return True

    async def _know_all(self, namespace: str) -> None:
        """Read the tasks that are not known yet; what is meant by an order is then asked to stop."""
        for metadata in await self._gateway.list_metadata(KIND, namespace):
            key = TaskKey(metadata["namespace"], metadata["name"])
            if self._cache.task(key) is not None or key in self._cache.unreadable:
                continue
            try:
                taken = self._cache.put_task(await self._gateway.get_task(*key), self._clock())
            except ValidationError:
                continue  # said when its event comes
            except ApiError as error:
                if not error.absent:
                    raise
            else:
                if taken is not None:
                    self._queue.add(taken)

    async def _rehearse(self, order: Order, now: datetime) -> datetime | None:
        """Make the drill, once all tasks are known."""
        if not self._filled():
            return now
        if _by_namespace(order):
            await self._learn_namespaces()
        await self._know_all(order.key.namespace)
        await self._write(order, await self._drill.status(order), self._clock())
        return self._clock()

    async def _learn_namespaces(self) -> None:
        """Read the labels of all namespaces as they are now: what was labelled just before an order is meant by it."""
        async for raw in self._gateway.objects(NAMESPACES):
            self._take(partial(self.namespace, None, raw), raw)

    async def _look(self, order: Order) -> bool:
        """Read an order again; return whether it is still there."""
        try:
            self.order(None, await self._gateway.get_order(*order.key))
        except ApiError as error:
            if not error.absent:
                raise
            self._gone(order)
            return False
        return True

    async def _write(self, order: Order, status: OrderStatus, now: datetime) -> None:
        status = status.but(conditions=order_conditions(status, order.status.conditions, now))
        if status == order.status:
            return
        metadata = {"name": order.key.name, "uid": order.uid, "resourceVersion": order.resource_version}
        if order.key.namespace:
            metadata["namespace"] = order.key.namespace
        body = {"apiVersion": API_VERSION, "kind": order.key.kind, "metadata": metadata, "status": status.wire()}
        try:
            self.order(None, await self._gateway.write_order_status(body))
        except ApiError as error:
            if not error.absent and error.code != 409:
                raise
            await self._look(order)

    async def _expire(self, order: Order, now: datetime) -> datetime | None:
        """Remove an order whose time to live is over; return when it will be."""
        ttl = order.spec.ttl_seconds_after_finished
        ended_at = order.status.lifted_at or order.status.finished_at
        if ttl is None or ended_at is None:
            return None
        due = ended_at + timedelta(seconds=ttl)
        if due > now:
            return due
        try:
            await self._gateway.delete_order(*order.key, order.uid)
        except ApiError as error:
            if not error.absent and error.code != 409:
                raise
        return None


def _by_namespace(order: Order) -> bool:
    return isinstance(order.spec, ClusterStopOrderSpec) and order.spec.namespace_selector is not None
