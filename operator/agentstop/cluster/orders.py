"""Stop orders as they stand: what they mean to each task, and what became of the tasks that they stopped."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from agentstop.api.meta import ORDERED_BY_ANNOTATION, parse_number, parse_time
from agentstop.api.order import ORDER_KIND, ClusterStopOrderSpec, OrderStatus, StopOrderSpec
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.freeze_ledger import FreezeLedger
from agentstop.cluster.ledger import Ledger
from agentstop.cluster.object_store import is_newer
from agentstop.lifecycle.observation import Task
from agentstop.lifecycle.order_effects import Membership, bound, effect_of, membership
from agentstop.lifecycle.orders import FREE, Order, Ordered, OrderEffect, OrderKey, accepted, matches


def key_of(raw: Mapping[str, Any]) -> OrderKey:
    """Return the key of the API server's object."""
    metadata = raw["metadata"]
    return OrderKey(raw["kind"], metadata.get("namespace", ""), metadata["name"])


def read_order(raw: Mapping[str, Any], *, trust_requested_by: bool = False) -> Order:
    """Return the order of the API server's object.

    `trust_requested_by` is whether nobody but admission can have written its annotation that names who made it.
    Raises pydantic.ValidationError if the object is not of this version.
    """
    metadata, spec = raw["metadata"], raw.get("spec") or {}
    model = StopOrderSpec if raw["kind"] == ORDER_KIND else ClusterStopOrderSpec
    return Order(
        key=key_of(raw),
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=parse_number(metadata.get("generation")),
        spec=model.model_validate(spec),
        status=OrderStatus.model_validate(raw.get("status") or {}),
        requested_by=(metadata.get("annotations") or {}).get(ORDERED_BY_ANNOTATION) if trust_requested_by else None,
        created_at=parse_time(metadata.get("creationTimestamp")),
        deleted_at=parse_time(metadata.get("deletionTimestamp")),
        finalizers=tuple(metadata.get("finalizers") or ()),
    )


_REMEMBERED: Final = ("phase", "started_at", "freeze_started_at", "frozen_at", "freeze_seconds", "frozen")
"""Fields of the status of an order that was accepted, and that could not be written yet."""


