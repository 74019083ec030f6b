"""What stop orders mean to one task, as a function of the orders and the task alone."""

from typing import Any

import pytest

from agentstop.api.task import PodPolicy
from agentstop.cluster.orders import read_order
from agentstop.lifecycle.observation import Task
from agentstop.lifecycle.order_effects import Membership, bound, effect_of, membership
from agentstop.lifecycle.orders import FREE, Order, accepted
from tests.unit.objects import Raw, at, raw_order, task, when

TEAM: Raw = {"selector": {"matchLabels": {"team": "a"}}}
STOPPING: Raw = {"phase": "Stopping", "startedAt": when(0)}
HOLDING: Raw = {"phase": "Holding", "startedAt": when(0), "finishedAt": when(5)}
COMPLETE: Raw = {"phase": "Complete", "startedAt": when(0), "finishedAt": when(5)}
ENDED: Raw = {"phase": "Completed", "finishedAt": when(-5)}
HELD: Raw = {
    "type": "Stalled",
    "status": "True",
    "reason": "HeldByOrder",
    "message": "m",
    "lastTransitionTime": when(9),
}


def order(spec: Raw | None = None, status: Raw | None = None, **more: Any) -> Order:
    return read_order(raw_order(spec, status, **more))


def made(seconds: float, status: Raw | None = None, **metadata: Any) -> Task:
    return task(None, status, creationTimestamp=when(seconds), **metadata)


def stopped_at(seconds: float) -> Raw:
    stop = {"source": "StopOrder", "order": {"kind": "StopOrder", "name": "o", "uid": "order-uid"}}
    stop |= {"acceptedAt": when(seconds), "verdict": "NotStarted", "confirmedAt": when(seconds)}
    return {"phase": "Stopped", "finishedAt": when(seconds), "stop": stop}


@pytest.mark.parametrize(
    ("status", "spec", "one", "found"),
    [
        (None, {}, made(-60), None),
        (STOPPING, {}, made(-60), Membership.MEANT),
        (STOPPING, {}, made(-60, ENDED), Membership.ENDED_BEFORE),
        (STOPPING, {}, made(-60, stopped_at(3)), Membership.MEANT),
        (STOPPING, {}, made(-60, ENDED | {"finishedAt": when(3)}), Membership.MEANT),
        (STOPPING, TEAM, made(-60), None),
        (STOPPING, {}, made(60), None),
        (STOPPING, {"hold": True}, made(60), Membership.REFUSED),
        (HOLDING, {"hold": True}, made(60), Membership.REFUSED),
        (HOLDING, {"hold": True}, made(-60), None),
        (HOLDING, {"hold": True}, made(60, ENDED | {"finishedAt": when(61)}), None),
        (HOLDING, {"hold": True}, made(60, {"conditions": [HELD]}), None),
        (HOLDING, {"hold": False}, made(60), None),
        (HOLDING, {"hold": True}, made(0, stopped_at(3)), None),
        (HOLDING, {"hold": True}, made(0, stopped_at(9)), Membership.REFUSED),
        (COMPLETE, {}, made(-60), None),
        (STOPPING, {"drill": True}, made(-60), None),
    ],
    ids=[
        "not accepted yet",
        "was there",
        "had ended before",
        "stopped by it, found after a crash",
        "ended after the acceptance",
        "of another team",
        "made later",
        "made under its hold while it stops",
        "made under its hold",
        "there before, now that it only holds",
        "made under its hold, and ended",
        "came to match, and is held",
        "made after the hold was lifted",
        "made in its second, and counted before it was through",
        "made in its second, and stopped afterwards",
        "the order is over",
        "a drill",
    ],
)
def test_as_what_an_order_counts_a_task(status: Raw | None, spec: Raw, one: Task, found: Membership | None) -> None:
    assert membership(order(spec, status), one, {}) is found


def test_who_is_there_at_the_acceptance_is_meant_whatever_its_clock_says() -> None:
    assert membership(order(None, STOPPING), made(60), {}, here=True) is Membership.MEANT
    assert membership(order(None, STOPPING), made(60, ENDED | {"finishedAt": when(3)}), {}, here=True) is (
        Membership.ENDED_BEFORE
    )


@pytest.mark.parametrize(
    ("metadata", "seconds"),
    [({}, 7), ({"creationTimestamp": when(9)}, 9), ({"deletionTimestamp": when(5), "finalizers": ["x/y"]}, 5)],
    ids=["now", "not before it was made", "not after its deletion"],
)
def test_since_when_an_order_is_accepted(metadata: Raw, seconds: float) -> None:
    assert accepted(order(None, **metadata), at(7)).status.started_at == at(seconds)


def test_the_first_order_is_the_one_and_a_later_one_makes_it_stricter() -> None:
    first = bound(order({"gracePeriodSeconds": 30}), None)
    later = bound(order({"gracePeriodSeconds": 5, "podPolicy": "Delete"}, name="later", uid="later"), first)

    assert (first.name, first.grace_seconds, first.pod_policy) == ("o", 30, None)
    assert (later.name, later.grace_seconds, later.pod_policy) == ("o", 5, PodPolicy.DELETE)
    assert bound(order({"gracePeriodSeconds": 60}), later) == later


def test_a_stop_goes_before_a_hold() -> None:
    held, stop = effect_of(task(), None, [order({"hold": True})], {}), bound(order(), None)

    assert held.hold is not None
    assert (held.hold.reason, held.stop) == ("HeldByOrder", None)
    assert effect_of(task(), stop, [order({"hold": True})], {}).stop == stop


def test_where_nobody_can_tell_nothing_starts() -> None:
    doubtful = order({"hold": True, "namespaceSelector": {}}, cluster=True)
    held = effect_of(task(), None, [doubtful], {})

    assert held.hold is not None
    assert held.hold.reason == "NamespaceUnknown"
    assert effect_of(task(), None, [order(), order({"hold": True} | TEAM)], {}) is FREE
