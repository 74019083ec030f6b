"""Orders that halt first: what matches is frozen at once, and let go or stopped when somebody says so."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from agentstop.api.meta import STOP_FINALIZER
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.queue import Priority
from tests.support.waiting import PATIENCE, until
from tests.unit.objects import Raw, raw_order

from .orders import ORDER, Bench, running

RUNNING: Raw = {"phase": "Running"}
FREEZE: Raw = {"freeze": True}
TEAM: Raw = {"selector": {"matchLabels": {"team": "a"}}}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with running() as bench:
        yield bench


def frozen(bench: Bench, key: TaskKey) -> None:
    """The kernel has all of a task frozen, by the order."""
    by = {"kind": "StopOrder", "name": "o", "uid": "order-uid"}
    freeze_state = {
        "phase": "Paused",
        "reason": "Frozen",
        "pausePolicy": "Freeze",
        "pausedAt": bench.moment,
        "frozenBy": by,
    }
    bench.set_status(key, freeze_state)


def freezes(bench: Bench, key: TaskKey) -> bool:
    known = bench.cache.tasks.get(key)
    return known is not None and bench.book.order_effect(known).freeze is not None


async def all_frozen(bench: Bench, *keys: TaskKey) -> None:
    await bench.phase("Freezing")
    for key in keys:
        frozen(bench, key)
    await bench.phase("Frozen")


async def test_all_that_matches_is_asked_for_at_once_and_counted(bench: Bench) -> None:
    one, two = (bench.task(name, None, RUNNING, labels={"team": "a"}) for name in ("one", "two"))
    other = bench.task("other", None, RUNNING)
    bench.waiting()
    bench.order(TEAM | FREEZE, annotations={"agentstop.dev/requested-by": "jane"})
    status = await bench.phase("Freezing")

    assert (status["matched"], status["frozen"], status["requestedBy"]) == (2, 0, "jane")
    assert {key: bench.queue._waiting.get(key) for key in (one, two)} == dict.fromkeys((one, two), Priority.MASS)
    assert bench.waiting() == {one, two}
    assert [freezes(bench, key) for key in (one, two, other)] == [True, True, False]

    frozen(bench, one)
    await until(lambda: bench.status()["frozen"] == 1, PATIENCE, "counted")
    bench.now += timedelta(seconds=2)
    frozen(bench, two)
    status = await bench.phase("Frozen")
    assert (status["frozen"], status["freezeSeconds"]) == (2, 2.0)
    assert "startedAt" not in status
    assert bench.cluster.finalizers == []


async def test_a_task_that_no_watch_has_told_of_is_found_and_frozen(bench: Bench) -> None:
    late = bench.unknown_task("late", None, RUNNING)
    bench.order(FREEZE)
    await until(lambda: freezes(bench, late), PATIENCE, "frozen")

    assert late in bench.waiting()
    await all_frozen(bench, late)


async def test_a_freeze_over_nothing_is_there_at_once(bench: Bench) -> None:
    bench.order(FREEZE)
    status = await bench.phase("Frozen")

    assert (status["matched"], status["freezeSeconds"]) == (0, 0.0)


async def test_what_comes_later_does_not_start_and_is_counted(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order(FREEZE | TEAM)
    await bench.phase("Frozen")
    late = bench.task("late", labels={"team": "a"})
    assert bench.held(late) == "HeldByOrder"
    raw = bench.cluster.tasks[one]
    bench.cluster.tasks[one] = raw | {
        "metadata": raw["metadata"] | {"labels": {"team": "a"}, "resourceVersion": bench.cluster.version()}
    }
    bench.tell(one)
    status = await bench.phase("Freezing")

    assert status["matched"] == 2
    assert [freezes(bench, key) for key in (one, late)] == [True, True]


async def test_it_goes_by_the_labels_that_a_namespace_has_now(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    key = bench.order(FREEZE | {"namespaceSelector": {"matchLabels": {"env": "prod"}}}, cluster=True)
    await bench.phase("Frozen", key)
    bench.waiting()
    bench.handler.namespace("MODIFIED", {"metadata": {"name": "ns", "labels": {"env": "prod"}}})

    assert one in bench.waiting()
    assert (await bench.phase("Freezing", key))["matched"] == 1
    bench.handler.namespace("MODIFIED", {"metadata": {"name": "ns", "labels": {}}})
    assert one in bench.waiting()
    assert (await bench.phase("Frozen", key))["matched"] == 0


async def test_it_lets_go_when_somebody_says_so(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order(FREEZE)
    await all_frozen(bench, one)
    bench.waiting()
    bench.edit(then="Resume")

    assert one in bench.waiting()
    assert not freezes(bench, one)
    assert (await bench.phase("Thawing"))["matched"] == 1
    bench.set_status(one, RUNNING)
    status = await bench.phase("Lifted")
    assert (status["matched"], status["frozen"]) == (0, 0)
    assert "startedAt" not in status
    assert not bench.stops(one)


async def test_it_lets_go_when_it_is_deleted(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order(FREEZE)
    await all_frozen(bench, one)
    bench.waiting()
    bench.delete()

    assert ORDER not in bench.cluster.orders
    assert one in bench.waiting()
    assert not freezes(bench, one)


async def test_one_that_somebody_else_keeps_lets_go_when_it_is_deleted(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order(FREEZE | {"then": None}, finalizers=["x/y"])
    await all_frozen(bench, one)
    bench.waiting()
    bench.delete()

    assert one in bench.waiting()
    assert not freezes(bench, one)


@pytest.mark.parametrize("then", ["Stop", "Kill"])
async def test_it_stops_what_matches_when_somebody_says_so(bench: Bench, then: str) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order(FREEZE | {"hold": True})
    await all_frozen(bench, one)
    late = bench.task("late")
    bench.now += timedelta(seconds=60)
    bench.edit(then=then)
    status = await bench.phase("Stopping")

    assert (status["matched"], status["stopping"], status["frozen"]) == (2, 2, 0)
    assert status["startedAt"].startswith(bench.moment[:19])
    assert status["freezeSeconds"] == 0.0
    for key in (one, late):
        known = bench.cache.tasks.get(key)
        assert known is not None
        stop = bench.book.order_effect(known).stop
        assert stop is not None
        assert (stop.kill, freezes(bench, key)) == (then == "Kill", False)
        bench.stopped(key)
    await bench.phase("Holding")
    refused = bench.task("refused", creationTimestamp=bench.moment)
    assert bench.stops(refused)


async def test_given_at_its_creation_the_stop_follows_on_the_freeze(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order(FREEZE | {"then": "Stop"})
    await bench.phase("Freezing")
    assert not bench.stops(one)
    frozen(bench, one)
    status = await bench.phase("Stopping")

    assert bench.stops(one)
    assert status["freezeSeconds"] == 0.0
    bench.stopped(one)
    assert (await bench.phase("Complete"))["stopped"]["graceful"] == 1


async def test_it_does_not_wait_for_ever_for_what_does_not_freeze(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order(FREEZE | {"then": "Stop"})
    await bench.phase("Freezing")
    bench.now += timedelta(seconds=2.9)
    bench.handler.enqueue(ORDER)
    await bench.rest()
    assert not bench.stops(one)
    bench.now += timedelta(seconds=0.2)
    bench.handler.enqueue(ORDER)
    status = await bench.phase("Stopping")

    assert bench.stops(one)
    assert "freezeSeconds" not in status


async def test_it_does_not_wait_for_what_cannot_be_frozen(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order(FREEZE | {"then": "Stop"})
    await bench.phase("Freezing")
    condition = {"type": "Stalled", "status": "True", "reason": "LivenessProbe", "message": "m"}
    condition |= {"lastTransitionTime": bench.moment}
    bench.set_status(one, {"phase": "Pausing", "reason": "Freezing", "conditions": [condition]})

    await bench.phase("Stopping")
    assert bench.stops(one)


async def test_another_process_goes_on_with_a_freeze(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order(FREEZE)
    await all_frozen(bench, one)
    await bench.restart()
    bench.now += timedelta(seconds=60)
    bench.tell(one)
    bench.waiting()
    bench.handler.order("ADDED", bench.cluster.orders[ORDER])
    await until(lambda: one in bench.queue._waiting, PATIENCE, "asked for again")
    await bench.rest()

    assert freezes(bench, one)
    assert (bench.status()["phase"], bench.status()["frozen"], bench.status()["freezeSeconds"]) == ("Frozen", 1, 0.0)


async def test_a_freeze_that_went_while_nobody_looked_keeps_nothing(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order(FREEZE)
    await all_frozen(bench, one)
    bench.delete(tell=False)
    await bench.restart()
    bench.tell(one)

    assert not freezes(bench, one)


async def test_another_process_lets_go(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order(FREEZE)
    await all_frozen(bench, one)
    await bench.restart()
    bench.tell(one)
    bench.handler.order("MODIFIED", bench.cluster.change_order(spec={"then": "Resume"}))

    await bench.phase("Thawing")
    bench.set_status(one, RUNNING)
    await bench.phase("Lifted")


async def test_another_process_goes_on_with_the_stop(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order(FREEZE)
    await all_frozen(bench, one)
    bench.edit(then="Kill")
    await until(lambda: bench.status().get("phase") == "Stopping", PATIENCE, "accepted")
    assert bench.cluster.orders[ORDER]["metadata"]["finalizers"] == [STOP_FINALIZER]
    await bench.restart()
    bench.tell(one)
    bench.handler.order("ADDED", bench.cluster.orders[ORDER])
    await until(lambda: bench.stops(one), PATIENCE, "stopped")

    known = bench.cache.tasks.get(one)
    assert known is not None
    stop = bench.book.order_effect(known).stop
    assert stop is not None
    assert stop.kill


async def test_another_order_of_the_same_name_begins_anew(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order(FREEZE)
    await all_frozen(bench, one)
    raw = raw_order(FREEZE | TEAM, None, int(bench.cluster.version()), uid="another")
    bench.cluster.orders[ORDER] = raw
    bench.waiting()
    bench.handler.order("MODIFIED", raw)

    assert one in bench.waiting()
    assert not freezes(bench, one)
    assert (await bench.phase("Frozen"))["matched"] == 0
