"""The decision on an order: what is found out first, what is done, and what is written down; a pure function."""

from datetime import datetime
from typing import Any

import pytest

from agentstop.api.meta import STOP_FINALIZER
from agentstop.api.order import OrderPhase, StoppedCounts
from agentstop.cluster.orders import read_order
from agentstop.lifecycle.effects import AddFinalizer, DeleteObject, ObjectEffect, RemoveFinalizer
from agentstop.lifecycle.order_decision import (
    OrderDecision,
    OrderInput,
    OrderRead,
    decide_order,
    required_read,
)
from agentstop.lifecycle.order_progress import Counts
from agentstop.lifecycle.orders import Order
from agentstop.timings import TIMINGS
from tests.unit.objects import Raw, at, raw_order, when

STOPPING: Raw = {"phase": "Stopping", "startedAt": when(0)}
COMPLETE: Raw = {"phase": "Complete", "startedAt": when(0), "finishedAt": when(5)}
HOLDING: Raw = {"phase": "Holding", "startedAt": when(0), "finishedAt": when(5)}
LIFTED: Raw = HOLDING | {"phase": "Lifted", "liftedAt": when(50)}

NEW = Counts(matched=2, stopping=2, unrecorded=True, unsignaled=True)
RECORDED = Counts(matched=2, stopping=2)
OVER = Counts(matched=2, stopped=StoppedCounts(graceful=2), ended_at=at(7))


def order(spec: Raw | None = None, status: Raw | None = None, **more: Any) -> Order:
    return read_order(raw_order(spec, status, **more))


def case(one: Order, counts: Counts | None = None, **more: Any) -> OrderInput:
    given: Any = {"now": at(10), "read_at": at(0), "filled": True, "met": counts is not None} | more
    return OrderInput(order=one, counts=counts, **given)


def decided(one: Order, counts: Counts | None = None, **more: Any) -> OrderDecision:
    return decide_order(case(one, counts, **more))


GUARDED: Raw = {"finalizers": [STOP_FINALIZER]}
DELETING: Raw = {"deletionTimestamp": when(5)}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (case(order()), OrderRead.TASKS),
        (case(order(), filled=False), OrderRead.TASKS),
        (case(order(None, STOPPING), met=True), OrderRead.EARLIER_COUNTS),
        (case(order(None, STOPPING), met=True, filled=False), None),
        (case(order(None, STOPPING), NEW), None),
        (case(order(None, STOPPING), RECORDED), OrderRead.UNKNOWN_TASKS),
        (case(order(None, STOPPING), RECORDED, filled=False), None),
        (case(order(None, STOPPING), RECORDED, certain=True), None),
        (case(order({"hold": True}, HOLDING), RECORDED), None),
        (case(order(None, STOPPING), RECORDED, now=at(60)), OrderRead.ORDER),
        (case(order({"drill": True})), OrderRead.REPORT),
        (case(order({"drill": True}), filled=False), None),
        (case(order(None, COMPLETE), now=at(99)), None),
        (case(order(None, finalizers=["x/y"], **DELETING), now=at(99)), None),
    ],
    ids=[
        "a new one is accepted",
        "before all is known",
        "one that an earlier process has accepted",
        "that one, before all is known",
        "with tasks that are not on record",
        "once all are on record",
        "that one, before all is known",
        "with nothing left to find out",
        "one that only holds",
        "one that was not read for long",
        "a drill",
        "a drill before all is known",
        "one that is over",
        "one that was withdrawn",
    ],
)
def test_what_is_found_out_first(given: OrderInput, read: OrderRead | None) -> None:
    assert required_read(given) is read


