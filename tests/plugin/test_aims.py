"""When it is enough, and with which exit code."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentstop.cli.plugin.exit_codes import Exit
from agentstop.cli.plugin.waiting.aims import NOBODY, OrderAim, TaskAim, ended, missed_stopped, never_missed, phase_is
from agentstop.client.follow import key_of
from tests.plugin.paper import stalled
from tests.support.kube import Object

NOW = datetime(2026, 1, 2, 3, 4, 10, tzinfo=UTC)
JUST_NOW = NOW - timedelta(seconds=1)
LONG_AGO = NOW - timedelta(seconds=60)


def task(name: str, phase: str, *, generation: int = 1, observed: int = 1, **status: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "x", "generation": generation},
        "status": {"phase": phase, "observedGeneration": observed, **status},
    }


def aim(*tasks: Object, asked_at: datetime = JUST_NOW, **more: Any) -> TaskAim:
    words = {"there": ended, "missed": never_missed} | more
    return TaskAim("Stopping", frozenset(map(key_of, tasks)), asked_at=asked_at, **words)


def seen(*tasks: Object) -> dict[tuple[str, str], Object]:
    return {key_of(each): each for each in tasks}


def test_it_is_over_when_all_have_ended() -> None:
    a, b = task("a", "Stopped", stop={"verdict": "Killed"}), task("b", "Completed")
    found = aim(a, b).assess(seen(a, b), {}, NOW)
    assert (found.outcome, found.problem) == (Exit.OK, None)
    assert found.progress.counts == {"Killed": 1, "Completed": 1}


def test_what_still_runs_is_listed() -> None:
    a, b = task("a", "Stopped", stop={"verdict": "Graceful"}), task("b", "Stopping", stop={})
    found = aim(a, b).assess(seen(a, b), {}, NOW)
    assert (found.outcome, found.progress.done, found.progress.total) == (None, 1, 2)
    assert [row.name for row in found.progress.rows] == ["b"]


def test_it_is_held_up_only_if_all_that_is_left_is() -> None:
    held = task("a", "Stopping", conditions=[stalled("NodeUnreachable", "node n does not answer")])
    other = task("b", "Stopping")
    assert aim(held, other).assess(seen(held, other), {}, NOW).held_up is None
    found = aim(held).assess(seen(held), {}, NOW)
    assert found.held_up == "a is held up: NodeUnreachable: node n does not answer"
    assert found.progress.stalled == 1


def test_no_operator_is_told_of_after_a_while() -> None:
    a = task("a", "Running", generation=2)
    assert aim(a).assess(seen(a), {}, NOW).progress.note is None
    found = aim(a, asked_at=LONG_AGO).assess(seen(a), {}, NOW)
    assert (found.progress.note, found.held_up) == (NOBODY, NOBODY)


def test_a_stop_without_proof_is_no_success() -> None:
    a = task("a", "Stopped", stop={"verdict": "Unverified"})
    found = aim(a).assess(seen(a), {}, NOW)
    assert (found.outcome, "without proof" in str(found.problem)) == (Exit.HELD_UP, True)


def test_a_task_that_was_deleted_counts_as_it_was_last_seen() -> None:
    a, b = task("a", "Stopped", stop={"verdict": "Graceful"}), task("b", "Stopping")
    assert aim(a).assess({}, seen(a), NOW).outcome is Exit.OK
    assert aim(b).assess({}, seen(b), NOW).outcome is Exit.HELD_UP


def test_what_ended_otherwise_cannot_be_stopped_any_more() -> None:
    a = task("a", "Completed")
    found = aim(a, there=phase_is("Stopped"), missed=missed_stopped).assess(seen(a), {}, NOW)
    assert (found.outcome, found.problem) == (Exit.HELD_UP, "a had ended before: Completed")


def order(phase: str | None, **status: Any) -> dict[tuple[str, str], Object]:
    made = {"metadata": {"name": "o", "namespace": "x"}, "spec": {}}
    return seen(made | ({"status": {"phase": phase, **status}} if phase else {}))


@pytest.mark.parametrize(
    ("phase", "stopping", "outcome"),
    [
        ("Stopping", 2, None),
        ("Stopping", 0, None),
        ("Complete", 0, Exit.OK),
        ("Holding", 0, Exit.OK),
        ("Holding", 1, None),
    ],
)
def test_an_order_is_over_when_nothing_is_left(phase: str, stopping: int, outcome: Exit | None) -> None:
    objects = order(phase, matched=3, stopping=stopping, startedAt="2026-01-02T03:04:05Z")
    assert OrderAim(JUST_NOW, list).assess(objects, {}, NOW).outcome is outcome


def test_an_order_counts() -> None:
    objects = order(
        "Stopping", matched=10, stopping=4, stopped={"graceful": 5, "killed": 1, "notStarted": 0, "other": 0}
    )
    found = OrderAim(JUST_NOW, list).assess(objects, {}, NOW).progress
    assert (found.done, found.total, found.counts) == (6, 10, {"Graceful": 5, "Killed": 1})


def test_an_order_is_held_up_when_all_that_is_left_is_stalled() -> None:
    listed = [{"namespace": "a", "name": "b", "reason": "NodeUnreachable"}]
    for stopping, held in ((2, None), (1, "1 task is held up: a/b: NodeUnreachable")):
        objects = order("Stopping", matched=9, stopping=stopping, stalledCount=1, stalled=listed)
        assert OrderAim(JUST_NOW, list).assess(objects, {}, NOW).held_up == held


def test_an_order_that_nobody_takes_up() -> None:
    assert OrderAim(JUST_NOW, list).assess(order(None), {}, NOW).held_up is None
    assert OrderAim(LONG_AGO, list).assess(order(None), {}, NOW).held_up == NOBODY


def test_an_order_that_is_deleted_was_not_carried_out() -> None:
    assert OrderAim(JUST_NOW, list).assess({}, {}, NOW).outcome is Exit.HELD_UP
