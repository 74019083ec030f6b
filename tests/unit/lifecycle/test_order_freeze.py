"""Orders that halt first: whom they freeze, what their status says of it, and when a stop follows."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agentstop.api.order import OrderPhase, OrderStatus
from agentstop.cluster.freeze_ledger import FreezeLedger
from agentstop.cluster.orders import read_order
from agentstop.lifecycle.effects import DeleteObject
from agentstop.lifecycle.observation import Task
from agentstop.lifecycle.order_decision import OrderDecision, OrderInput, OrderRead, decide_order, required_read
from agentstop.lifecycle.order_effects import bound, effect_of, membership
from agentstop.lifecycle.order_freeze import FreezeCounts, Halt, halt_of
from agentstop.lifecycle.orders import FREE, Order, OrderedFreeze, OrderEffect
from tests.unit.objects import Raw, at, raw_order, task, when

FREEZE: Raw = {"freeze": True}
STOP: Raw = FREEZE | {"then": "Stop"}
RESUME: Raw = FREEZE | {"then": "Resume"}
FREEZING: Raw = {"phase": "Freezing", "freezeStartedAt": when(0)}
FROZEN: Raw = {"phase": "Frozen", "freezeStartedAt": when(0), "frozenAt": when(1), "freezeSeconds": 1.0}
BY: Raw = {"kind": "StopOrder", "name": "o", "uid": "order-uid"}
TEAM: Raw = {"selector": {"matchLabels": {"team": "a"}}}


def order(spec: Raw | None = None, status: Raw | None = None, **more: Any) -> Order:
    return read_order(raw_order(FREEZE if spec is None else spec, status, **more))


def stalled(reason: str) -> Raw:
    condition = {"type": "Stalled", "status": "True", "reason": reason, "message": "m"}
    return {"conditions": [condition | {"lastTransitionTime": when(0)}]}


def one(number: int, phase: str, **status: Any) -> Task:
    return task(None, {"phase": phase} | status, uid=f"u{number}", name=f"t{number}")


def frozen(number: int = 0, since: float = 5, **status: Any) -> Task:
    given = {"reason": "Frozen", "pausePolicy": "Freeze", "pausedAt": when(since), "frozenBy": BY}
    return one(number, "Paused", **(given | status))


# Whom it freezes


def test_what_matches_is_frozen_and_does_not_start() -> None:
    effect = effect_of(task(), None, [order(FREEZE | {"reason": "Incident"})], {})

    assert effect.freeze == OrderedFreeze("StopOrder", "o", "order-uid", "Incident")
    assert effect.hold is not None
    assert (effect.hold.reason, "set then to Resume" in effect.hold.message) == ("HeldByOrder", True)


@pytest.mark.parametrize(
    "other",
    [
        order(FREEZE | TEAM),
        order(RESUME | TEAM),
        order(RESUME | {"hold": True}, {"phase": "Lifted", "liftedAt": when(0)}),
        order(FREEZE, {"phase": "Lifted", "liftedAt": when(0)}),
        order(STOP, {"phase": "Stopping", "startedAt": when(0)}),
        order({}),
    ],
    ids=[
        "of another team",
        "lets go of another team",
        "has let go of what it holds",
        "has let go",
        "stops by now",
        "freezes nothing",
    ],
)
def test_others_are_left_alone(other: Order) -> None:
    assert effect_of(task(), None, [other], {}) is FREE


@pytest.mark.parametrize(
    "other",
    [
        order(RESUME),
        order(RESUME | {"hold": True}),
        order(FREEZE, deletionTimestamp=when(0), finalizers=["x/y"]),
    ],
    ids=["lets go", "lets go of what it holds", "is being deleted"],
)
def test_one_that_lets_go_is_known_and_holds_nothing(other: Order) -> None:
    effect = effect_of(task(), None, [other, other], {})

    assert effect == OrderEffect(thaw=OrderedFreeze("StopOrder", "o", "order-uid", None))
    assert effect_of(task(), None, [other, order()], {}) == effect_of(task(), None, [order()], {})


def test_a_stop_goes_before_a_freeze() -> None:
    stop = bound(order({}), None)

    assert effect_of(task(), stop, [order()], {}).freeze is None


@pytest.mark.parametrize("first", [0, 1])
def test_a_freeze_goes_before_a_hold(first: int) -> None:
    both = [order({"hold": True}, name="h"), order()]
    effect = effect_of(task(), None, [both[first], both[1 - first]], {})

    assert effect.freeze is not None
    assert effect.hold is not None
    assert "StopOrder o" in effect.hold.message


def test_where_nobody_can_tell_nothing_starts_and_nothing_is_frozen() -> None:
    effect = effect_of(task(), None, [order(FREEZE | {"namespaceSelector": {}}, cluster=True)], {})

    assert effect.hold is not None
    assert (effect.hold.reason, effect.freeze) == ("NamespaceUnknown", None)


@pytest.mark.parametrize("spec", [FREEZE, FREEZE | {"hold": True}, STOP])
def test_nothing_is_stopped_or_refused_before_it_is_said_so(spec: Raw) -> None:
    assert membership(order(spec, FREEZING), task(None, None, creationTimestamp=when(60)), {}) is None


def test_a_kill_gives_no_time_and_makes_an_earlier_stop_one() -> None:
    kill = bound(order(FREEZE | {"then": "Kill", "gracePeriodSeconds": 60}), None)
    later = bound(order(FREEZE | {"then": "Kill"}, name="later"), bound(order({"gracePeriodSeconds": 300}), None))

    assert (kill.kill, kill.grace_seconds) == (True, 1)
    assert (later.name, later.kill, later.grace_seconds) == ("o", True, 1)
    assert not bound(order(STOP), None).kill


# How far a task is halted


@pytest.mark.parametrize(
    ("status", "halt"),
    [
        ({"phase": "Running"}, Halt.LEFT),
        ({"phase": "Pausing", "reason": "Freezing"}, Halt.LEFT),
        ({"phase": "Paused", "reason": "Frozen", "pausePolicy": "Freeze"}, Halt.FROZEN),
        ({"phase": "Paused", "reason": "Thawing", "pausePolicy": "Freeze"}, Halt.LEFT),
        ({"phase": "Paused", "reason": "Paused"}, Halt.IDLE),
        ({"phase": "Pending"}, Halt.LEFT),
        ({"phase": "Pending"} | stalled("ImagePullBackOff"), Halt.LEFT),
        ({"phase": "Pending"} | stalled("HeldByOrder"), Halt.IDLE),
        ({"phase": "Running"} | stalled("HeldByOrder"), Halt.IDLE),
    ],
    ids=[
        "runs",
        "is being frozen",
        "frozen",
        "on its way back",
        "ended until it is resumed",
        "may start",
        "may start once something is mended",
        "is kept from starting",
        "has nothing that runs",
    ],
)
def test_how_far_a_task_is_halted(status: Raw, halt: Halt) -> None:
    assert halt_of(task(None, status)) is halt


# Counts


def counted(order: Order, *tasks: Task, matching: bool = True) -> FreezeCounts:
    ledger = FreezeLedger()
    for each in tasks:
        ledger.put(order, each, matching=matching)
    return ledger.counts()


def test_each_task_that_matches_is_counted_once() -> None:
    found = counted(
        order(), frozen(1, 4), frozen(2, 7), one(3, "Running"), one(4, "Pausing", **stalled("LivenessProbe"))
    )

    assert (found.matched, found.frozen, found.left, found.frozen_at) == (4, 2, 2, at(7))
    assert [(each.name, each.reason) for each in found.stalled] == [("t4", "LivenessProbe")]


@pytest.mark.parametrize(
    ("moments", "others", "since"),
    [((3, 4), None, 4), ((4, None), None, 4), ((3, 9), None, 5), ((None,), None, 5), ((3,), [{"uids": ["x"]}], 5)],
    ids=["the last", "one has ended", "its clock is ahead", "on no record", "not all are shown"],
)
def test_the_last_was_frozen_when_its_kernel_said_so(
    moments: tuple[float | None, ...], others: Any, since: float
) -> None:
    pods = [{"name": "p", "uid": f"p{n}", "frozenAt": moment and when(moment)} for n, moment in enumerate(moments)]
    workload = {"apiVersion": "v1", "kind": "Pod", "name": "t1", "uid": "p0", "pods": pods, "otherPods": others}

    assert counted(order(), frozen(1, 5, workload=workload)).frozen_at == at(since)


@pytest.mark.parametrize(
    "other",
    [
        one(1, "Completed", finishedAt=when(2)),
        one(1, "Stopping", stop={"source": "User", "acceptedAt": when(1)}),
        replace(one(1, "Running"), gone=True),
        replace(one(1, "Running"), deleting=True),
    ],
    ids=["has ended", "is being stopped", "is gone", "is being deleted"],
)
def test_what_ends_is_not_waited_for(other: Task) -> None:
    ledger = FreezeLedger()
    assert ledger.put(order(), one(1, "Running"), matching=True)
    assert ledger.put(order(), other, matching=True)

    assert ledger.counts() == FreezeCounts()


def test_what_does_not_match_any_more_counts_until_it_goes_on() -> None:
    assert counted(order(), one(1, "Running"), matching=False).matched == 0
    assert counted(order(), frozen(1), matching=False).matched == 1
    assert counted(order(), frozen(1, frozenBy=BY | {"uid": "another"}), matching=False).matched == 0


def test_of_an_order_that_lets_go_only_what_it_has_frozen_counts() -> None:
    own = frozen(2, frozenBy=None)
    held = frozen(3, reason="HeldByOrder", **stalled("HeldByOrder"))
    found = counted(order(RESUME), frozen(1, reason="Thawing"), own, held, one(4, "Running"))

    assert (found.matched, [each.name for each in found.stalled]) == (2, ["t3"])


def test_what_has_not_changed_is_no_news() -> None:
    ledger = FreezeLedger()
    news = [ledger.put(order(), each, matching=True) for each in (one(1, "Running"), one(1, "Running"), frozen(1))]

    assert news == [True, False, True]
    assert (ledger.remove("u1"), ledger.remove("u1")) == (True, False)


# The decision


def case(one: Order, freeze: FreezeCounts | None = None, **more: Any) -> OrderInput:
    given: Any = {"now": at(10), "read_at": at(0), "filled": True, "freeze_began_at": at(0)} | more
    return OrderInput(order=one, freeze=freeze, **given)


def decided(one: Order, freeze: FreezeCounts, **more: Any) -> OrderDecision:
    return decide_order(case(one, freeze, **more))


def said(one: Order, freeze: FreezeCounts, **more: Any) -> OrderStatus:
    return decided(one, freeze, **more).status


LEFT = FreezeCounts(matched=3, frozen=2, left=1, frozen_at=at(4))
HELD_UP = FreezeCounts(matched=3, frozen=2, left=1, frozen_at=at(4), stalled_count=1)
ALL = FreezeCounts(matched=3, frozen=3, frozen_at=at(4))


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (case(order()), OrderRead.FREEZE),
        (case(order(None, FREEZING), filled=False), OrderRead.FREEZE),
        (case(order(None, FREEZING), LEFT), None),
        (case(order(None, FREEZING), ALL), OrderRead.UNKNOWN_TASKS),
        (case(order(None, FREEZING), HELD_UP), OrderRead.UNKNOWN_TASKS),
        (case(order(None, FREEZING), ALL, filled=False), None),
        (case(order(None, FREEZING), ALL, certain=True), None),
        (case(order(None, FROZEN), ALL, now=at(60)), OrderRead.ORDER),
        (case(order(RESUME)), OrderRead.FREEZE),
        (case(order(RESUME, FROZEN), ALL), None),
        (case(order(STOP, FREEZING), LEFT, now=at(1)), None),
        (case(order(STOP, FREEZING), HELD_UP, now=at(1)), OrderRead.UNKNOWN_TASKS),
        (case(order(STOP, FREEZING), HELD_UP, now=at(1), certain=True), OrderRead.TASKS),
        (case(order(STOP, FREEZING), ALL, now=at(1), certain=True), OrderRead.TASKS),
        (case(order(STOP, FREEZING), LEFT, now=at(3)), OrderRead.TASKS),
        (case(order(STOP), LEFT, now=at(3)), OrderRead.TASKS),
        (case(order(STOP, FROZEN), LEFT, now=at(3)), OrderRead.TASKS),
        (case(order(None, FREEZING), LEFT, now=at(59)), None),
        (case(order(STOP, FROZEN | {"phase": "Stopping", "startedAt": when(9)})), OrderRead.TASKS),
        (case(order(None, FROZEN, deletionTimestamp=when(2), finalizers=["x/y"])), None),
    ],
    ids=[
        "a new one freezes",
        "one that an earlier process began with, before all is known",
        "something runs",
        "all that is known is frozen",
        "all but what cannot be",
        "all that is known, before all is known",
        "all",
        "one that was not read for long",
        "one that lets go has to know of what",
        "one that lets go",
        "a stop waits for the freeze",
        "not for what cannot be frozen, once all is known",
        "not for what cannot be frozen",
        "a stop follows on the freeze",
        "a stop does not wait for ever",
        "nor where nothing was written down",
        "a stop that somebody asks for later, when another task has come",
        "without a word nothing is stopped",
        "one that has come to its stop is as any other",
        "one that was deleted",
    ],
)
def test_what_is_found_out_first(given: OrderInput, read: OrderRead | None) -> None:
    assert required_read(given) is read


def test_it_is_frozen_once_all_is_for_certain() -> None:
    assert said(order(None, FREEZING), LEFT, certain=True).phase is OrderPhase.FREEZING
    assert said(order(None, FREEZING), ALL).phase is OrderPhase.FREEZING
    status = said(order(None, FREEZING), ALL, certain=True)

    assert (status.phase, status.frozen_at, status.freeze_seconds) == (OrderPhase.FROZEN, at(4), 4.0)
    assert (status.matched, status.frozen, status.stopping, status.started_at) == (3, 3, 0, None)
    assert {each.type: each.status for each in status.conditions} == {
        "Ready": "True",
        "Reconciling": "False",
        "Stalled": "False",
    }


def test_what_was_frozen_before_counts_from_the_order_on() -> None:
    early = replace(ALL, frozen_at=at(-60))

    assert said(order(None, FREEZING), early, certain=True).freeze_seconds == 0.0
    assert said(order(None, FREEZING), FreezeCounts(), certain=True).freeze_seconds == 0.0


def test_what_comes_later_is_frozen_too_and_the_first_time_stays() -> None:
    again = said(order(None, FROZEN), LEFT, certain=True)
    later = said(order(None, again.wire()), replace(ALL, frozen_at=at(9)), certain=True)

    assert (again.phase, again.frozen) == (OrderPhase.FREEZING, 2)
    assert (later.phase, later.frozen_at, later.freeze_seconds) == (OrderPhase.FROZEN, at(1), 1.0)


def test_it_says_what_cannot_be_frozen() -> None:
    status = said(order(None, FREEZING), HELD_UP, certain=True)
    found = {each.type: (each.status, each.message) for each in status.conditions}

    assert (status.phase, status.stalled_count) == (OrderPhase.FREEZING, 1)
    assert found["Stalled"] == ("True", "The freeze of 1 tasks is held up; see status.stalled")


def test_it_is_lifted_once_nothing_is_frozen_by_it() -> None:
    thawing = said(order(RESUME, FROZEN), FreezeCounts(matched=2, left=2))
    lifted = decided(order(RESUME, thawing.wire()), FreezeCounts(), now=at(20))

    assert (thawing.phase, thawing.lifted_at) == (OrderPhase.THAWING, None)
    assert (lifted.status.phase, lifted.status.lifted_at, lifted.wake_at) == (OrderPhase.LIFTED, at(20), at(20))


def test_one_that_is_lifted_goes_when_its_time_is_over() -> None:
    over = order(RESUME | {"ttlSecondsAfterFinished": 5}, {"phase": "Lifted", "liftedAt": when(20)})
    given = OrderInput(order=over, now=at(25), read_at=at(0), filled=True)

    assert decide_order(given).afterwards == (DeleteObject(),)


def test_what_has_not_changed_decides_the_same() -> None:
    first = said(order(None, FREEZING), ALL, certain=True)

    assert said(order(None, first.wire()), ALL, certain=True, now=at(20)) == first


@pytest.mark.parametrize(
    ("spec", "wake"), [(FREEZE, 60), (STOP, 3), (RESUME, 60)], ids=["waits for a word", "waits for the freeze", "thaws"]
)
def test_when_it_is_decided_on_again(spec: Raw, wake: float) -> None:
    decision = decided(order(spec, FREEZING), LEFT, now=at(1))

    assert decision.wake_at is not None
    assert decision.wake_at - at(0) == timedelta(seconds=wake)
    assert decision.effects == ()
