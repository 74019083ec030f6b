"""Orders are accepted, counted, written down and lifted, and go on after a crash."""

import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from agentstop.api.order import ListedTask
from agentstop.api.task import AgentTaskStatus
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.timings import TIMINGS
from tests.support.waiting import PATIENCE, until
from tests.unit.objects import Raw, when

from .orders import ORDER, Bench, running

TEAM: Raw = {"selector": {"matchLabels": {"team": "a"}}}
RUNNING: Raw = {"phase": "Running"}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with running() as bench:
        yield bench


async def test_from_acceptance_to_completion(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING, labels={"team": "a"})
    bench.task("other", None, RUNNING)
    bench.order(TEAM | {"reason": "Incident"}, annotations={"agentstop.dev/requested-by": "jane"})
    status = await bench.phase("Stopping")
    assert (status["matched"], status["stopping"], status["requestedBy"]) == (1, 1, "jane")
    assert bench.waiting() == {one}

    bench.now += timedelta(seconds=3)
    bench.stopped(one)
    status = await bench.phase("Complete")
    assert (status["stopping"], status["stopped"]["graceful"]) == (0, 1)
    assert (status["signalSeconds"], status["haltSeconds"]) == (3.0, 3.0)
    assert {each["type"]: each["status"] for each in status["conditions"]}["Ready"] == "True"


