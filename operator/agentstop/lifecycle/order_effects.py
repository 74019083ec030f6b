"""What stop orders mean to one task: whether one counts it, which stop it asks for, and which holds or freezes it."""

from collections.abc import Iterable, Mapping
from enum import Enum, auto

from agentstop.lifecycle.observation import Reason, Task
from agentstop.lifecycle.orders import (
    FREE,
    Order,
    Ordered,
    OrderedFreeze,
    OrderEffect,
    came_later,
    doubt_reason,
    hold_reason,
    in_doubt,
    is_the_orders,
    matches,
    ordered_by,
    ordered_freeze,
    was_held,
    was_there,
)


class Membership(Enum):
    """As what an accepted order counts a task."""

    MEANT = auto()
    """It was there at the acceptance, and is stopped."""
    ENDED_BEFORE = auto()
    """It had ended before the acceptance."""
    REFUSED = auto()
    """It was made under the hold, and is stopped for that."""


def membership(
    order: Order, task: Task, namespaces: Mapping[str, Mapping[str, str]], *, here: bool = False
) -> Membership | None:
    """Return as what an accepted order counts a task; None where it does not.

    `namespaces` are the labels of each namespace that is known; `here` says that the task was there at the acceptance.
    """
    started_at = order.status.started_at
    if started_at is None or order.status.phase.over:
        return None
    mine = is_the_orders(task, order)
    if order.stops and (here or was_there(task, started_at)):
        if not mine and not matches(order, task, namespaces):
            return None
        ended_at = task.status.finished_at
        before = here or ended_at is None or ended_at <= started_at
        return Membership.ENDED_BEFORE if task.status.phase.terminal and not mine and before else Membership.MEANT
    # Made under the hold, as against one that came to match by its labels.
    if not came_later(task, started_at):
        return None
    finished_at, stop = order.status.finished_at, task.status.stop
    if mine and stop is not None and was_there(task, started_at) and finished_at is not None:
        mine = stop.accepted_at > finished_at
    startable = not task.status.phase.terminal and not was_held(task)
    return Membership.REFUSED if mine or (order.holds and startable and matches(order, task, namespaces)) else None


def bound(order: Order, before: Ordered | None) -> Ordered:
    """Return the stop of a task that an order stops; `before` is the one that earlier orders have asked for, if any.

    The first order is the one that counts; a later one may make it stricter.
    """
    asked = ordered_by(order)
    return before.joined(asked) if before is not None else asked


def effect_of(
    task: Task, stop: Ordered | None, orders: Iterable[Order], namespaces: Mapping[str, Mapping[str, str]]
) -> OrderEffect:
    """Return what orders mean to a task that has not ended; `stop` is the one that it is bound to, if any."""
    if stop is not None:
        return OrderEffect(stop=stop)
    hold: Reason | None = None
    thaw: OrderedFreeze | None = None
    for order in orders:
        if order.freezes and matches(order, task, namespaces):
            return OrderEffect(hold=hold_reason(order), freeze=ordered_freeze(order))
        if thaw is None and order.halts_first and not order.freezes and matches(order, task, namespaces):
            thaw = ordered_freeze(order)
        if hold is not None or not (order.holds or order.freezes):
            continue
        if matches(order, task, namespaces):
            hold = hold_reason(order)
        elif in_doubt(order, task, namespaces):
            hold = doubt_reason(order, task.namespace)
    return OrderEffect(hold=hold, thaw=thaw) if hold is not None or thaw is not None else FREE
