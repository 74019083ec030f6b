"""What a stop does with the pod object, where an order and the task say different things."""

from datetime import datetime

import pytest

from agentstop.api.task import PodPolicy
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import Case
from agentstop.lifecycle.effects import Halt
from agentstop.lifecycle.kin import ALONE, Inherited, Kin, kin_of
from agentstop.lifecycle.orders import FREE, Ordered, Standing
from agentstop.lifecycle.seen import Presence, Seen, Task
from tests.unit.lifecycle.test_kin import Family, member
from tests.unit.objects import NOW, Raw, at, task, when

KEEP, DELETE = PodPolicy.KEEP, PodPolicy.DELETE
RUNS = Seen(presence=Presence.PRESENT, started_at=NOW, active=True)


def ordered(policy: PodPolicy | None) -> Standing:
    return Standing(stop=Ordered("StopOrder", "o", "u", "jane", None, None, None, policy))


def one(own: str | None = None, *, asked: bool = False, on_record: str | None = None) -> Task:
    spec: Raw = {"podTemplate": {}, "stopRequested": asked} | ({"stop": {"podPolicy": own}} if own else {})
    stop: Raw = {"source": "StopOrder", "order": {"kind": "StopOrder", "name": "o"}, "acceptedAt": when(0)}
    stop |= {"podPolicy": on_record} if on_record else {}
    return task(spec, {"phase": "Stopping", "attempts": 1, "stop": stop} if on_record else None)


def halted(each: Task, standing: Standing = FREE, kin: Kin = ALONE, now: datetime = NOW) -> Halt:
    (effect,) = decide(each, RUNS, now, kin, standing).effects
    assert isinstance(effect, Halt)
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
    standing = ordered(later) if later else FREE
    each = one(own, on_record=on_record)
    assert halted(each, standing).policy is policy
    status = decide(each, RUNS, at(1), ALONE, standing).status
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
    family = Family(top, member("child", "top", {"stop": {"podPolicy": "Keep"}}))
    kin = family.kin("child")
    assert kin.stop is not None
    assert kin.stop.pod_policy is DELETE
    assert halted(family.tasks["child"], kin=kin).policy is DELETE
    status = decide(family.tasks["child"], RUNS, NOW, kin).status.wire()
    family.tasks["child"] = member("child", "top", None, status)
    below = Family(family.tasks["child"], member("grandchild", "child"), absent=["top"])
    inherited = kin_of(member("grandchild", "child"), below).stop
    assert isinstance(inherited, Inherited)
    assert inherited.pod_policy is DELETE


def test_what_is_found_running_after_the_end_is_deleted_too() -> None:
    stop: Raw = {"source": "StopOrder", "acceptedAt": when(0), "confirmedAt": when(1), "podPolicy": "Delete"}
    over = task({"podTemplate": {}}, {"phase": "Stopped", "finishedAt": when(1), "attempts": 1, "stop": stop})
    assert Case(over, RUNS, NOW).pod_policy is DELETE
    assert halted(over).policy is DELETE