async def test_the_signal_is_written_down_before_the_end(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order()
    await bench.phase("Stopping")
    by = {"kind": "StopOrder", "name": "o", "uid": "order-uid"}
    stop = {"source": "StopOrder", "order": by, "acceptedAt": bench.moment}
    bench.now += timedelta(seconds=2)
    signaled = stop | {"signaledAt": bench.moment, "killAt": bench.moment}
    bench.set_status(one, {"phase": "Stopping", "stop": signaled})

    await until(lambda: bench.status().get("signalSeconds") == 2.0, PATIENCE, "signaled")
    assert bench.status()["phase"] == "Stopping"


async def test_what_nothing_has_changed_in_is_not_written(bench: Bench) -> None:
    bench.task("one", None, RUNNING)
    bench.order()
    await bench.phase("Stopping")
    await bench.rest()
    written = len(bench.cluster.written)
    await bench.rest()

    assert len(bench.cluster.written) == written <= 2


async def test_an_order_waits_for_the_pods_whose_tasks_are_gone(bench: Bench) -> None:
    bench.orphans = [ListedTask(namespace=ns, name="x", reason="OrphanedPod") for ns in ("ns", "elsewhere")]
    bench.order()
    await until(lambda: bench.status().get("stalledCount") == 1, PATIENCE, "waiting")
    await bench.rest()
    assert bench.status()["phase"] == "Stopping"

    bench.orphans = bench.orphans[1:]
    await bench.phase("Complete")


async def test_an_order_over_nothing_is_over_at_once(bench: Bench) -> None:
    bench.order()
    status = await bench.phase("Complete")

    assert (status["matched"], status["haltSeconds"]) == (0, 0.0)


async def test_it_waits_for_what_the_watches_have_not_brought_yet(bench: Bench) -> None:
    bench.filled = False
    bench.order()
    await bench.phase("Stopping")
    await bench.rest()
    assert bench.status()["phase"] == "Stopping"

    bench.task("late", None, RUNNING)
    bench.filled = True
    await until(lambda: bench.status()["matched"] == 1, PATIENCE, "matched")


async def test_a_task_that_no_watch_has_told_of_is_found_and_stopped(bench: Bench) -> None:
    late = bench.unknown_task("late", None, RUNNING)
    bench.order()
    await until(lambda: bench.stops(late), PATIENCE, "stopped")

    assert late in bench.waiting()
    bench.stopped(late)
    assert (await bench.phase("Complete"))["matched"] == 1


async def test_a_task_that_does_not_match_is_started_all_the_same_once_it_was_found_so(bench: Bench) -> None:
    late = bench.unknown_task("late")
    bench.order(TEAM)
    await bench.phase("Complete")
    bench.tell(late)

    assert late in bench.waiting()


async def test_a_task_that_cannot_be_read_keeps_no_order_from_its_end(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.unknown_task("odd", {"podTemplate": {}, "stop": {"gracePeriodSeconds": "soon"}})
    bench.order()
    await bench.phase("Complete")

    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_task_that_goes_in_the_middle(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order()
    await bench.phase("Stopping")
    del bench.cluster.tasks[one]
    bench.cache.drop_task(one)

    assert (await bench.phase("Complete"))["stopped"]["other"] == 1


# Holds


async def held_order(bench: Bench) -> None:
    bench.order({"hold": True})
    await bench.phase("Holding")


async def test_what_is_made_under_a_hold_is_stopped_and_counted(bench: Bench) -> None:
    await held_order(bench)
    later = bench.task("later", creationTimestamp=when(30))

    assert bench.stops(later)
    await until(lambda: bench.status().get("refused") == 1, PATIENCE, "refused")
    assert bench.status()["matched"] == 0


@pytest.mark.parametrize("way", ["lifted", "deleted", "made anew"])
async def test_what_was_held_is_decided_on_anew_when_the_hold_is_over(bench: Bench, way: str) -> None:
    one = bench.task("one")
    bench.order(TEAM | {"hold": True})
    await bench.phase("Holding")
    raw = bench.cluster.tasks[one]
    bench.cluster.tasks[one] = raw | {"metadata": raw["metadata"] | {"labels": {"team": "a"}, "resourceVersion": "900"}}
    bench.tell(one)
    assert bench.held(one) == "HeldByOrder"

    bench.waiting()
    if way == "lifted":
        bench.edit(hold=False)
    elif way == "deleted":
        bench.delete()
    else:
        bench.order(TEAM, uid="another")
    assert bench.held(one) is None
    assert one in bench.waiting()


async def test_lifting_is_written_down(bench: Bench) -> None:
    await held_order(bench)
    bench.now += timedelta(seconds=60)
    bench.edit(hold=False)

    assert (await bench.phase("Lifted"))["liftedAt"].startswith(bench.moment[:19])


async def test_a_hold_that_is_lifted_while_we_write_is_lifted(bench: Bench) -> None:
    """The answer to our own request tells of it before the watch does."""
    one = bench.task("one", None, RUNNING)

    def lift() -> None:
        bench.cluster.before_write = lambda: None
        bench.cluster.change_order(spec={"hold": False})

    bench.cluster.before_write = lift
    bench.order({"hold": True})
    await bench.phase("Stopping")
    bench.stopped(one)
    status = await bench.phase("Complete")
    later = bench.task("later", creationTimestamp=when(60))

    assert status["matched"] == 1
    assert not bench.stops(later)
    assert bench.held(later) is None


async def test_a_deletion_that_no_watch_tells_of_is_found_out(bench: Bench) -> None:
    await held_order(bench)
    del bench.cluster.orders[ORDER]
    later = bench.task("later", creationTimestamp=when(-30))
    assert bench.held(later) == "HeldByOrder"

    bench.now += TIMINGS.order_reread
    bench.handler.enqueue(ORDER)
    await until(lambda: bench.held(later) is None, PATIENCE, "free")


# Orders that come and go


async def test_an_order_that_was_deleted_before_it_was_seen_holds_nothing(bench: Bench) -> None:
    bench.unknown_order({"hold": True})
    bench.delete()

    assert bench.held(bench.task("one")) is None
    assert bench.book.order(ORDER) is None


async def test_the_end_of_a_predecessor_is_not_the_end_of_its_successor(bench: Bench) -> None:
    bench.order()
    predecessor = bench.cluster.orders[ORDER]
    bench.order({"hold": True}, uid="another")
    bench.handler.order("DELETED", predecessor)
    one = bench.task("one", creationTimestamp=when(60))

    await until(lambda: bench.stops(one), PATIENCE, "stopped")


async def test_a_successor_of_the_same_name_stops_too(bench: Bench) -> None:
    bench.order()
    await bench.phase("Complete")
    one = bench.task("one", None, RUNNING, creationTimestamp=when(5))
    bench.order(uid="another")

    await until(lambda: bench.stops(one), PATIENCE, "stopped")


async def test_deleted_in_the_middle_what_was_asked_goes_on(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order()
    await bench.phase("Stopping")
    bench.delete()
    await bench.rest()

    assert bench.stops(one)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_an_order_that_vanishes_while_we_write_is_forgotten(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.cluster.before_write = bench.cluster.orders.clear
    bench.order({"hold": True})
    await until(lambda: bench.book.order(ORDER) is None, PATIENCE, "forgotten")

    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_an_order_whose_deletion_overtakes_the_answer_to_a_write_holds_nothing(bench: Bench) -> None:
    def deleted() -> None:
        bench.cluster.after_write = lambda: None
        bench.delete()

    bench.cluster.after_write = deleted
    bench.order({"hold": True})
    await until(lambda: bench.cluster.written and not bench.cluster.orders, PATIENCE, "written and deleted")
    await bench.rest()

    assert bench.book.order(ORDER) is None


async def test_an_order_that_cannot_be_read_is_left_alone_and_said_so(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.order({"gracePeriodSeconds": "soon"})

    assert bench.book.order(ORDER) is None
    assert "StopOrder ns/o cannot be read" in caplog.text


async def test_an_api_server_that_is_away_is_asked_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.cluster.failures = [ApiError(0, "Unreachable", "away"), ApiError(500, "InternalError", "busy")]
    bench.order()

    await bench.phase("Complete")
    assert "StopOrder ns/o is tried again" in caplog.text


# Deleted while no operator runs


GUARD = "agentstop.dev/stop"


def recorded(bench: Bench) -> Raw:
    stop = {"source": "StopOrder", "order": {"kind": "StopOrder", "name": "o", "uid": "order-uid"}}
    return {"phase": "Stopping", "stop": stop | {"acceptedAt": bench.moment}}


async def test_an_order_is_guarded_until_every_task_has_its_own_record(bench: Bench) -> None:
    keys = [bench.task(name, None, RUNNING) for name in ("one", "two")]
    bench.order(finalizers=["other/one"])
    await bench.phase("Stopping")
    assert bench.cluster.finalizers == [["other/one", GUARD]]

    bench.set_status(keys[0], recorded(bench))
    await bench.rest()
    assert len(bench.cluster.finalizers) == 1
    bench.set_status(keys[1], recorded(bench))
    await until(lambda: bench.cluster.finalizers[-1] == ["other/one"], PATIENCE, "free")
    assert bench.status()["phase"] == "Stopping"


async def test_it_is_guarded_before_it_says_that_it_is_accepted(bench: Bench) -> None:
    bench.task("one", None, RUNNING)
    bench.cluster.before_write = lambda: seen.append(list(bench.cluster.finalizers))
    seen: list[list[list[str]]] = []
    bench.order()
    await bench.phase("Stopping")

    assert seen[0] == [[GUARD]]


async def test_a_record_that_only_we_remember_is_none(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order()
    await bench.phase("Stopping")
    remembered = AgentTaskStatus.model_validate(recorded(bench))
    bench.cache.tasks.accept(one, remembered)
    await bench.rest()
    assert bench.cluster.finalizers == [[GUARD]]

    bench.set_status(one, remembered.wire())
    await until(lambda: bench.cluster.finalizers[-1] == [], PATIENCE, "free")


@pytest.mark.parametrize("spec", [{}, {"drill": True}, {"hold": True}], ids=["over nothing", "a drill", "a hold"])
async def test_an_order_with_nothing_to_stop_is_not_guarded(bench: Bench, spec: Raw) -> None:
    if "drill" in spec:
        bench.task("one", None, RUNNING)
    bench.order(spec)
    await bench.phase({"drill": "Drilled", "hold": "Holding"}.get(next(iter(spec), ""), "Complete"))
    if "hold" in spec:
        bench.task("later", creationTimestamp=when(60))
        await until(lambda: bench.status().get("refused") == 1, PATIENCE, "refused")

    assert bench.cluster.finalizers == []


async def test_what_an_order_has_accepted_is_stopped_though_it_is_deleted_meanwhile(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order({"hold": True})
    await bench.phase("Stopping")
    await bench.restart()
    bench.delete(tell=False)
    await bench.handler.learn(["ns"])
    bench.tell(one)
    later = bench.task("later", creationTimestamp=when(60))

    assert bench.stops(one)
    assert (bench.stops(later), bench.held(later)) == (False, None)
    bench.set_status(one, recorded(bench))
    await until(lambda: not bench.cluster.orders, PATIENCE, "gone")
    assert bench.book.order(ORDER) is None


async def test_an_acceptance_that_was_not_written_goes_on_for_what_was_there_before_the_deletion(bench: Bench) -> None:
    bench.unknown_order(finalizers=[GUARD])
    bench.delete(tell=False)
    one, later = bench.task("one", None, RUNNING), bench.task("later", creationTimestamp=when(60))
    bench.now += timedelta(seconds=600)
    await bench.handler.learn(["ns"])
    await until(lambda: bench.stops(one), PATIENCE, "stopped")

    assert not bench.stops(later)


async def test_what_was_deleted_before_it_was_accepted_stops_nothing(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.unknown_order({"hold": True}, finalizers=["other/one"])
    bench.delete(tell=False)
    await bench.handler.learn(["ns"])
    await bench.rest()

    assert (bench.stops(one), bench.held(one)) == (False, None)
    assert (bench.cluster.finalizers, bench.cluster.written) == ([], [])


async def test_deleted_in_the_middle_it_holds_nobody_and_goes_when_all_is_on_record(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order({"hold": True})
    await bench.phase("Stopping")
    bench.delete()
    later = bench.task("later", creationTimestamp=when(60))
    assert (bench.held(later), bench.stops(later), bench.stops(one)) == (None, False, True)
    await bench.rest()
    assert bench.cluster.orders

    bench.stopped(one)
    await until(lambda: not bench.cluster.orders, PATIENCE, "gone")
    assert bench.cluster.finalizers == [[GUARD], []]


async def test_without_the_right_to_guard_it_stops_all_the_same(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.cluster.forbidden = {("patch", "stoporders")}
    one = bench.task("one", None, RUNNING)
    bench.order()
    await bench.phase("Stopping")
    bench.stopped(one)
    await bench.phase("Complete")

    assert caplog.text.count("would lose stops") == 1


async def test_a_guard_that_is_left_on_an_order_that_is_over_is_taken_off(bench: Bench) -> None:
    over = {"phase": "Complete", "startedAt": when(0), "finishedAt": when(1)}
    bench.order(status=over, finalizers=[GUARD])

    await until(lambda: bench.cluster.finalizers == [[]], PATIENCE, "free")


# Namespaces


SELECTED: Raw = {"namespaceSelector": {"matchLabels": {"tier": "agents"}}}


async def test_namespaces_are_read_before_an_order_is_accepted_that_selects_by_them(bench: Bench) -> None:
    bench.cluster.namespaces["ns"] = {"tier": "agents"}
    one = bench.task("one", None, RUNNING)
    bench.order(SELECTED, cluster=True)

    await until(lambda: bench.stops(one), PATIENCE, "stopped")


async def test_a_task_in_a_new_namespace_waits_for_its_labels(bench: Bench) -> None:
    key = bench.order(SELECTED | {"hold": True}, cluster=True)
    await bench.phase("Holding", key)
    one = bench.task("one", namespace="new", creationTimestamp=when(60))
    two = bench.task("two", namespace="newer", creationTimestamp=when(60))
    assert (bench.held(one), bench.held(two)) == ("NamespaceUnknown", "NamespaceUnknown")

    bench.waiting()
    bench.handler.namespace("ADDED", {"metadata": {"name": "new", "labels": {"tier": "agents"}}})
    bench.handler.namespace("ADDED", {"metadata": {"name": "newer"}})
    assert bench.stops(one)
    assert (bench.stops(two), bench.held(two)) == (False, None)
    assert bench.waiting() == {one, two}
    await until(lambda: bench.status(key).get("refused") == 1, PATIENCE, "refused")


# The start, and after a crash


async def test_orders_are_known_before_any_task_is(bench: Bench) -> None:
    bench.cluster.namespaces |= {"other": {"tier": "agents"}}
    bench.unknown_order({"hold": True})
    bench.unknown_order(SELECTED | {"hold": True}, cluster=True)
    await bench.handler.learn()

    keys = [bench.task("one"), bench.task("two", namespace="other"), bench.task("three", namespace="free")]
    assert [bench.held(key) for key in keys] == ["HeldByOrder", "HeldByOrder", "NamespaceUnknown"]


async def test_one_namespace_is_served_alone(bench: Bench) -> None:
    bench.unknown_order({"hold": True})
    bench.unknown_order({"hold": True}, namespace="other")
    bench.unknown_order({"hold": True}, cluster=True)
    await bench.handler.learn(["ns"])

    assert [str(order.key) for order in bench.book.orders()] == ["StopOrder ns/o"]


async def test_counts_go_on_after_a_crash(bench: Bench) -> None:
    keys = [bench.task(name, None, RUNNING) for name in ("one", "two", "three", "four")]
    bench.order()
    await bench.phase("Stopping")
    bench.stopped(keys[0])
    await until(lambda: bench.status()["stopping"] == 3, PATIENCE, "counted")
    bench.stopped(keys[1], "Killed")
    before = bench.status()
    await bench.restart()

    del bench.cluster.tasks[keys[0]]
    bench.filled = False
    bench.handler.order(None, bench.cluster.orders[ORDER])
    await bench.rest()
    assert bench.status() == before, "written before all was known"

    for key in bench.cluster.tasks:
        bench.tell(key)
    bench.filled = True
    for key in keys[2:]:
        bench.stopped(key)
    status = await bench.phase("Complete")
    assert status["matched"] == 4
    assert status["stopped"] == {"graceful": 3, "killed": 1, "notStarted": 0, "other": 0}


async def test_a_hold_goes_on_after_a_crash(bench: Bench) -> None:
    await held_order(bench)
    bench.stopped(bench.task("later", creationTimestamp=when(30)), "NotStarted")
    await until(lambda: bench.status().get("refused") == 1, PATIENCE, "refused")
    await bench.restart()
    await bench.handler.learn(["ns"])
    bench.tell(TaskKey("ns", "later"))
    bench.task("latest", creationTimestamp=when(40))

    await until(lambda: bench.status().get("refused") == 2, PATIENCE, "refused")
    assert bench.status()["phase"] == "Holding"


async def test_an_order_that_is_over_reads_no_task_again(bench: Bench) -> None:
    bench.task("one", None, RUNNING)
    over = {"phase": "Complete", "startedAt": when(0), "finishedAt": when(1), "matched": 3}
    bench.order(status=over)
    await bench.rest()

    assert bench.status() == over
    assert bench.cluster.written == []


# Time to live


async def test_an_order_is_removed_when_its_time_is_over(bench: Bench) -> None:
    bench.order({"ttlSecondsAfterFinished": 60})
    await bench.phase("Complete")
    await bench.rest()
    assert bench.cluster.deleted == []

    bench.now += timedelta(seconds=61)
    bench.handler.enqueue(ORDER)
    await until(lambda: bench.cluster.deleted == [ORDER], PATIENCE, "deleted")


async def test_an_order_that_holds_is_not_removed(bench: Bench) -> None:
    bench.order({"ttlSecondsAfterFinished": 0, "hold": True})
    await bench.phase("Holding")
    await bench.rest()

    assert bench.cluster.deleted == []


# Drills


async def test_a_drill_waits_until_everything_is_known(bench: Bench) -> None:
    bench.filled = False
    bench.order({"drill": True})
    await bench.rest()
    assert bench.status() == {}

    bench.task("one", None, RUNNING)
    late = bench.unknown_task("late")
    bench.filled = True
    status = await bench.phase("Drilled")
    assert (status["matched"], status["drill"]["running"], status["drill"]["waiting"]) == (2, 1, 1)
    assert not bench.stops(late)


async def test_a_drill_asks_nobody_to_stop_and_holds_nobody(bench: Bench) -> None:
    one = bench.task("one", None, RUNNING)
    bench.order({"drill": True, "hold": True})
    await bench.phase("Drilled")
    later = bench.task("later", creationTimestamp=when(60))

    assert not any(bench.stops(key) or bench.held(key) for key in (one, later))
    assert len(bench.cluster.written) == 1


# On standby


async def test_nothing_is_accepted_on_standby(bench: Bench) -> None:
    bench.lead(leads=False)
    one = bench.task("one", None, RUNNING)
    bench.order()
    await bench.rest()
    assert (bench.status(), bench.stops(one)) == ({}, False)

    bench.lead(leads=True)
    status = await bench.phase("Stopping")
    assert (status["matched"], bench.stops(one)) == (1, True)


async def test_what_another_replica_has_counted_is_gone_on_from(bench: Bench) -> None:
    one, two = bench.task("one", None, RUNNING), bench.task("two", None, RUNNING)
    bench.order()
    await bench.phase("Stopping")
    bench.stopped(one)
    await until(lambda: bench.status()["stopped"]["graceful"] == 1, PATIENCE, "one counted")
    bench.lead(leads=False)
    bench.stopped(two)
    await bench.rest()
    assert bench.status()["phase"] == "Stopping"

    bench.lead(leads=True)
    status = await bench.phase("Complete")
    assert (status["matched"], status["stopped"]["graceful"]) == (2, 2)


# One mechanism


async def test_what_was_found_out_for_an_order_is_not_said_of_its_successor(bench: Bench) -> None:
    """It comes while a pass is made over the first one, and means a task that the pass has not looked at."""
    bench.task("one", None, RUNNING)
    late = bench.unknown_task("late", None, RUNNING, creationTimestamp=when(5))

    def replace() -> None:
        bench.cluster.before_list = lambda: None
        bench.order({"taskNames": ["late"]}, uid="another")

    bench.cluster.before_list = replace
    bench.order({"taskNames": ["nobody"]})
    await until(lambda: bench.stops(late), PATIENCE, "stopped")
    await bench.rest()

    assert bench.status()["matched"] == 1
    assert bench.status()["phase"] == "Stopping"


async def test_a_pass_that_another_replica_has_overtaken_writes_nothing(bench: Bench) -> None:
    bench.task("one", None, RUNNING)
    bench.cluster.before_list = lambda: bench.lead(leads=False)
    bench.order({"taskNames": ["nobody"]})
    await bench.rest()

    assert bench.cluster.written == []
