"""The one decision on an order: what has to be found out first, what its status becomes, and what has to be done."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from agentstop.api.order import OrderStatus
from agentstop.lifecycle.conditions import order_conditions
from agentstop.lifecycle.effects import AddFinalizer, ObjectEffect, RemoveFinalizer
from agentstop.lifecycle.expiry import after_the_end
from agentstop.lifecycle.order_freeze import FreezeCounts, freeze_progress, look_again_at, stop_is_due
from agentstop.lifecycle.order_progress import Counts, progress
from agentstop.lifecycle.orders import Order
from agentstop.timings import TIMINGS, Timings


class OrderRead(Enum):
    """What has to be found out before an order can be decided on."""

    ORDER = auto()
    """The order itself, as it is now."""
    REPORT = auto()
    """What a drill finds."""
    FREEZE = auto()
    """Which tasks match an order that freezes, of those that are known; they are frozen at once."""
    TASKS = auto()
    """What the order means to each task that is known; with that a new one is accepted."""
    EARLIER_COUNTS = auto()
    """What an earlier process has counted."""
    UNKNOWN_TASKS = auto()
    """Which tasks there are that no watch has told of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderInput:
    """All that a decision on an order may be made from."""

    order: Order
    now: datetime
    read_at: datetime
    """When the order was read last, other than by a watch."""
    filled: bool
    """Whether all that the watches bring at the start is known."""
    freeze: FreezeCounts | None = None
    """How the tasks stand that it freezes first; None before all that are known were looked at for that."""
    freeze_began_at: datetime | None = None
    """When this process began to freeze for it."""
    met: bool = False
    """Whether all tasks that are known were looked at for it."""
    counts: Counts | None = None
    """What became of its tasks; None where they were not all counted yet, by this process or an earlier one."""
    certain: bool = False
    """Whether no task can be meant by it that is not known: to be frozen, or from its acceptance on to be stopped."""
    unwritten: bool = False
    """Whether there are tasks whose record of their stop is remembered, and could not be written yet."""
    protectable: bool = True
    """Whether the API server lets us put our finalizer on it."""
    timings: Timings = TIMINGS

    @property
    def exposed(self) -> bool:
        """Whether its deletion would lose a stop: what no task has on its own record yet hangs on the order alone."""
        return self.unwritten or (self.counts is not None and self.counts.unrecorded)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDecision:
    """What to do now, in this order: `effects`, after which it is decided anew; the status; what comes `afterwards`."""

    status: OrderStatus
    effects: tuple[ObjectEffect, ...] = ()
    afterwards: tuple[ObjectEffect, ...] = ()
    wake_at: datetime | None = None
    """When to decide again, if nothing happens before."""


def required_read(case: OrderInput) -> OrderRead | None:
    """Return what has to be found out next; None where the order can be decided on."""
    order = case.order
    if order.withdrawn or order.status.phase.over:
        return None
    if case.now - case.read_at >= case.timings.order_reread:
        return OrderRead.ORDER
    if order.spec.drill:
        return OrderRead.REPORT if case.filled else None
    if order.halts_first:
        return _read_for_freeze(case)
    if not case.met:
        return OrderRead.TASKS
    if case.counts is None:
        # Counts that are not complete yet would be wrong.
        return OrderRead.EARLIER_COUNTS if case.filled else None
    if order.stops and not case.certain and not case.counts.unrecorded and case.filled:
        return OrderRead.UNKNOWN_TASKS
    return None


def _read_for_freeze(case: OrderInput) -> OrderRead | None:
    order, counted = case.order, case.freeze
    if counted is None:
        return OrderRead.FREEZE
    began_at, patience = case.freeze_began_at or case.now, case.timings.order_freeze
    if stop_is_due(order, counted, case.now, began_at, patience, complete=case.certain):
        return OrderRead.TASKS
    halted = counted.left <= counted.stalled_count
    return OrderRead.UNKNOWN_TASKS if order.freezes and halted and not case.certain and case.filled else None


def decide_order(case: OrderInput) -> OrderDecision:
    """Decide on an order, of which nothing has to be found out first.

    Nothing but the argument goes into the decision, so it can be made again at any time and after any crash.
    """
    order, now, counts = case.order, case.now, case.counts
    if order.withdrawn:
        return OrderDecision(status=order.status)
    if order.status.phase.over:
        afterwards, wake_at = after_the_end(
            protected=order.protected,
            deleting=order.deleted_at is not None,
            ended_at=order.status.lifted_at or order.status.finished_at,
            ttl_seconds=order.spec.ttl_seconds_after_finished,
            now=now,
        )
        return OrderDecision(status=order.status, afterwards=afterwards, wake_at=wake_at)
    if order.halts_first:
        return _freeze(case)
    if counts is None:
        return OrderDecision(status=order.status, wake_at=now)
    protection = _protection(case)
    if protection is not None:
        return OrderDecision(status=order.status, effects=(protection,), wake_at=now)
    status = progress(order, counts, now, complete=case.certain)
    status = status.but(conditions=order_conditions(status, order.status.conditions, now))
    wake_at = case.read_at + case.timings.order_reread
    if order.stops:
        wake_at = min(now + case.timings.order_recheck, wake_at)
    return OrderDecision(status=status, wake_at=now if status.phase.over else wake_at)


def _freeze(case: OrderInput) -> OrderDecision:
    """An order that freezes, or lets go on what it froze. Nothing hangs on it: without it all of that goes on."""
    order, now = case.order, case.now
    if case.freeze is None:
        return OrderDecision(status=order.status, wake_at=now)
    began_at = max(case.freeze_began_at or now, order.created_at or now)
    status = freeze_progress(order, case.freeze, now, began_at, complete=case.certain)
    status = status.but(conditions=order_conditions(status, order.status.conditions, now))
    wakes = (case.read_at + case.timings.order_reread, look_again_at(order, began_at, case.timings.order_freeze))
    return OrderDecision(status=status, wake_at=now if status.phase.over else max(min(filter(None, wakes)), now))


def _protection(case: OrderInput) -> ObjectEffect | None:
    """Return what is to be done about our finalizer, once it is known whether the order needs it."""
    order, wanted = case.order, case.exposed
    if order.protected is wanted or not (wanted or case.certain or not order.stops):
        return None
    if not wanted:
        return RemoveFinalizer()
    return AddFinalizer() if case.protectable and order.deleted_at is None else None
