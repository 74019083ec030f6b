"""One pass over an order: find out what has to be known first, decide, and write down."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from agentstop.api.meta import API_VERSION
from agentstop.api.order import ListedTask, OrderStatus
from agentstop.api.task import KIND
from agentstop.cluster.cache import Cache
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.queue import Enqueuer, Priority
from agentstop.controller.drill import Drill
from agentstop.controller.object_writer import ObjectWriter, OwnObject, overtaken
from agentstop.controller.stop_order_handler import StopOrderHandler
from agentstop.lifecycle.conditions import order_conditions
from agentstop.lifecycle.effects import AddFinalizer, ObjectEffect
from agentstop.lifecycle.order_decision import OrderInput, OrderRead, decide_order, required_read
from agentstop.lifecycle.order_freeze import freeze_progress
from agentstop.lifecycle.order_progress import Counts
from agentstop.lifecycle.orders import Order, by_namespace, means_orphan
from agentstop.timings import Timings
from agentstop.workloads.objects import ObjectRef

log = logging.getLogger(__name__)

ROUNDS: Final = 16
"""How often one pass decides anew on what it found out and did. Each is done once: only a mistake reaches this."""

BATCH: Final = 25
"""So many tasks are looked at at once. A single stop that comes meanwhile takes some ten turns of the event loop, and
waits for so many tasks in each of them."""


class OvertakenError(Exception):
    """The order that a pass is made over is gone, is another one by now, or another replica's."""


@dataclass(slots=True, kw_only=True)
class FoundOut:
    """What this process has found out for one order, from pass to pass."""

    uid: str
    read_at: datetime
    """When the order was read last."""
    froze_at: datetime | None = None
    """When all tasks were looked at for its freeze."""
    met: bool = False
    """Whether all tasks were looked at for it."""
    certain: bool = False
    """Whether no task can be meant by it that is not known."""
    protectable: bool = True
    """Whether the API server lets us put our finalizer on it."""


@dataclass(frozen=True, slots=True)
class OrderMeans:
    """What passes over orders are made with."""

    cache: Cache
    tasks: Enqueuer[TaskKey]
    gateway: Gateway
    handler: StopOrderHandler
    objects: ObjectWriter
    drill: Drill
    filled: Callable[[], bool]
    orphans: Callable[[], Iterable[ListedTask]]
    clock: Callable[[], datetime]
    timings: Timings


