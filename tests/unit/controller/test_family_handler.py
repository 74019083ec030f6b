"""What a change of one task means to its relatives."""

from typing import Any

import pytest

from agentstop.cluster.cache import Cache
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.queue import Priority, WorkQueue
from agentstop.controller.family_handler import FamilyHandler
from agentstop.timings import TIMINGS
from tests.unit.objects import Raw, at, raw_task, when

ASKED: Raw = {"stopRequested": True}
RUNS: Raw = {"phase": "Running", "attempts": 1}


class Queue(WorkQueue[TaskKey]):
    """Keeps what is added, and when it is to be worked on."""

    def __init__(self) -> None:
        super().__init__()
        self.added: dict[str, bool] = {}
        self.later: dict[str, float] = {}

    def add(self, key: TaskKey, *, priority: Priority = Priority.NORMAL) -> None:
        self.added[key.name] = self.added.get(key.name, False) or priority is not Priority.NORMAL

    def add_after(self, key: TaskKey, seconds: float) -> None:
        self.later[key.name] = seconds


class Bench:
    """A family: a is above b, which is above c; d stands beside b."""

    def __init__(self) -> None:
        self.cache = Cache()
        self.queue = Queue()
        self.version = 0
        self.kinship = FamilyHandler(self.cache, self.queue, lambda: at(5))
        for name, parent in (("a", None), ("b", "a"), ("c", "b"), ("d", "a")):
            self.put(name, parent)
        self.forget()

    def put(self, name: str, parent: str | None = None, spec: Raw | None = None, **more: Any) -> None:
        self.version += 1
        given: Raw = {"podTemplate": {}} | ({"parentRef": {"name": parent}} if parent else {}) | (spec or {})
        status = more.pop("status", RUNS)
        metadata = {"name": name, "uid": f"{name}-uid"} | more
        self.cache.tasks.put(raw_task(given, status, self.version, **metadata), at(0))

    def forget(self) -> None:
        self.queue.added.clear()
        self.queue.later.clear()

    def asked_at(self, name: str) -> Any:
        task = self.cache.tasks.get(TaskKey("ns", name))
        assert task is not None
        return task.stop_seen_at


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_stop_has_all_below_decided_on_before_all_others(bench: Bench) -> None:
    bench.put("a", spec=ASKED)

    assert bench.queue.added == {"b": True, "c": True, "d": True}
    assert [bench.asked_at(name) for name in "bcd"] == [at(5)] * 3


def test_a_stop_in_the_middle_goes_down_alone(bench: Bench) -> None:
    bench.put("b", "a", ASKED)

    assert bench.queue.added == {"c": True}
    assert (bench.asked_at("a"), bench.asked_at("d")) == (None, None)


def test_a_stop_that_was_passed_on_is_not_passed_on_again(bench: Bench) -> None:
    bench.put("a", spec=ASKED)
    bench.forget()
    bench.put("a", spec=ASKED | {"agent": "x"})

    assert bench.queue.added == {}


@pytest.mark.parametrize(
    ("spec", "status", "metadata"),
    [
        (ASKED | {"stop": {"gracePeriodSeconds": 3}}, RUNS, {}),
        ({}, {"phase": "Stopping", "stop": {"source": "Deadline", "acceptedAt": when(1)}}, {}),
        ({}, {"phase": "Completed", "attempts": 1}, {}),
        ({}, RUNS, {"deletionTimestamp": when(1)}),
        ({}, RUNS, {"uid": "another"}),
    ],
    ids=["a shorter grace period", "a deadline", "its end", "its deletion", "another of that name"],
)
def test_what_matters_to_those_below(bench: Bench, spec: Raw, status: Raw, metadata: Raw) -> None:
    bench.put("a", spec=spec, status=status, **metadata)

    assert set(bench.queue.added) == {"b", "c", "d"}


@pytest.mark.parametrize(
    "status",
    [RUNS | {"message": "new"}, RUNS | {"startedAt": when(3)}, {"phase": "Paused", "attempts": 1}],
    ids=["a message", "a start", "a pause"],
)
def test_what_does_not(bench: Bench, status: Raw) -> None:
    bench.put("a", status=status)

    assert bench.queue.added == {}


def test_what_has_ended_is_left_in_peace(bench: Bench) -> None:
    bench.put("b", "a", status={"phase": "Completed"})
    bench.forget()
    bench.put("a", spec=ASKED)

    assert set(bench.queue.added) == {"c", "d"}


def test_a_parent_that_goes_is_felt_below(bench: Bench) -> None:
    bench.cache.drop_task(TaskKey("ns", "a"))

    assert set(bench.queue.added) == {"b", "c", "d"}


# Upwards


@pytest.mark.parametrize("status", [{"phase": "Completed"}, {"phase": "Stopped"}, {"phase": "Failed"}])
def test_an_end_is_counted_by_all_above_a_moment_later(bench: Bench, status: Raw) -> None:
    bench.put("c", "b", status=status)

    assert bench.queue.later == {"b": TIMINGS.family_count_seconds, "a": TIMINGS.family_count_seconds}


def test_a_birth_is_counted_by_all_above(bench: Bench) -> None:
    bench.put("e", "c", status={})

    assert set(bench.queue.later) == {"a", "b", "c"}


def test_a_death_is_counted_by_all_above(bench: Bench) -> None:
    bench.cache.drop_task(TaskKey("ns", "c"))

    assert set(bench.queue.later) == {"a", "b"}


def test_what_holds_up_a_task_is_news_above(bench: Bench) -> None:
    stalled = {"type": "Stalled", "status": "True", "reason": "R", "message": "m", "lastTransitionTime": when(0)}
    bench.put("c", "b", status=RUNS | {"conditions": [stalled]})

    assert set(bench.queue.later) == {"a", "b"}


def test_other_changes_are_no_news_above(bench: Bench) -> None:
    bench.put("c", "b", status=RUNS | {"message": "new"})

    assert bench.queue.later == {}


def test_circles_end_somewhere(bench: Bench) -> None:
    bench.put("x", "y")
    bench.put("y", "x")
    bench.put("x", "y", ASKED)

    assert bench.asked_at("y") == at(5)
