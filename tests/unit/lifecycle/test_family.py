"""What comes down to a task from those above it, and what it waits for below."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from agentstop.api.budget import Budget
from agentstop.api.task import StopSource
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.family import ALONE, MAX_GENERATIONS, Family, Inherited, ancestors, descendants, family_of
from agentstop.lifecycle.observation import Observation, Presence, Task
from tests.unit.objects import NOW, Raw, at, task, when

STOPPED_BY_JANE: Raw = {
    "phase": "Stopping",
    "manuallyStopped": True,
    "attempts": 1,
    "stop": {"source": "User", "requestedBy": "jane", "reason": "Cost", "message": "much", "acceptedAt": when(0)},
}
BY_DEADLINE: Raw = {"phase": "Stopping", "stop": {"source": "Deadline", "acceptedAt": when(0)}}
STARTED: Raw = {"phase": "Running", "attempts": 1}
ASKED: Raw = {"stopRequested": True}
STOPS_WITH_PARENT: Raw = {"deletionPolicy": "Stop"}


class TaskTree:
    """The tasks of a namespace, and names of which it is known that there is none."""

    def __init__(self, *tasks: Task, absent: Iterable[str] = ()) -> None:
        self.tasks = {each.name: each for each in tasks}
        self._absent = set(absent)

    def named(self, name: str) -> Task | None:
        return self.tasks.get(name)

    def is_absent(self, name: str) -> bool:
        return name in self._absent

    def children(self, name: str) -> list[Task]:
        return [each for each in self.tasks.values() if each.spec.parent_ref and each.spec.parent_ref.name == name]

    def family(self, name: str, default: Budget | None = None) -> Family:
        return family_of(self.tasks[name], self, default)


def member(
    name: str, parent: str | None = None, spec: Raw | None = None, status: Raw | None = None, **meta: Any
) -> Task:
    given: Raw = {"podTemplate": {}} | ({"parentRef": {"name": parent}} if parent else {}) | (spec or {})
    return task(given, status, name=name, uid=f"{name}-uid", **meta)


def chain(length: int) -> list[Task]:
    """So many tasks, each the child of the one before."""
    return [member(f"t{number}", f"t{number - 1}" if number else None) for number in range(length)]


def names(tasks: Iterable[Task]) -> list[str]:
    return [each.name for each in tasks]


# Who is who


def test_a_task_without_relatives() -> None:
    assert TaskTree(member("a")).family("a") == ALONE


def test_those_above_come_nearest_first() -> None:
    tree = TaskTree(*chain(4))

    assert names(ancestors(tree.tasks["t3"], tree)) == ["t2", "t1", "t0"]


def test_those_below_come_nearest_first() -> None:
    tree = TaskTree(member("a"), member("b", "a"), member("d", "b"), member("c", "a"))

    assert names(descendants(tree.tasks["a"], tree)) == ["b", "c", "d"]


# Budgets


@pytest.mark.parametrize("source", ["Budget", "Idle", "Tether"])
def test_what_the_system_stops_goes_with_all_below_and_is_no_persons_doing(source: str) -> None:
    stop = {"source": source, "reason": "CostExceeded", "message": "5 of 4", "acceptedAt": when(0)}
    tree = TaskTree(member("a", status={"phase": "Stopping", "stop": stop}), member("b", "a", status=STARTED))
    assert tree.family("b").stop == Inherited(origin="a", by_person=False, reason="CostExceeded", message="5 of 4")


def test_a_familys_budget_pauses_all_below_for_as_long_as_it_is_exceeded() -> None:
    exceeded = {"type": "BudgetExceeded", "status": "True", "reason": "CostExceeded", "lastTransitionTime": when(0)}
    budget: Raw = {"maxCost": "1", "scope": "Family", "action": "Pause"}

    def over(budget: Raw | None, condition: Raw, default: Budget | None = None) -> str | None:
        spec: Raw = {"budget": budget} if budget is not None else {}
        above = member("a", spec=spec, status=STARTED | {"conditions": [condition]})
        return TaskTree(above, member("b", "a"), member("c", "b")).family("c", default).over_budget

    assert over(budget, exceeded) == "a"
    assert over(budget, exceeded | {"status": "False"}) is None
    assert over(budget | {"scope": "Task"}, exceeded) is None
    assert over(budget | {"action": "Observe"}, exceeded) is None
    namespaces = Budget.model_validate(budget)
    assert over(None, exceeded, namespaces) == "a"
    assert over(budget | {"action": "Observe"}, exceeded, namespaces) is None, "it has one of its own"


# Stops that come down


def test_a_stop_that_is_asked_for_comes_down_before_it_is_accepted() -> None:
    spec = ASKED | {"stop": {"reason": "Cost", "message": "much", "gracePeriodSeconds": 7}}
    parent = member("p", spec=spec, annotations={"agentstop.dev/stop-requested-by": "jane"})

    assert TaskTree(parent, member("c", "p")).family("c").stop == Inherited(
        origin="p", by_person=True, requested_by="jane", reason="Cost", message="much", grace_seconds=7
    )


def test_a_stop_that_was_accepted_comes_down_as_it_is_on_record() -> None:
    spec = ASKED | {"stop": {"reason": "Changed", "gracePeriodSeconds": 7}}
    tree = TaskTree(member("p", spec=spec, status=STOPPED_BY_JANE), member("c", "p"))

    assert tree.family("c").stop == Inherited(
        origin="p", by_person=True, requested_by="jane", reason="Cost", message="much", grace_seconds=7
    )


def test_a_deadline_comes_down_and_is_nobodys_doing() -> None:
    stop = TaskTree(member("p", status=BY_DEADLINE), member("c", "p")).family("c").stop

    assert stop is not None
    assert (stop.origin, stop.by_person) == ("p", False)


def test_a_deadline_was_not_accepted_when_a_parent_that_another_has_replaced_was_stopped() -> None:
    under_it = replace(member("c", "p", {"activeDeadlineSeconds": 15}, STARTED), stop_seen_at=at(5))
    runs = Observation(presence=Presence.PRESENT, started_at=at(10), active=True)
    stop = decide(under_it, runs, at(40)).status.stop

    assert stop is not None
    assert (stop.source, stop.accepted_at) == (StopSource.DEADLINE, at(40))


def test_the_record_says_who_stopped_it_even_where_somebody_asked_later() -> None:
    stop = TaskTree(member("p", spec=ASKED, status=BY_DEADLINE), member("c", "p")).family("c").stop

    assert stop is not None
    assert not stop.by_person


def test_a_stop_comes_down_all_generations() -> None:
    tree = TaskTree(member("a", spec=ASKED), member("b", "a"), member("c", "b"), member("d", "c", status=STARTED))

    assert [stop.origin for name in "bcd" if (stop := tree.family(name).stop)] == ["a", "a", "a"]


def test_a_child_that_ended_passes_the_stop_on() -> None:
    ended: Raw = {"phase": "Completed", "attempts": 1, "finishedAt": when(1)}
    tree = TaskTree(member("a", spec=ASKED), member("b", "a", status=ended), member("c", "b", status=STARTED))
    stop = tree.family("c").stop

    assert stop is not None
    assert stop.origin == "a"


def test_a_stop_in_the_middle_goes_down_and_not_up() -> None:
    tree = TaskTree(member("a", status=STARTED), member("b", "a", spec=ASKED), member("c", "b"))

    assert tree.family("a").stop is None
    assert tree.family("b").stop is None
    stop = tree.family("c").stop
    assert stop is not None
    assert stop.origin == "b"


@pytest.mark.parametrize("spec", [{}, ASKED], ids=["nobody asked it", "somebody asked it, too"])
def test_the_origin_is_named_though_it_is_gone(spec: Raw) -> None:
    status: Raw = {
        "phase": "Stopping",
        "manuallyStopped": True,
        "stop": {"source": "Parent", "origin": "a", "requestedBy": "jane", "acceptedAt": when(0)},
    }
    tree = TaskTree(member("b", "a", spec=spec, status=status), member("c", "b", status=STARTED), absent=["a"])

    assert tree.family("c").stop == Inherited(origin="a", by_person=True, requested_by="jane")


def test_a_shorter_grace_period_comes_from_where_the_stop_began() -> None:
    status: Raw = {"phase": "Stopping", "stop": {"source": "Parent", "origin": "a", "acceptedAt": when(0)}}
    top = member("a", spec=ASKED | {"stop": {"gracePeriodSeconds": 3}})
    middle = member("b", "a", spec={"stop": {"gracePeriodSeconds": 99}}, status=status)
    stop = TaskTree(top, middle, member("c", "b", status=STARTED)).family("c").stop

    assert stop is not None
    assert stop.grace_seconds == 3


# Too late


@pytest.mark.parametrize(
    ("created", "started", "follows"),
    [(9, 0, False), (10, 0, True), (11, 0, True), (900, 0, True), (11, 1, False)],
    ids=["before", "in the same second", "after", "long after", "runs already"],
)
@pytest.mark.parametrize("phase", ["Completed", "Failed"])
def test_a_child_of_a_task_that_has_ended_never_starts(phase: str, created: float, started: int, follows: bool) -> None:
    parent = member("p", status={"phase": phase, "attempts": 1, "finishedAt": when(10)})
    child = member("c", "p", status={"attempts": started}, creationTimestamp=when(created))

    assert (TaskTree(parent, child).family("c").stop is not None) is follows


def test_a_child_that_comes_too_late_is_stopped_before_it_starts() -> None:
    tree = TaskTree(member("p", spec=ASKED, status=STOPPED_BY_JANE), member("c", "p"))
    decision = decide(tree.tasks["c"], Observation(presence=Presence.ABSENT), at(1), tree.family("c"))

    assert decision.effects == ()
    assert decision.status.stop is not None
    assert (decision.status.phase, decision.status.stop.verdict) == ("Stopped", "NotStarted")
    assert (decision.status.stop.source, decision.status.stop.origin) == ("Parent", "p")
    assert decision.status.manually_stopped
    assert decision.status.stop.requested_by == "jane"
    assert decision.status.reason == "ParentStopped"
    assert "p" in (decision.status.message or "")


# A parent's deletion


@pytest.mark.parametrize("policy", ["Orphan", "Stop"])
@pytest.mark.parametrize("how", ["going", "gone", "absent"])
def test_a_running_child_follows_its_parents_deletion_if_it_says_so(how: str, policy: str) -> None:
    going: Raw = {"deletionTimestamp": when(0)} if how == "going" else {}
    parent = member("p", status=STARTED, **going)
    child = member("c", "p", spec={"deletionPolicy": policy}, status=STARTED)
    tree = TaskTree(child, absent=["p"]) if how == "absent" else TaskTree(parent, child)
    if how == "gone":
        tree.tasks["p"] = Task(
            **{name: getattr(parent, name) for name in Task.__slots__ if name != "gone"},
            gone=True,
        )
    family = tree.family("c")

    assert family.problem is None
    assert (family.stop == Inherited(origin="p", by_person=False)) is (policy == "Stop")


@pytest.mark.parametrize("policy", ["Orphan", "Stop"])
def test_a_child_does_not_start_under_a_parent_that_is_going(policy: str) -> None:
    tree = TaskTree(member("p", deletionTimestamp=when(0)), member("c", "p", spec={"deletionPolicy": policy}))

    assert tree.family("c").stop is not None


def test_a_grandchild_stays_where_its_own_parent_stays() -> None:
    parent = member("p", deletionTimestamp=when(0), status=STARTED)
    child = member("c", "p", status=STARTED)
    tree = TaskTree(parent, child, member("g", "c", STOPS_WITH_PARENT, STARTED))

    assert tree.family("c").stop is None
    assert tree.family("g").stop is None


# Parents that are not there


def test_an_ancestor_that_nobody_knows_of_has_to_be_read() -> None:
    family = TaskTree(member("b", "a"), member("c", "b")).family("c")

    assert family.unknown
    assert decide(member("c", "b"), Observation(presence=Presence.ABSENT), NOW, family).effects == ()


def test_a_parent_that_does_not_exist_is_waited_for() -> None:
    family = TaskTree(member("c", "p"), absent=["p"]).family("c")

    assert (family.stop, family.unknown) == (None, False)
    assert family.problem is not None
    assert family.problem.reason == "ParentNotFound"
    assert "AgentTask p" in family.problem.message
    decision = decide(member("c", "p"), Observation(presence=Presence.ABSENT), NOW, family)
    assert decision.effects == ()
    stalled = [each for each in decision.status.conditions if (each.type, each.status) == ("Stalled", "True")]
    assert [each.reason for each in stalled] == ["ParentNotFound"]


def test_a_task_that_runs_has_no_problem_with_a_parent_that_went() -> None:
    assert TaskTree(member("c", "p", status=STARTED), absent=["p"]).family("c").problem is None


@pytest.mark.parametrize(("above", "reason"), [(MAX_GENERATIONS, None), (MAX_GENERATIONS + 1, "ParentTooDeep")])
def test_how_deep_a_family_may_be(above: int, reason: str | None) -> None:
    tree = TaskTree(*chain(above + 1))
    problem = tree.family(f"t{above}").problem

    assert (problem.reason if problem is not None else None) == reason


def test_even_what_is_too_deep_follows_a_stop() -> None:
    tree = TaskTree(*chain(50))
    tree.tasks["t0"] = member("t0", spec=ASKED)
    stop = tree.family("t49").stop

    assert stop is not None
    assert stop.origin == "t0"


# Circles


CIRCLES = [
    [member("a", "a")],
    [member("a", "b"), member("b", "a")],
    [member("a", "b"), member("b", "c"), member("c", "b")],
    [member("a", "c"), member("b", "a"), member("c", "b")],
]


@pytest.mark.parametrize("circle", CIRCLES, ids=[str(len(circle)) for circle in CIRCLES])
def test_a_circle_is_named_and_nothing_in_it_starts(circle: list[Task]) -> None:
    tree = TaskTree(*circle)
    family = tree.family("a")

    assert family.problem is not None
    assert family.problem.reason == "ParentCycle"
    assert "a -> " in family.problem.message
    assert decide(circle[0], Observation(presence=Presence.ABSENT), NOW, family).effects == ()


@pytest.mark.parametrize("circle", CIRCLES, ids=[str(len(circle)) for circle in CIRCLES])
def test_in_a_circle_nobody_waits_for_the_others(circle: list[Task]) -> None:
    tree = TaskTree(*circle)
    tree.tasks["a"] = member("a", circle[0].spec.parent_ref.name if circle[0].spec.parent_ref else None, ASKED)
    decisions = {
        name: decide(each, Observation(presence=Presence.ABSENT), NOW, tree.family(name)).status.phase
        for name, each in tree.tasks.items()
    }

    assert decisions["a"] == "Stopped"


# Those below


def test_the_descendants_are_counted_however_deep() -> None:
    ended: Raw = {"phase": "Failed", "attempts": 1}
    tree = TaskTree(member("a"), member("b", "a", status=ended), member("c", "b"), member("d", "a", status=STARTED))
    children = tree.family("a").children

    assert children is not None
    assert (children.total, children.active) == (3, 2)


def test_a_parent_is_stopped_once_all_below_have_ended() -> None:
    parent, child = member("p", spec=ASKED), member("c", "p", status=BY_DEADLINE)
    waits = decide(parent, Observation(presence=Presence.ABSENT), at(1), TaskTree(parent, child).family("p")).status
    assert waits.phase == "Stopping"
    assert "waits for the tasks that descend from it" in (waits.message or "")

    over = TaskTree(parent, member("c", "p", status=BY_DEADLINE | {"phase": "Stopped"}))
    status = decide(parent, Observation(presence=Presence.ABSENT), at(1), over.family("p")).status
    assert status.phase == "Stopped"
    assert status.children is not None
    assert (status.children.total, status.children.active) == (1, 0)


def test_a_child_that_is_held_up_is_named() -> None:
    condition = {"type": "Stalled", "status": "True", "reason": "NodeUnreachable", "message": "Node n is silent"}
    held = BY_DEADLINE | {"conditions": [condition | {"lastTransitionTime": when(0)}]}
    tree = TaskTree(member("p", spec=ASKED), member("c", "p"), member("g", "c", status=held))
    holding = tree.family("p").holding

    assert holding is not None
    assert holding.reason == "ChildStalled"
    assert holding.message == "AgentTask g holds it up: NodeUnreachable: Node n is silent"
    status = decide(tree.tasks["p"], Observation(presence=Presence.ABSENT), at(1), tree.family("p")).status
    assert ("Stalled", "True", "ChildStalled") in {(each.type, each.status, each.reason) for each in status.conditions}
