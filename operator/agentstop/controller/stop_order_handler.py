"""Orders and namespaces as the watches bring them: into the index, and the keys into the queues."""

import logging
from collections.abc import Callable, Collection
from datetime import datetime
from functools import partial
from typing import Any, Final

from pydantic import ValidationError

from agentstop.api.order import (
    CLUSTER_ORDER_KIND,
    CLUSTER_ORDER_PLURAL,
    ORDER_KIND,
    ORDER_PLURAL,
)
from agentstop.cluster.cache import Cache
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.orders import StopOrderIndex, key_of
from agentstop.cluster.queue import Enqueuer, Priority
from agentstop.cluster.resources import TASKS, APIResource
from agentstop.lifecycle.observation import Task
from agentstop.lifecycle.orders import Order, OrderKey, by_namespace, matches

log = logging.getLogger(__name__)

NAMESPACES: Final = APIResource("/api/v1", "namespaces")


def priority_of_order(order: Order | None) -> Priority:
    """Return how soon an order has its turn: first those of which nothing was done yet, then those that still stop."""
    if order is not None and order.freezes:
        return Priority.STOP if order.status.freeze_started_at is None or order.spec.then else Priority.MASS
    if order is None or order.withdrawn or not order.stops:
        return Priority.NORMAL
    return Priority.STOP if order.status.started_at is None else Priority.MASS


def _keeps(order: Order) -> bool:
    """Whether an order keeps what matches from starting, or from going on."""
    return order.holds or order.freezes


class StopOrderHandler:
    """Takes in what the watches bring of orders and namespaces, and what changes of tasks mean to orders.

    `tasks` and `orders` are the queues of these.
    """

    def __init__(
        self,
        cache: Cache,
        tasks: Enqueuer[TaskKey],
        orders: Enqueuer[OrderKey],
        gateway: Gateway,
        clock: Callable[[], datetime],
        *,
        trust_requested_by: bool = False,
    ) -> None:
        self._cache = cache
        self._tasks = tasks
        self._orders = orders
        self._gateway = gateway
        self._clock = clock
        self.book = StopOrderIndex(self._ask, trust_requested_by=trust_requested_by)
        self._tell_of_namespace: Callable[[str | None, JsonObject], None] = lambda _, __: None
        cache.tasks.listen(self._changed)

    def tell_of_namespaces(self, tell: Callable[[str | None, JsonObject], None]) -> None:
        """Have this function called with each event of a namespace."""
        self._tell_of_namespace = tell

    async def learn(self, namespaces: Collection[str] = ()) -> None:
        """Read the orders that stand, before any task is decided on: nothing may start that one of them holds.

        No namespaces are all, and cluster-wide orders too. Raises ApiError where they cannot be read.
        """
        if not namespaces:
            await self.learn_namespaces()
            await self._learn_orders(CLUSTER_ORDER_KIND, CLUSTER_ORDER_PLURAL, "")
        for namespace in namespaces or ("",):
            await self._learn_orders(ORDER_KIND, ORDER_PLURAL, namespace)

    async def learn_namespaces(self) -> None:
        """Read the labels of all namespaces as they are now: what was labelled just before an order is meant by it."""
        async for raw in self._gateway.objects(NAMESPACES):
            self._take(partial(self.namespace, None, raw), raw)

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
                self.order_is_gone(key)
            return
        try:
            order = self.book.put(raw)
        except ValidationError as error:
            problem = error.errors()[0]
            log.error("%s cannot be read, and is left alone: %s: %s", key, problem["loc"], problem["msg"])
            return
        if order is None:
            return
        if before is not None and _keeps(before) and (before.uid != order.uid or not _keeps(order)):
            self._release(before)
        self.enqueue(key)

    def answer(self, raw: dict[str, Any]) -> None:
        """Take in an order that a request of ours was answered with.

        The event of a deletion can overtake the answer to a request before it: what is gone holds nothing.
        """
        if self.book.order(key_of(raw)) is not None:
            self.order(None, raw)

    def order_is_gone(self, key: OrderKey) -> None:
        """Take in that an order is gone."""
        order = self.book.order(key)
        if order is None:
            return
        self.book.drop(key)
        self._orders.add(key)
        if _keeps(order):
            self._release(order)

    def namespace(self, kind: str | None, raw: dict[str, Any]) -> None:
        """Take in the event of a namespace: its labels may decide whether an order means its tasks."""
        self._tell_of_namespace(kind, raw)
        name = raw["metadata"]["name"]
        if kind == "DELETED":
            self.book.namespaces.pop(name, None)
            return
        before, labels = self.book.namespaces.get(name), dict(raw["metadata"].get("labels") or {})
        self.book.namespaces[name] = labels
        asking = [order for order in self.book.orders() if by_namespace(order)]
        changes = asking if before is None else [order for order in asking if order.freezes and before != labels]
        for key, task in self._cache.tasks.items() if changes else ():
            if key.namespace == name and not task.status.phase.terminal:
                self._meet_all(task, new=before is None)
                self._tasks.add(key)

    def _meet_all(self, task: Task, *, new: bool) -> None:
        for order in self.book.orders():
            if order.halts_first:
                self.book.freeze(order, task)
                self.enqueue(order.key)
            elif new and self.book.meet(order, task):
                self.enqueue(order.key)

    def _changed(self, _: TaskKey, before: Task | None, after: Task | None) -> None:
        for key in self.book.changed(before, after, self._clock()):
            self.enqueue(key)

    def _release(self, order: Order) -> None:
        """Have what an order held decided on again."""
        for key, task in self._cache.tasks.items():
            if not task.status.phase.terminal and matches(order, task, self.book.namespaces):
                self._tasks.add(key)

    def _ask(self, key: TaskKey) -> None:
        self._cache.tasks.mark_asked(key, self._clock())
        self._tasks.add(key, priority=Priority.MASS)

    def enqueue(self, key: OrderKey) -> None:
        """Have a decision made on an order."""
        self._orders.add(key, priority=priority_of_order(self.book.order(key)))