class StopOrderIndex:
    """The orders that are known, and whom each of them stops.

    `ask` marks a task as asked to stop; for `trust_requested_by` see `read_order`.
    """

    def __init__(self, ask: Callable[[TaskKey], None], *, trust_requested_by: bool = False) -> None:
        self._ask = ask
        self._trust_requested_by = trust_requested_by
        self._orders: dict[OrderKey, Order] = {}
        self._ledgers: dict[OrderKey, Ledger] = {}
        self._freezes: dict[OrderKey, FreezeLedger] = {}
        self._bound: dict[str, Ordered] = {}
        self.namespaces: dict[str, Mapping[str, str]] = {}
        """Labels of each namespace."""

    def order(self, key: OrderKey) -> Order | None:
        """Return the order, or None where it is not known."""
        return self._orders.get(key)

    def orders(self) -> Iterator[Order]:
        """Return all orders, as they are at this moment."""
        return iter(list(self._orders.values()))

    def ledger(self, key: OrderKey) -> Ledger:
        """Return what became of the tasks that an order meant."""
        return self._ledgers.setdefault(key, Ledger())

    def freeze_ledger(self, key: OrderKey) -> FreezeLedger:
        """Return what became of the tasks that an order freezes first."""
        return self._freezes.setdefault(key, FreezeLedger())

    def put(self, raw: Mapping[str, Any]) -> Order | None:
        """Take in an order, and return it; None if something newer is known already."""
        order = read_order(raw, trust_requested_by=self._trust_requested_by)
        known = self._orders.get(order.key)
        if known is not None and not is_newer(order.resource_version, known.resource_version):
            return None
        if known is not None and known.uid != order.uid:
            self.drop(order.key)
        elif known is not None and known.status.started_at is not None and order.status.started_at is None:
            # It was accepted, and that could not be written yet.
            accepted = {name: getattr(known.status, name) for name in _REMEMBERED}
            order = replace(order, status=order.status.but(**accepted))
        self._orders[order.key] = order
        return order

    def accept(self, order: Order, now: datetime) -> Order:
        """Note that an order is accepted from now on, before that is written down; return it so."""
        self._orders[order.key] = order = accepted(order, now)
        self._freezes.pop(order.key, None)
        ledger = self.ledger(order.key)
        ledger.whole, ledger.version = True, order.resource_version
        return order

    def drop(self, key: OrderKey) -> None:
        """Forget an order that is gone. Whom it has stopped stays stopped."""
        self._orders.pop(key, None)
        self.close(key)

    def count_anew(self) -> None:
        """Forget what was counted while another replica wrote it down."""
        self._ledgers.clear()
        self._freezes.clear()

    def close(self, key: OrderKey) -> None:
        """Forget the tasks of an order that is over: nothing is counted any more."""
        self._ledgers.pop(key, None)
        self._freezes.pop(key, None)

    # What orders mean to tasks

    def order_effect(self, task: Task) -> OrderEffect:
        """Return what all orders together mean to a task."""
        if task.status.phase.terminal or not (self._orders or self._bound):
            return FREE
        return effect_of(task, self._bound.get(task.uid), self._orders.values(), self.namespaces)

    def selected_by(self) -> set[str]:
        """Return the names of labels by which orders that still count select tasks."""
        selectors = [order.spec.selector for order in self._orders.values() if not order.status.phase.over]
        names = {name for each in selectors for name in each.match_labels or ()}
        return names | {expression.key for each in selectors for expression in each.match_expressions}

    def meet(self, order: Order, task: Task, *, here: bool = False) -> bool:
        """Take in a task for an accepted order; return whether it counts it.

        `here` says that the task was there at the acceptance.
        """
        found = membership(order, task, self.namespaces, here=here)
        if found is None:
            return False
        ledger = self.ledger(order.key)
        if found is Membership.ENDED_BEFORE:
            ledger.finished.add(task.uid)
            return True
        if found is Membership.MEANT:
            ledger.put(task)
        else:
            ledger.refused.add(task.uid)
        self._bind(order, task)
        return True

    def freeze(self, order: Order, task: Task) -> bool:
        """Take in a task for an order that freezes, or lets go on what it froze; return whether it counts it."""
        self._freeze(order.key, task)
        return task.uid in self.freeze_ledger(order.key).halts

    def _freeze(self, key: OrderKey, task: Task) -> bool:
        order, ledger = self._orders.get(key), self._freezes.get(key)
        if order is None or ledger is None or not order.halts_first:
            return False
        return ledger.put(order, task, matching=matches(order, task, self.namespaces))

    def _bind(self, order: Order, task: Task) -> None:
        """Have a task stopped that has not ended."""
        before = self._bound.get(task.uid)
        if task.status.phase.terminal or before == (stop := bound(order, before)):
            return
        self._bound[task.uid] = stop
        self._ask(TaskKey(task.namespace, task.name))

    def changed(self, before: Task | None, after: Task | None, now: datetime) -> list[OrderKey]:
        """Take in that a task came, changed or went; return the orders that this matters to."""
        task = after or before
        if task is None or not (self._orders or self._bound):
            return []
        met: list[OrderKey] = [key for key in self._freezes if after is not None and self._freeze(key, after)]
        if before is not None and (after is None or after.uid != before.uid):
            met += [key for key, ledger in self._freezes.items() if ledger.remove(before.uid)]
        replaced = before is not None and after is not None and before.uid != after.uid
        if before is not None and replaced:
            met += self._settle(before, now)
        if before is None or replaced:
            met += [order.key for order in self.orders() if self.meet(order, task)]
        elif after is not None and before.labels != after.labels:
            met += [order.key for order in self.orders() if self._overtaken(order, before, after)]
        return met + self._settle(task, now if after is None else None)

    def _overtaken(self, order: Order, before: Task, after: Task) -> bool:
        """Have a task stopped whose labels were changed before the order was accepted, though we hear of it later."""
        version = self.ledger(order.key).version
        late = not version or is_newer(after.resource_version, version)
        if late or matches(order, before, self.namespaces):
            return False
        return self.meet(order, after)

    def _settle(self, task: Task, gone_at: datetime | None) -> list[OrderKey]:
        touched = []
        for key, ledger in self._ledgers.items():
            if task.uid in ledger.buckets:
                ledger.put(task, gone_at)
                touched.append(key)
            if gone_at is not None:
                ledger.remove(task)
        if gone_at is not None or task.status.phase.terminal:
            self._bound.pop(task.uid, None)
        return touched