@pytest.mark.parametrize(
    ("one", "counts", "more", "effects"),
    [
        (order(None, STOPPING), NEW, {}, (AddFinalizer(),)),
        (order(None, STOPPING, **GUARDED), NEW, {}, ()),
        (order(None, STOPPING), NEW, {"protectable": False}, ()),
        (order(None, STOPPING, **DELETING), NEW, {}, ()),
        (order(None, STOPPING), RECORDED, {"unwritten": True}, (AddFinalizer(),)),
        (order(None, STOPPING, **GUARDED), RECORDED, {"unwritten": True}, ()),
        (order(None, STOPPING, **GUARDED), RECORDED, {"certain": True}, (RemoveFinalizer(),)),
        (order(None, STOPPING, **GUARDED), RECORDED, {}, ()),
        (order({"hold": True}, HOLDING, **GUARDED), RECORDED, {}, (RemoveFinalizer(),)),
        (order(None, STOPPING), RECORDED, {"certain": True}, ()),
    ],
    ids=[
        "tasks that hang on it alone",
        "it is protected already",
        "it must not be",
        "no finalizer comes to what is being deleted",
        "records that could not be written",
        "the same, protected",
        "all is on record",
        "nobody knows yet whether all is on record",
        "it only holds",
        "never needed",
    ],
)
def test_an_order_is_protected_for_as_long_as_a_stop_hangs_on_it_alone(
    one: Order, counts: Counts, more: Raw, effects: tuple[ObjectEffect, ...]
) -> None:
    decision = decided(one, counts, **more)

    assert decision.effects == effects
    assert not effects or decision.status == one.status, "first the finalizer, then what is said"


def test_counts_that_are_not_whole_are_not_written() -> None:
    one = order(None, STOPPING)

    assert decided(one, filled=False) == OrderDecision(status=one.status, wake_at=at(10))


def test_what_is_not_certain_is_not_said_to_be_over() -> None:
    one = order(None, STOPPING)

    assert decided(one, OVER).status.phase is OrderPhase.STOPPING
    sure = decided(one, OVER, certain=True)
    assert (sure.status.phase, sure.status.finished_at, sure.wake_at) == (OrderPhase.COMPLETE, at(7), at(10))
    assert {each.type: each.status for each in sure.status.conditions}["Ready"] == "True"


def test_what_has_not_changed_decides_the_same() -> None:
    first = decided(order(None, STOPPING), RECORDED, certain=True).status
    again = decided(order(None, first.wire()), RECORDED, certain=True, now=at(20)).status

    assert again == first


@pytest.mark.parametrize(
    ("status", "now", "wake_at"),
    [
        (STOPPING, at(10), at(10) + TIMINGS.order_recheck),
        (STOPPING, at(59), at(0) + TIMINGS.order_reread),
        (HOLDING, at(10), at(0) + TIMINGS.order_reread),
    ],
    ids=["stops", "stops, and is read again soon", "holds"],
)
def test_when_it_is_decided_on_again(status: Raw, now: datetime, wake_at: datetime) -> None:
    assert decided(order({"hold": True}, status), RECORDED, certain=True, now=now).wake_at == wake_at


@pytest.mark.parametrize(
    ("one", "now", "afterwards", "wake_at"),
    [
        (order(None, COMPLETE), at(99), (), None),
        (order({"ttlSecondsAfterFinished": 60}, COMPLETE), at(64), (), at(65)),
        (order({"ttlSecondsAfterFinished": 60}, COMPLETE), at(65), (DeleteObject(),), None),
        (order({"ttlSecondsAfterFinished": 60}, LIFTED), at(65), (), at(110)),
        (order(None, COMPLETE, **GUARDED), at(99), (RemoveFinalizer(),), None),
        (order(None, **DELETING, finalizers=["x/y"]), at(99), (), None),
    ],
    ids=["kept", "not yet", "its time is over", "from its lifting on", "protected still", "withdrawn"],
)
def test_what_is_left_of_an_order_that_is_over(
    one: Order, now: datetime, afterwards: tuple[ObjectEffect, ...], wake_at: datetime | None
) -> None:
    assert decided(one, now=now) == OrderDecision(status=one.status, afterwards=afterwards, wake_at=wake_at)
