"""What comes down to a task from those above it, and what it waits for below."""

from collections.abc import Iterable
from typing import Any

import pytest

from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.kin import ALONE, MOST_GENERATIONS, Inherited, Kin, ancestors, descendants, kin_of
from agentstop.lifecycle.seen import Presence, Seen, Task
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


class Family:
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

    def kin(self, name: str) -> Kin:
        return kin_of(self.tasks[name], self)


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
    assert Family(member("a")).kin("a") == ALONE


def test_those_above_come_nearest_first() -> None:
    family = Family(*chain(4))

    assert names(ancestors(family.tasks["t3"], family)) == ["t2", "t1", "t0"]


def test_those_below_come_nearest_first() -> None:
    family = Family(member("a"), member("b", "a"), member("d", "b"), member("c", "a"))

    assert names(descendants(family.tasks["a"], family)) == ["b", "c", "d"]


# Stops that come down


def test_a_stop_that_is_asked_for_comes_down_before_it_is_accepted() -> None:
    spec = ASKED | {"stop": {"reason": "Cost", "message": "much", "gracePeriodSeconds": 7}}
    parent = member("p", spec=spec, annotations={"agentstop.dev/stop-requested-by": "jane"})

    assert Family(parent, member("c", "p")).kin("c").stop == Inherited(
        origin="p", by_person=True, requested_by="jane", reason="Cost", message="much", grace_seconds=7
    )


def test_a_stop_that_was_accepted_comes_down_as_it_is_on_record() -> None:
    spec = ASKED | {"stop": {"reason": "Changed", "gracePeriodSeconds": 7}}
    family = Family(member("p", spec=spec, status=STOPPED_BY_JANE), member("c", "p"))

    assert family.kin("c").stop == Inherited(
        origin="p", by_person=True, requested_by="jane", reason="Cost", message="much", grace_seconds=7
    )


def test_a_deadline_comes_down_and_is_nobodys_doing() -> None:
    stop = Family(member("p", status=BY_DEADLINE), member("c", "p")).kin("c").stop

    assert stop is not None
    assert (stop.origin, stop.by_person) == ("p", False)


def test_the_record_says_who_stopped_it_even_where_somebody_asked_later() -> None:
    stop = Family(member("p", spec=ASKED, status=BY_DEADLINE), member("c", "p")).kin("c").stop

    assert stop is not None
    assert not stop.by_person


def test_a_stop_comes_down_all_generations() -> None:
    family = Family(member("a", spec=ASKED), member("b", "a"), member("c", "b"), member("d", "c", status=STARTED))

    assert [stop.origin for name in "bcd" if (stop := family.kin(name).stop)] == ["a", "a", "a"]


def test_a_child_that_ended_passes_the_stop_on() -> None:
    ended: Raw = {"phase": "Completed", "attempts": 1, "finishedAt": when(1)}
    family = Family(member("a", spec=ASKED), member("b", "a", status=ended), member("c", "b", status=STARTED))
    stop = family.kin("c").stop

    assert stop is not None
    assert stop.origin == "a"


def test_a_stop_in_the_middle_goes_down_and_not_up() -> None:
    family = Family(member("a", status=STARTED), member("b", "a", spec=ASKED), member("c", "b"))

    assert family.kin("a").stop is None
    assert family.kin("b").stop is None
    stop = family.kin("c").stop
    assert stop is not None
    assert stop.origin == "b"


def test_the_origin_is_named_though_it_is_gone() -> None:
    status: Raw = {
        "phase": "Stopping",
        "manuallyStopped": True,
        "stop": {"source": "Parent", "origin": "a", "requestedBy": "jane", "acceptedAt": when(0)},
    }
    family = Family(member("b", "a", status=status), member("c", "b", status=STARTED), absent=["a"])

    assert family.kin("c").stop == Inherited(origin="a", by_person=True, requested_by="jane")


def test_a_shorter_grace_period_comes_from_where_the_stop_began() -> None:
    status: Raw = {"phase": "Stopping", "stop": {"source": "Parent", "origin": "a", "acceptedAt": when(0)}}
    top = member("a", spec=ASKED | {"stop": {"gracePeriodSeconds": 3}})
    middle = member("b", "a", spec={"stop": {"gracePeriodSeconds": 99}}, status=status)
    stop = Family(top, middle, member("c", "b", status=STARTED)).kin("c").stop

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

    assert (Family(parent, child).kin("c").stop is not None) is follows


def test_a_child_that_comes_too_late_is_stopped_before_it_starts() -> None:
    family = Family(member("p", spec=ASKED, status=STOPPED_BY_JANE), member("c", "p"))
    decision = decide(family.tasks["c"], Seen(presence=Presence.ABSENT), at(1), family.kin("c"))

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
    family = Family(child, absent=["p"]) if how == "absent" else Family(parent, child)
    if how == "gone":
        family.tasks["p"] = Task(
            **{name: getattr(parent, name) for name in Task.__slots__ if name != "gone"},
            gone=True,
        )
    kin = family.kin("c")

    assert kin.problem is None
    assert (kin.stop == Inherited(origin="p", by_person=False)) is (policy == "Stop")


