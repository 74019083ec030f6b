"""Whose usage it is that was reported, and what a family has used, those included that are gone."""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from agentstop.cluster.cache import Cache
from agentstop.cluster.default_budgets import DefaultBudgets, read_budget
from agentstop.cluster.deleted_usage import DeletedUsage
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.usage_store import UsageStore
from agentstop.lifecycle.observation import Task
from tests.unit.objects import NOW, Raw, at, raw_task, when

BUDGET = "agentstop.dev/default-budget"

MANY_TIMES_ITSELF = "a0: &a0\n  k: 1\n" + "".join(
    f"a{number}: &a{number}\n  <<:\n" + f"  - *a{number - 1}\n" * 9 for number in range(1, 30)
)
"""Without a bound, it is merged into more than any memory holds."""


def raw_usage(name: str, version: int = 1, *, owner: str | None = None, made: float = 0, **spec: object) -> Raw:
    kind = {"apiVersion": "agentstop.dev/v1alpha1", "kind": "AgentTask", "name": name, "uid": owner}
    return {
        "metadata": {
            "namespace": "ns",
            "name": name,
            "uid": f"usage-of-{name}",
            "resourceVersion": str(version),
            "creationTimestamp": when(made),
            "ownerReferences": [kind] if owner else [],
        },
        "spec": spec,
    }


class Place:
    """Tasks, and what was reported of them."""

    def __init__(self) -> None:
        self.cache = Cache()
        self.store = UsageStore()
        self.deleted = DeletedUsage(self.cache.tasks, self.store)
        self._version = 100

    def task(self, name: str, uid: str | None = None, parent: str | None = None, status: Raw | None = None) -> Task:
        spec: Raw = {"podTemplate": {}} | ({"parentRef": {"name": parent}} if parent else {})
        raw = raw_task(spec, status)
        self._version += 1
        more = {"name": name, "uid": uid or f"uid-{name}", "creationTimestamp": when(10)}
        raw["metadata"] |= more | {"resourceVersion": str(self._version)}
        self.cache.tasks.put(raw, NOW)
        found = self.cache.tasks.get(TaskKey("ns", name))
        assert found is not None
        return found

    def turns(self, task: Task) -> int | None:
        usage = self.deleted.family_usage(task)
        return usage.turns if usage is not None else None


def test_a_usage_is_its_owners_and_no_later_tasks() -> None:
    place = Place()
    task = place.task("x")
    for raw, counts in (
        (raw_usage("x", 1, owner="uid-x", made=0, turns=1), True),
        (raw_usage("x", 2, owner="another", made=20, turns=2), False),
        (raw_usage("x", 3, made=9, turns=3), False),
        (raw_usage("x", 4, made=10, turns=4), True),
    ):
        place.store.put(raw, NOW)
        assert (place.store.usage_of(task) is not None, place.store.has_foreign(task)) == (counts, not counts), raw
    assert place.store.put(raw_usage("x", 3, made=10, turns=99), NOW) is None, "overtaken"
    assert place.store.without_owner(task) is not None
    place.store.drop(TaskKey("ns", "x"), "another uid")
    assert place.store.usage_of(task) is not None


def test_a_report_is_read_as_it_is_meant() -> None:
    place = Place()
    task = place.task("x")
    place.store.put(
        raw_usage("x", made=10, promptTokens=5, completionTokens=4, totalTokens=3, lastActivityAt=when(9000)), at(50)
    )
    usage = place.store.usage_of(task)
    assert usage is not None
    assert (usage.tokens, usage.cost, usage.last_activity_at) == (9, None, at(50))
    for spec in ({"cost": "NaN"}, {"cost": "1e999"}, {"turns": -1}, {"totalTokens": 10**400}, {"turns": "many"}):
        with pytest.raises(ValidationError):
            place.store.put(raw_usage("x", 9, **spec), NOW)


