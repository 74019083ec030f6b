"""An order that halts first: what of a task counts for its freeze, and its status until a stop is accepted."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from agentstop.api.order import ListedTask, OrderPhase, OrderStatus, Then
from agentstop.api.task import PausePolicy, Phase
from agentstop.lifecycle.conditions import FROZEN
from agentstop.lifecycle.observation import Task
from agentstop.lifecycle.orders import HELD, Order, problem_of


class Halt(Enum):
    """How far a task is halted."""

    FROZEN = auto()
    """The kernel says that all that runs of it is frozen."""
    IDLE = auto()
    """Nothing of it runs, and nothing starts."""
    LEFT = auto()
    """It runs, or may."""


def counts(order: Order, task: Task, *, matching: bool) -> bool:
    """Whether a task counts for an order that freezes, or lets go on what it froze. Those that are stopped do not."""
    if task.gone or task.deleting or task.status.phase.terminal or task.status.stop is not None:
        return False
    return frozen_for(order, task) or (matching and order.freezes)


def frozen_for(order: Order, task: Task) -> bool:
    """Whether a task is frozen by an order, or was and does not go on yet."""
    by = task.status.frozen_by
    return by is not None and by.uid == order.uid


def halt_of(task: Task) -> Halt:
    """Return how far a task is halted, by its status."""
    phase, problem = task.status.phase, problem_of(task)
    if phase is Phase.PAUSED and task.status.pause_policy is not PausePolicy.FREEZE:
        return Halt.IDLE
    if phase is Phase.PAUSED and task.status.reason == FROZEN:
        return Halt.FROZEN
    if phase in {Phase.PENDING, Phase.RUNNING} and problem is not None and problem.reason == HELD:
        return Halt.IDLE
    return Halt.LEFT


def frozen_since(task: Task) -> datetime | None:
    """Return when the last of a task that is frozen was, by the kernels' word; by ours where pods are not shown.

    A node's clock may be ahead of ours: it was frozen by the time that we knew.
    """
    status, workload = task.status, task.status.workload
    if status.paused_at is None or workload is None or workload.other_pods:
        return status.paused_at
    moments = [each.frozen_at for each in workload.pods if each.frozen_at is not None]
    return min(max(moments, default=status.paused_at), status.paused_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeCounts:
    """How the tasks stand that an order freezes, at one moment."""

    matched: int = 0
    frozen: int = 0
    left: int = 0
    """How many run, or may."""
    stalled: tuple[ListedTask, ...] = ()
    """The first of those that something keeps from being frozen, or from going on."""
    stalled_count: int = 0
    frozen_at: datetime | None = None
    """When the last of those was frozen that are."""


def freeze_progress(
    order: Order, counted: FreezeCounts, now: datetime, began_at: datetime, *, complete: bool
) -> OrderStatus:
    """Return the status of an order that freezes or thaws; `complete` once it is certain that no other task matches."""
    before = order.status
    status = before.but(
        observed_generation=order.generation,
        requested_by=before.requested_by or order.requested_by,
        matched=counted.matched,
        frozen=counted.frozen,
        stalled=counted.stalled,
        stalled_count=counted.stalled_count,
        freeze_started_at=before.freeze_started_at or began_at,
    )
    if not order.freezes:
        if counted.matched:
            return status.but(phase=OrderPhase.THAWING)
        return status.but(phase=OrderPhase.LIFTED, lifted_at=now)
    if counted.left or not complete:
        return status.but(phase=OrderPhase.FREEZING)
    start = before.freeze_started_at or began_at
    frozen_at = before.frozen_at or max(counted.frozen_at or start, start)
    seconds = round((frozen_at - start).total_seconds(), 3)
    return status.but(phase=OrderPhase.FROZEN, frozen_at=frozen_at, freeze_seconds=seconds)


def stop_is_due(
    order: Order, counted: FreezeCounts, now: datetime, began_at: datetime, patience: timedelta, *, complete: bool
) -> bool:
    """Whether an order that froze first is to be accepted as a stop now.

    What something keeps from being frozen is not waited for; what is on its way is, for a bounded time.
    """
    if order.deleted_at is not None or order.spec.then is None or not order.spec.then.ends:
        return False
    halted = complete and counted.left <= counted.stalled_count
    return halted or now >= (order.status.freeze_started_at or began_at) + patience


def look_again_at(order: Order, began_at: datetime, patience: timedelta) -> datetime | None:
    """Return when the stop is due at the latest; None where none follows, or not yet."""
    if order.spec.then is None or order.spec.then is Then.RESUME:
        return None
    return (order.status.freeze_started_at or began_at) + patience