class OrderPass:
    """One pass over one order.

    `current` returns the order as it is known by now, and raises OvertakenError where it is not that order any more:
    what was found out for one must never be said of another.
    """

    def __init__(self, means: OrderMeans, found: FoundOut, current: Callable[[], Order]) -> None:
        self._means = means
        self._book = means.handler.book
        self._found = found
        self._current = current

    async def run(self) -> datetime | None:
        """Make the pass; return when to make another one, if nothing happens before.

        Raises ApiError where the API server does not do as asked, OvertakenError.
        """
        means = self._means
        for _ in range(ROUNDS):
            case = self._case()
            read = required_read(case)
            if read is not None:
                if not await self._read(read, case.order):
                    break
                continue
            if case.order.status.phase.over:
                self._book.close(case.order.key)
            decision = decide_order(case)
            if not await self._tidy(decision.effects):
                break
            if decision.effects:
                continue
            written = await self._write(case.order, decision.status)
            if not written or not await self._tidy(decision.afterwards):
                break
            return decision.wake_at
        return means.clock()

    def _case(self) -> OrderInput:
        means, found, order = self._means, self._found, self._current()
        counts: Counts | None = None
        unwritten = False
        halts = found.froze_at is not None and order.halts_first
        freeze = self._book.freeze_ledger(order.key).counts() if halts else None
        if found.met and not order.status.phase.over:
            ledger = self._book.ledger(order.key)
            if ledger.whole:
                labels = self._book.namespaces
                orphans = (each for each in means.orphans() if means_orphan(order, each.namespace, each.name, labels))
                ledger.wait_for(orphans)
                counts = ledger.counts()
                unwritten = not means.cache.tasks.unwritten.isdisjoint(ledger.buckets)
        return OrderInput(
            timings=self._means.timings,
            order=order,
            now=means.clock(),
            read_at=found.read_at,
            filled=means.filled(),
            freeze=freeze,
            freeze_began_at=found.froze_at,
            met=found.met,
            counts=counts,
            certain=found.certain,
            unwritten=unwritten,
            protectable=found.protectable,
        )

    # What has to be found out

    async def _read(self, read: OrderRead, order: Order) -> bool:
        """Find something out; return whether the pass can go on."""
        means, found = self._means, self._found
        match read:
            case OrderRead.ORDER:
                found.read_at = means.clock()
                await means.objects.read_again(_ref(order))
            case OrderRead.REPORT:
                return await self._report()
            case OrderRead.FREEZE:
                await self._freeze_tasks()
            case OrderRead.TASKS:
                if order.halts_first:
                    found.certain = False  # of those to be frozen
                await self._meet_tasks()
                found.met = True
            case OrderRead.EARLIER_COUNTS:
                self._book.ledger(order.key).take_over(order.status)
            case OrderRead.UNKNOWN_TASKS:
                await self._know_all(order.key.namespace)
                order = self._current()
                found.certain = order.halts_first or not self._book.ledger(order.key).unrecorded
        return True

    async def _freeze_tasks(self) -> None:
        """Go over all tasks for the freeze, once. The first are frozen while the others are still looked at."""
        means, order = self._means, self._current()
        if by_namespace(order):
            await means.handler.learn_namespaces()
        began_at = means.clock()
        self._book.freeze_ledger(order.key)
        for number, (key, _) in enumerate(means.cache.tasks.items()):
            task, order = means.cache.tasks.get(key), self._current()
            if task is not None and self._book.freeze(order, task):
                means.tasks.add(key, priority=Priority.MASS)
            if number % BATCH == BATCH - 1:
                await asyncio.sleep(0)
        self._found.froze_at = began_at
        if order.status.freeze_started_at is None:
            log.info("%s freezes: %d tasks match", order.key, len(self._book.freeze_ledger(order.key).halts))

    async def _meet_tasks(self) -> None:
        """Go over all tasks for the order, once. The first stops go out while the others are still looked at."""
        order = self._current()
        new = order.status.started_at is None
        if new:
            if by_namespace(order):
                await self._means.handler.learn_namespaces()
            order = self._book.accept(self._frozen(self._current()), self._means.clock())
        for number, (key, _) in enumerate(self._means.cache.tasks.items()):
            task = self._means.cache.tasks.get(key)
            if task is not None:
                self._book.meet(order, task, here=new and order.deleted_at is None)
            if number % BATCH == BATCH - 1:
                await asyncio.sleep(0)
                self._current()
        if new:
            log.info("%s is accepted: %d tasks match", order.key, len(self._book.ledger(order.key).buckets))

    def _frozen(self, order: Order) -> Order:
        """Return an order with what came of its freeze, which ends with its acceptance as a stop."""
        began_at = self._found.froze_at
        if not order.halts_first or began_at is None:
            return order
        now, counted = self._means.clock(), self._book.freeze_ledger(order.key).counts()
        status = freeze_progress(order, counted, now, began_at, complete=True)
        return replace(order, status=status.but(frozen=0))

    async def _know_all(self, namespace: str) -> None:
        """Read the tasks that are not known yet; what is meant by an order is then asked to stop."""
        cache, gateway = self._means.cache, self._means.gateway
        for metadata in await gateway.list_metadata(KIND, namespace):
            key = TaskKey(metadata["namespace"], metadata["name"])
            if cache.tasks.get(key) is not None or key in cache.tasks.unreadable:
                continue
            try:
                taken = cache.tasks.put_answer(await gateway.get_task(*key), self._means.clock())
            except ValidationError:
                continue  # said when its event comes
            except ApiError as error:
                if not error.absent:
                    raise
            else:
                if taken is not None:
                    self._means.tasks.add(taken)

    async def _report(self) -> bool:
        """Make the drill, and write its report; return whether it stands there."""
        means, order = self._means, self._current()
        if by_namespace(order):
            await means.handler.learn_namespaces()
        await self._know_all(order.key.namespace)
        status = await means.drill.status(self._current())
        order = self._current()
        said = order_conditions(status, order.status.conditions, means.clock())
        return await self._write(order, status.but(conditions=said))

    # What is written down

    async def _write(self, order: Order, status: OrderStatus) -> bool:
        """Write the status if it changed; return whether it stands there."""
        if status == order.status:
            return True
        objects = self._means.objects
        try:
            answer = await objects.write_status(_own(order), status.wire())
        except ApiError as error:
            if not overtaken(error):
                raise
            await objects.read_again(_ref(order))
            return False
        self._means.handler.answer(answer)
        return True

    async def _tidy(self, effects: tuple[ObjectEffect, ...]) -> bool:
        """Carry out what concerns the order itself; return False where it has to be decided on anew, later."""

        def current() -> OwnObject:
            return _own(self._current())

        try:
            return await self._means.objects.tidy(current, effects)
        except ApiError as error:
            if not error.refused or AddFinalizer() not in effects:
                raise
            order = self._current()
            log.error("%s would lose stops if it were deleted while no operator runs: %s", order.key, error)
            self._found.protectable = False
            return True


def _ref(order: Order) -> ObjectRef:
    return ObjectRef(order.key.kind, order.key.namespace, order.key.name, API_VERSION)


def _own(order: Order) -> OwnObject:
    return OwnObject(_ref(order), order.uid, order.resource_version)