def test_a_family_is_added_up_and_a_deletion_gives_nothing_back() -> None:
    place = Place()
    planner = place.task("planner")
    place.task("middle", parent="planner")
    for name in ("a", "b"):
        place.task(name, parent="middle")
        place.store.put(raw_usage(name, owner=f"uid-{name}", turns=10, cost="0.10"), NOW)
    place.store.put(raw_usage("planner", owner="uid-planner", turns=1), NOW)
    assert place.turns(planner) == 21
    place.cache.tasks.drop(TaskKey("ns", "a"))
    place.store.drop(TaskKey("ns", "a"), "usage-of-a")
    assert place.turns(planner) == 21
    place.task("c", parent="middle")
    place.store.put(raw_usage("c", owner="uid-c", turns=5), NOW)
    usage = place.deleted.family_usage(planner)
    assert usage is not None
    assert (usage.turns, usage.cost) == (26, Decimal("0.20"))


def test_after_a_restart_the_record_says_what_those_used_that_are_gone() -> None:
    place = Place()
    family = {"totalTokens": 0, "turns": 30}
    planner = place.task("planner", status={"usage": {"turns": 1, "asOf": when(0), "family": family}})
    place.task("b", parent="planner")
    place.store.put(raw_usage("b", owner="uid-b", turns=10), NOW)
    assert place.turns(planner) == 30
    place.store.put(raw_usage("b", 2, owner="uid-b", turns=12), NOW)
    assert place.turns(planner) == 32


def test_a_deletion_takes_nothing_off_what_the_others_have_used_since_the_record() -> None:
    place = Place()
    family = {"totalTokens": 0, "turns": 10}
    planner = place.task("planner", status={"usage": {"turns": 0, "asOf": when(0), "family": family}})
    for name in ("a", "b"):
        place.task(name, parent="planner")
        place.store.put(raw_usage(name, owner=f"uid-{name}", turns=8), NOW)
    place.cache.tasks.drop(TaskKey("ns", "b"))
    assert place.turns(planner) == 16


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("0001-01-01T00:00:00+12:00", "1970-01-01T00:00:00.000000Z"),
        ("0000-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"),
        ("2016-12-31T23:59:60Z", "1970-01-01T00:00:00.000000Z"),
        ("2025-01-01T02:00:00+02:00", "2025-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59-12:00", "2026-01-01T12:00:00.000000Z"),
    ],
)
def test_no_moment_that_is_reported_keeps_anything_from_being_written(told: str, meant: str) -> None:
    record = UsageStore().put(raw_usage("x", lastActivityAt=told), NOW)
    assert record is not None
    assert record.usage.status(NOW, None).wire()["lastActivityAt"] == meant
    assert record.usage.last_activity_at is not None
    assert record.usage.last_activity_at.tzname() == "UTC", "it is shown as UTC"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "neither JSON nor YAML"),
        ("5", "no object"),
        ("[]", "no object"),
        ("{}", "limits nothing"),
        ("action: Pause", "limits nothing"),
        ("maxcost: '1'", 'no field "maxcost"'),
        ('"a\\nb": 1', "no field"),
        pytest.param(MANY_TIMES_ITSELF, "without aliases in line 6", id="merged"),
        ("maxCost: '0'", "more than 0"),
        ("maxCost: NaN", "maxCost: must be a decimal number as text"),
        ("maxCost: 5", 'maxCost: must be a decimal number as text, such as "12.41"'),
        ("{maxCost: '5', currency: dollars}", "currency: must be a code of three capital letters, such as USD"),
        ("maxTurns: -1", "maxTurns"),
        ("{maxTurns: 5, action: Kill}", "action"),
        ("!!python/object:os.system x", "neither"),
        ("[" * 3000, "nested"),
        ("x" * 5000, "4096 at most"),
    ],
)
def test_a_wrong_budget_of_a_namespace_is_said_in_one_line(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        read_budget(text)
    assert "\n" not in str(caught.value)


def test_the_budget_of_a_namespace_comes_changes_and_goes() -> None:
    budgets = DefaultBudgets()
    assert not budgets.put("ns", {})
    assert budgets.put("ns", {BUDGET: '{"maxTurns": 5}'})
    assert not budgets.put("ns", {BUDGET: '{"maxTurns": 5}', "other": "x"})
    found = budgets.budget("ns")
    assert found is not None
    assert found.max_turns == 5
    assert budgets.put("ns", {BUDGET: "maxturns: 5"})
    assert budgets.budget("ns") is None
    problem = budgets.problem("ns")
    assert problem is not None
    assert "namespace ns" in problem.message
    assert budgets.put("ns", {})
    assert budgets.problem("ns") is None
