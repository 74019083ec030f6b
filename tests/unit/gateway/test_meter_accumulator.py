"""What is added up until it is written: when it is due, and how much of it there is."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from agentstop.gateway.callers import impersonated
from agentstop.gateway.entry import Entry
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.meter.accumulator import Accumulator, Taken
from agentstop.gateway.meter.amounts import Amounts
from agentstop.gateway.meter.bucket import Bucket
from agentstop.gateway.meter.evidence import Direct, Evidence, Part, Point, Subject, Total
from agentstop.gateway.meter.limits import SMALL, Headroom, Left
from agentstop.gateway.meter.subjects import Subjects
from agentstop.gateway.meter.tally import MAX_GROUPS, MAX_SERIES
from agentstop.gateway.meter.usage import Spent, changed, is_written

JANE = impersonated("jane", "jane", ())
JOE = impersonated("joe", "joe", ())


def task(name: str, **more: object) -> Entry:
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": "1"}
    return Entry({"metadata": metadata, "spec": more.get("spec", {}), "status": more.get("status", {})})


def accumulator(tasks: int = 10, left: Callable[[Entry], Left] = lambda _: Left()) -> Accumulator:
    return Accumulator("w", 5.0, tasks, left)


def spent(turns: int = 1, cost: str = "0", identity: str | None = None) -> Evidence:
    return Evidence(Direct(Amounts(10, 0, turns, Decimal(cost))), None, identity)


def test_the_first_is_written_at_once_and_the_next_ones_together() -> None:
    found = accumulator()
    found.note(task("a"), JANE, "otlp", spent(), 100.0)
    ((key, account),) = found.take_due(100.0)
    found.note(task("a"), JANE, "otlp", spent(), 100.1)
    assert found.next_due() is None  # it is being written
    found.settled(key, 100.2)
    found.note(task("a"), JANE, "otlp", spent(), 101.0)
    assert not found.take_due(105.1)
    ((key, account),) = found.take_due(105.2)
    assert account.change is not None
    assert account.change.tally.direct.turns == 2
    found.settled(key, 105.3)
    assert (len(found), found.take_due(111.0), len(found)) == (1, [], 0)


def test_what_reaches_a_limit_is_written_at_once() -> None:
    found = accumulator(left=lambda _: Left(cost=Decimal("1.00"), turns=50))
    found.note(task("a"), JANE, "otlp", spent(), 0.0)
    ((key, _),) = found.take_due(0.0)
    found.settled(key, 0.0)
    found.note(task("a"), JANE, "otlp", spent(cost="0.60"), 1.0)
    assert not found.take_due(1.0)
    found.note(task("a"), JANE, "otlp", spent(cost="0.40"), 1.0)
    ((key, _),) = found.take_due(1.0)
    found.note(task("a"), JANE, "otlp", spent(turns=50), 1.1)
    found.settled(key, 1.2)
    assert len(found.take_due(1.2)) == 1


def test_a_counter_that_is_told_again_reaches_no_limit() -> None:
    found = accumulator(left=lambda _: Left(tokens=1000))

    def told(tokens: int) -> Evidence:
        return Evidence(Total("s", Point(1, completion=False, tokens=tokens, calls=1)), None)

    found.note(task("a"), JANE, "otlp", told(900), 0.0)
    ((key, _),) = found.take_due(0.0)
    found.settled(key, 0.0)
    found.note(task("a"), JANE, "otlp", told(1100), 1.0)
    assert not found.take_due(1.0)


def test_what_failed_is_tried_again_with_the_same_change() -> None:
    found = accumulator()
    found.note(task("a"), JANE, "otlp", spent(), 0.0)
    ((key, account),) = found.take_due(0.0)
    first = account.change
    found.failed(key, 3.0)
    found.note(task("a"), JANE, "otlp", spent(), 1.0)
    assert (found.take_due(2.9), found.unwritten) == ([], 1)
    ((_, account),) = found.take_due(3.0)
    assert account.change is first
    found.hurry()  # it is being written, and not written twice at a time
    assert not found.take_due(100.0)
    found.settled(key, 3.1)
    found.hurry()
    ((_, account),) = found.take_due(3.1)
    assert account.change is not None
    assert (account.change is first, account.change.number) == (False, 2)


def test_what_one_caller_reports_is_not_taken_for_written_with_what_another_one_does() -> None:
    found = accumulator()
    for each in (JANE, JOE):
        found.note(task("a"), each, "otlp", spent(), 0.0)
    usage: dict[str, Any] = {}
    changes = [account.change for _, account in found.take_due(0.0) if account.change is not None]
    assert len(changes) == 2
    for change in reversed(changes):  # the first one was not answered at first
        assert not is_written(usage, change)
        usage = changed(usage, change, "USD")
    assert usage["spec"]["turns"] == 2
    assert all(is_written(usage, each) for each in changes)


def test_what_is_told_twice_counts_once_and_a_part_of_a_span_before_the_whole() -> None:
    found = accumulator()
    inner = Evidence(Part(Amounts(1, 1, 1), span=True), None, "inner", "p", parent="outer")
    outer = Evidence(Part(Amounts(1, 1, 1), span=True), None, "outer", "p")
    for each in (inner, outer, inner, outer):
        assert found.note(task("a"), JANE, "otlp", each, 0.0) is Taken.YES
    found.note(task("b"), JANE, "otlp", outer, 0.0)
    accounts = [account for _, account in found.take_due(0.0)]
    assert [each.change.tally.groups["p"].spans.turns for each in accounts if each.change] == [1, 1]


def test_there_is_room_for_so_much_and_no_more() -> None:
    found = accumulator(tasks=2)
    assert found.note(task("a"), JANE, "otlp", spent(), 0.0) is Taken.YES
    assert found.note(task("a"), JOE, "otlp", spent(), 0.0) is Taken.YES
    assert found.note(task("b"), JANE, "otlp", spent(), 0.0) is Taken.FULL
    results = [
        found.note(task("a"), JANE, "otlp", Evidence(Total(f"s{each}", Point(1, False, 1, 1)), None, None, "p"), 0.0)
        for each in range(MAX_SERIES + 1)
    ]
    assert results == [Taken.YES] * MAX_SERIES + [Taken.CROWDED]


def test_processes_that_are_made_up_crowd_nobody_out() -> None:
    found = accumulator()
    for number in range(10 * MAX_GROUPS):
        nothing = Evidence(Part(Amounts(), span=True), None, None, f"p{number}")
        assert found.note(task("a"), JANE, "otlp", nothing, 0.0) is Taken.YES
    for _ in range(2):
        real = Evidence(Part(Amounts(5, 5, 1), span=True), None, None, "proxy")
        assert found.note(task("a"), JANE, "otlp", real, 0.0) is Taken.YES
    ((_, account),) = found.take_due(0.0)
    assert account.change is not None
    assert account.change.tally.size == MAX_GROUPS + 1
    assert changed(None, account.change, "USD")["spec"]["turns"] == 2


def test_there_is_room_for_so_much_of_all_tasks_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentstop.gateway.meter.accumulator.MAX_SIZE", 3)
    found = accumulator()

    def told(process: int) -> Evidence:
        return Evidence(Part(Amounts(1), span=True), None, None, f"p{process}")

    results = [found.note(task(name), JANE, "otlp", told(each), 0.0) for name in "ab" for each in (1, 1, 2)]
    assert results == [Taken.YES] * 4 + [Taken.FULL] * 2
    for key, _ in found.take_due(0.0):
        found.settled(key, 1.0)
    assert found.note(task("b"), JANE, "otlp", told(2), 1.0) is Taken.YES


def test_a_bucket_lets_so_many_through_in_a_second() -> None:
    now = [0.0]
    bucket = Bucket(100, lambda: now[0])
    assert (bucket.take(60), bucket.take(60)) == (0, 1)
    now[0] = 0.5
    assert bucket.take(60) == 0
    now[0] = 10.0
    assert bucket.take(1000) == 0  # more at once than in a second, after a quiet time
    assert bucket.take(1) == 10


def known_index() -> TaskIndex:
    index = TaskIndex()
    budget = {"maxCost": "2.00", "maxTokens": 100, "scope": "Family"}
    pods = [{"name": "pod-1", "uid": "pod-uid-1"}]
    for entry in (
        task("parent", spec={"budget": budget}),
        task("child", spec={"parentRef": {"name": "parent"}, "budget": {"maxTurns": 7}}),
        task("other", status={"workload": {"pods": pods}}),
    ):
        index.changed("AgentTask", None, dict(entry.raw))
    return index


def test_what_is_left_is_the_least_of_all_budgets_that_count() -> None:
    index = known_index()
    usages = {"uid-parent": Spent(Decimal("0.5"), 10, 1), "uid-child": Spent(Decimal("1.0"), 100, 2)}
    child = index.get("uid-child")
    assert child is not None
    # The family has used its tokens up already: nothing is to be written at once for that any more.
    assert Headroom(index, usages.get, lambda: 0.0).left_of(child) == Left(Decimal("0.5"), None, 5)


def test_a_large_family_is_not_added_up_each_time_that_one_of_it_is_written() -> None:
    index, asked, now = known_index(), [0], [0.0]
    for number in range(SMALL):
        index.changed("AgentTask", None, dict(task(f"t{number}", spec={"parentRef": {"name": "parent"}}).raw))

    def spent_of(uid: str) -> Spent | None:
        asked[0] += 1
        return Spent(Decimal("0.5"), 10, 1) if uid == "uid-parent" else None

    headroom = Headroom(index, spent_of, lambda: now[0])
    for entry in index.all():
        assert headroom.left_of(entry).cost == (None if entry.name == "other" else Decimal("1.5"))
    once = SMALL + 2 + 1  # the child has a budget of its own
    assert asked[0] == once
    now[0] = 1.0
    for entry in index.all():
        headroom.left_of(entry)
    assert asked[0] == 2 * once


def test_tasks_are_found_by_their_names_and_by_their_pods() -> None:
    index = known_index()
    subjects = Subjects(index)

    def name(subject: Subject) -> str | None:
        found = subjects.find(subject)
        return found.name if found is not None else None

    assert name(Subject("ns", "child")) == "child"
    assert name(Subject("ns", pod="pod-1")) == "other"
    assert name(Subject(pod_uid="pod-uid-1")) == "other"
    assert [name(each) for each in (Subject(), Subject("ns"), Subject("ns", pod="x"), Subject("no", "child"))] == [
        None
    ] * 4
    moved = task("other", status={"workload": {"pods": [{"name": "pod-2", "uid": "pod-uid-2"}]}})
    index.changed("AgentTask", "MODIFIED", dict(moved.raw))
    assert (name(Subject(pod_uid="pod-uid-1")), name(Subject("ns", pod="pod-2"))) == (None, "other")
