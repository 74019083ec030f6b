"""How an order adds up: the status that follows from what became of its tasks."""

from dataclasses import dataclass, field
from datetime import datetime

from agentstop.api.order import ListedTask, OrderPhase, OrderStatus, StoppedCounts
from agentstop.lifecycle.orders import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What became of the tasks that an order meant, at one moment."""

    matched: int = 0
    stopping: int = 0
    """How many of them have not ended."""
    stopped: StoppedCounts = field(default_factory=StoppedCounts)
    already_finished: int = 0
    refused: int = 0
    """How many tasks were made under the hold."""
    unrecorded: bool = False
    """Whether there are tasks without a record of a stop: nothing but the order asks for it."""
    unsignaled: bool = False
    """Whether there are tasks whose SIGTERM is not on its way."""
    orphans: bool = False
    """Whether the order means pods that still run though their tasks are gone; they are not counted as tasks."""
    stalled: tuple[ListedTask, ...] = ()
    """The first of the tasks, and of these pods, whose end is held up."""
    stalled_count: int = 0
    signaled_at: datetime | None = None
    """When the last SIGTERM was on its way."""
    ended_at: datetime | None = None
    """When the last of those that ended did so; None where that says nothing of the last end."""


def progress(order: Order, counts: Counts, now: datetime, *, complete: bool) -> OrderStatus:
    """Return the status of an order that stops; `complete` once it is certain that no other task was meant."""
    before = order.status
    status = before.but(
        observed_generation=order.generation,
        requested_by=before.requested_by or order.requested_by,
        refused=counts.refused,
    )
    if before.finished_at is None:
        status = _counted(status, counts, now, complete=complete)
    if status.finished_at is None:
        return status.but(phase=OrderPhase.STOPPING)
    if order.spec.hold and order.deleted_at is None:
        return status.but(phase=OrderPhase.HOLDING)
    if before.phase in {OrderPhase.HOLDING, OrderPhase.LIFTED}:
        return status.but(phase=OrderPhase.LIFTED, lifted_at=before.lifted_at or now)
    return status.but(phase=OrderPhase.COMPLETE)


def _counted(before: OrderStatus, counts: Counts, now: datetime, *, complete: bool) -> OrderStatus:
    """Return the status with the counts of an order that has not come to its end yet."""
    started_at = before.started_at or now
    signaled_at = before.signaled_at
    if signaled_at is None and complete and not counts.unsignaled:
        signaled_at = max(counts.signaled_at or started_at, started_at)
    done = complete and counts.stopping == 0 and not counts.orphans
    finished_at = max(counts.ended_at or now, signaled_at or started_at) if done else None
    return before.but(
        matched=counts.matched,
        stopping=counts.stopping,
        stopped=counts.stopped,
        already_finished=counts.already_finished,
        stalled=counts.stalled,
        stalled_count=counts.stalled_count,
        started_at=started_at,
        signaled_at=signaled_at,
        finished_at=finished_at,
        signal_seconds=_seconds(started_at, signaled_at),
        halt_seconds=_seconds(started_at, finished_at),
    )


def _seconds(start: datetime, end: datetime | None) -> float | None:
    return round(max((end - start).total_seconds(), 0.0), 3) if end is not None else None