@pytest.mark.parametrize("policy", ["Orphan", "Stop"])
def test_a_child_does_not_start_under_a_parent_that_is_going(policy: str) -> None:
    family = Family(member("p", deletionTimestamp=when(0)), member("c", "p", spec={"deletionPolicy": policy}))

    assert family.kin("c").stop is not None


def test_a_grandchild_stays_where_its_own_parent_stays() -> None:
    parent = member("p", deletionTimestamp=when(0), status=STARTED)
    child = member("c", "p", status=STARTED)
    family = Family(parent, child, member("g", "c", STOPS_WITH_PARENT, STARTED))

    assert family.kin("c").stop is None
    assert family.kin("g").stop is None


# Parents that are not there


def test_an_ancestor_that_nobody_knows_of_has_to_be_read() -> None:
    kin = Family(member("b", "a"), member("c", "b")).kin("c")

    assert kin.unknown
    assert decide(member("c", "b"), Seen(presence=Presence.ABSENT), NOW, kin).effects == ()


def test_a_parent_that_does_not_exist_is_waited_for() -> None:
    kin = Family(member("c", "p"), absent=["p"]).kin("c")

    assert (kin.stop, kin.unknown) == (None, False)
    assert kin.problem is not None
    assert kin.problem.reason == "ParentNotFound"
    assert "AgentTask p" in kin.problem.message
    decision = decide(member("c", "p"), Seen(presence=Presence.ABSENT), NOW, kin)
    assert decision.effects == ()
    stalled = [each for each in decision.status.conditions if (each.type, each.status) == ("Stalled", "True")]
    assert [each.reason for each in stalled] == ["ParentNotFound"]


def test_a_task_that_runs_has_no_problem_with_a_parent_that_went() -> None:
    assert Family(member("c", "p", status=STARTED), absent=["p"]).kin("c").problem is None


@pytest.mark.parametrize(("above", "reason"), [(MOST_GENERATIONS, None), (MOST_GENERATIONS + 1, "ParentTooDeep")])
def test_how_deep_a_family_may_be(above: int, reason: str | None) -> None:
    family = Family(*chain(above + 1))
    problem = family.kin(f"t{above}").problem

    assert (problem.reason if problem is not None else None) == reason


def test_even_what_is_too_deep_follows_a_stop() -> None:
    family = Family(*chain(50))
    family.tasks["t0"] = member("t0", spec=ASKED)
    stop = family.kin("t49").stop

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
    family = Family(*circle)
    kin = family.kin("a")

    assert kin.problem is not None
    assert kin.problem.reason == "ParentCycle"
    assert "a -> " in kin.problem.message
    assert decide(circle[0], Seen(presence=Presence.ABSENT), NOW, kin).effects == ()


@pytest.mark.parametrize("circle", CIRCLES, ids=[str(len(circle)) for circle in CIRCLES])
def test_in_a_circle_nobody_waits_for_the_others(circle: list[Task]) -> None:
    family = Family(*circle)
    family.tasks["a"] = member("a", circle[0].spec.parent_ref.name if circle[0].spec.parent_ref else None, ASKED)
    decisions = {
        name: decide(each, Seen(presence=Presence.ABSENT), NOW, family.kin(name)).status.phase
        for name, each in family.tasks.items()
    }

    assert decisions["a"] == "Stopped"


# Those below


def test_the_descendants_are_counted_however_deep() -> None:
    ended: Raw = {"phase": "Failed", "attempts": 1}
    family = Family(member("a"), member("b", "a", status=ended), member("c", "b"), member("d", "a", status=STARTED))
    children = family.kin("a").children

    assert children is not None
    assert (children.total, children.active) == (3, 2)


def test_a_parent_is_stopped_once_all_below_have_ended() -> None:
    parent, child = member("p", spec=ASKED), member("c", "p", status=BY_DEADLINE)
    waits = decide(parent, Seen(presence=Presence.ABSENT), at(1), Family(parent, child).kin("p")).status
    assert waits.phase == "Stopping"
    assert "waits for the tasks that descend from it" in (waits.message or "")

    over = Family(parent, member("c", "p", status=BY_DEADLINE | {"phase": "Stopped"}))
    status = decide(parent, Seen(presence=Presence.ABSENT), at(1), over.kin("p")).status
    assert status.phase == "Stopped"
    assert status.children is not None
    assert (status.children.total, status.children.active) == (1, 0)


def test_a_child_that_is_held_up_is_named() -> None:
    condition = {"type": "Stalled", "status": "True", "reason": "NodeUnreachable", "message": "Node n is silent"}
    held = BY_DEADLINE | {"conditions": [condition | {"lastTransitionTime": when(0)}]}
    family = Family(member("p", spec=ASKED), member("c", "p"), member("g", "c", status=held))
    holding = family.kin("p").holding

    assert holding is not None
    assert holding.reason == "ChildStalled"
    assert holding.message == "AgentTask g holds it up: NodeUnreachable: Node n is silent"
    status = decide(family.tasks["p"], Seen(presence=Presence.ABSENT), at(1), family.kin("p")).status
    assert ("Stalled", "True", "ChildStalled") in {(each.type, each.status, each.reason) for each in status.conditions}
