"""One order, one pass, as with tasks: what is to be known is found out, decided on, and written down."""

from collections.abc import Callable, Iterable
from datetime import datetime

from agentstop.api.order import ListedTask
from agentstop.cluster.cache import Cache
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.queue import Enqueuer
from agentstop.controller.drill import Drill
from agentstop.controller.object_writer import ObjectWriter
from agentstop.controller.order_pass import FoundOut, OrderMeans, OrderPass, OvertakenError
from agentstop.controller.retry import RetryError
from agentstop.controller.stop_order_handler import StopOrderHandler
from agentstop.lifecycle.decision import MAX_GRACE_SECONDS
from agentstop.lifecycle.orders import Order, OrderKey
from agentstop.timings import TIMINGS, Timings
from agentstop.workloads.objects import ObjectRef


class StopOrderReconciler:
    """Brings one order at a time nearer to its end. Whom it stops is stopped by the passes over tasks.

    `queue` is that of orders, `tasks` that of tasks.
    """

    def __init__(
        self,
        cache: Cache,
        gateway: Gateway,
        queue: Enqueuer[OrderKey],
        tasks: Enqueuer[TaskKey],
        handler: StopOrderHandler,
        filled: Callable[[], bool],
        clock: Callable[[], datetime],
        *,
        orphans: Callable[[], Iterable[ListedTask]] = tuple,
        max_grace_seconds: int = MAX_GRACE_SECONDS,
        timings: Timings = TIMINGS,
    ) -> None:
        """`orphans` returns the pods that run though their tasks are gone, by the names of these."""
        self._queue = queue
        self._handler = handler
        self._book = handler.book
        self._clock = clock
        objects = ObjectWriter(gateway, self._take_in, self._gone)
        drill = Drill(cache, gateway, self._book, clock, max_grace_seconds)
        self._means = OrderMeans(cache, tasks, gateway, handler, objects, drill, filled, orphans, clock, timings)
        self._found: dict[OrderKey, FoundOut] = {}

    def lead(self, *, leads: bool) -> None:
        """Begin to work on the orders, as after a start, or leave them to another replica."""
        self._found.clear()
        if leads:
            self._book.count_anew()
            for order in self._book.orders():
                self._handler.enqueue(order.key)

    async def reconcile(self, key: OrderKey) -> None:
        """Make one pass over an order. Raises RetryError where it has to be made again."""
        order, found = self._book.order(key), self._found.get(key)
        if order is None:
            self._found.pop(key, None)
            self._queue.forget(key)
            return
        if found is None or found.uid != order.uid:
            found = self._found[key] = FoundOut(uid=order.uid, read_at=self._clock())
        try:
            wake_at = await OrderPass(self._means, found, lambda: self._current(key, found)).run()
        except OvertakenError:
            return  # whoever changed that has put the key into the queue
        except ApiError as error:
            raise RetryError(error) from error
        if wake_at is not None:
            self._queue.add_after(key, (wake_at - self._clock()).total_seconds())

    def _current(self, key: OrderKey, found: FoundOut) -> Order:
        order = self._book.order(key)
        if order is None or order.uid != found.uid or self._found.get(key) is not found:
            raise OvertakenError
        return order

    def _take_in(self, raw: JsonObject) -> None:
        self._handler.answer(raw)

    def _gone(self, ref: ObjectRef) -> None:
        self._handler.order_is_gone(OrderKey(ref.kind, ref.namespace, ref.name))
