"""What a stop does with the pod object, where an order and the task say different things."""

from datetime import datetime

import pytest

from agentstop.api.task import PodPolicy
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import DecisionInput
from agentstop.lifecycle.effects import Terminate
from agentstop.lifecycle.family import ALONE, Family, Inherited, family_of
from agentstop.lifecycle.observation import Observation, Presence, Task
from agentstop.lifecycle.orders import FREE, Ordered, OrderEffect
from tests.unit.lifecycle.test_family import TaskTree, member
from tests.unit.objects import NOW, Raw, at, task, when

KEEP, DELETE = PodPolicy.KEEP, PodPolicy.DELETE
RUNS = Observation(presence=Presence.PRESENT, started_at=NOW, active=True)


def ordered(policy: PodPolicy | None) -> OrderEffect:
    return OrderEffect(stop=Ordered("StopOrder", "o", "u", "jane", None, None, None, policy))


def one(own: str | None = None, *, asked: bool = False, on_record: str | None = None) -> Task:
    spec: Raw = {"podTemplate": {}, "stopRequested": asked} | ({"stop": {"podPolicy": own}} if own else {})
    stop: Raw = {"source": "StopOrder", "order": {"kind": "StopOrder", "name": "o"}, "acceptedAt": when(0)}
    stop |= {"podPolicy": on_record} if on_record else {}
    return task(spec, {"phase": "Stopping", "attempts": 1, "stop": stop} if on_record else None)


def halted(each: Task, order_effect: OrderEffect = FREE, family: Family = ALONE, now: datetime = NOW) -> Terminate:
    (effect,) = decide(each, RUNS, now, family, order_effect).effects
    assert isinstance(effect, Terminate)
    return effect


@pytest.mark.parametrize(
    ("order", "own", "asked", "policy"),
    [
        (None, None, False, KEEP),
        (None, "Delete", False, DELETE),
        (DELETE, None, False, DELETE),
        (DELETE, "Keep", False, DELETE),
        (DELETE, "Keep", True, DELETE),
        (KEEP, "Delete", False, KEEP),
        (KEEP, "Delete", True, DELETE),
        (KEEP, None, False, KEEP),
    ],
)
def test_what_an_order_says_counts_for_the_stop_that_it_causes(
    order: PodPolicy | None, own: str | None, asked: bool, policy: PodPolicy
) -> None:
    """What a task says for itself beforehand neither weakens nor overrides it; a stop of its own may delete, too."""
    assert halted(one(own, asked=asked), ordered(order)).policy is policy


@pytest.mark.parametrize(
    ("on_record", "later", "own", "policy"),
    [
        ("Delete", None, "Keep", DELETE),
        ("Delete", KEEP, "Keep", DELETE),
        ("Keep", None, "Delete", KEEP),
        ("Keep", DELETE, None, DELETE),
    ],
)
def test_it_stands_when_the_order_is_gone_and_a_later_one_makes_it_only_stricter(
    on_record: str, later: PodPolicy | None, own: str | None, policy: PodPolicy
) -> None:
    order_effect = ordered(later) if later else FREE
    each = one(own, on_record=on_record)
    assert halted(each, order_effect).policy is policy
    status = decide(each, RUNS, at(1), ALONE, order_effect).status
    assert status.stop is not None
    assert status.stop.pod_policy is policy


def test_where_no_order_says_it_none_is_on_record() -> None:
    status = decide(one("Delete", asked=True), RUNS, NOW).status
    assert status.stop is not None
    assert status.stop.pod_policy is None


def test_the_stop_of_a_parent_takes_the_pods_below_it_along() -> None:
    """Through a generation that does not match the order, and where the order is gone."""
    stop: Raw = {"source": "StopOrder", "acceptedAt": when(0), "podPolicy": "Delete"}
    top = member("top", None, None, {"phase": "Stopping", "attempts": 1, "stop": stop})
    tree = TaskTree(top, member("child", "top", {"stop": {"podPolicy": "Keep"}}))
    family = tree.family("child")
    assert family.stop is not None
    assert family.stop.pod_policy is DELETE
    assert halted(tree.tasks["child"], family=family).policy is DELETE
    status = decide(tree.tasks["child"], RUNS, NOW, family).status.wire()
    tree.tasks["child"] = member("child", "top", None, status)
    below = TaskTree(tree.tasks["child"], member("grandchild", "child"), absent=["top"])
    inherited = family_of(member("grandchild", "child"), below).stop
    assert isinstance(inherited, Inherited)
    assert inherited.pod_policy is DELETE


def test_what_is_found_running_after_the_end_is_deleted_too() -> None:
    stop: Raw = {"source": "StopOrder", "acceptedAt": when(0), "confirmedAt": when(1), "podPolicy": "Delete"}
    over = task({"podTemplate": {}}, {"phase": "Stopped", "finishedAt": when(1), "attempts": 1, "stop": stop})
    assert DecisionInput(over, RUNS, NOW).pod_policy is DELETE
    assert halted(over).policy is DELETE
