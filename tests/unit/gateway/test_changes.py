"""Marks: what somebody has missed who comes back with one, on this replica or on another."""

import asyncio

from agentstop.cluster.large_objects import NamespacedName
from agentstop.cluster.reflector import Source
from agentstop.gateway.changes import Changes
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.order_index import OrderIndex
from tests.unit.objects import Raw

from .test_index import KIND, task

TASKS = Source(KIND, "")
ORDERS = Source("StopOrder", "")
CLUSTER_ORDERS = Source("ClusterStopOrder", "")


def order(name: str, version: int = 1, **status: str) -> Raw:
    metadata = {"namespace": "ns", "name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"selector": {}}, "status": status}


def listed(*raws: Raw, version: int, max_gone: int = 10) -> Changes:
    """Return what a replica knows after its lists."""
    changes = Changes(TaskIndex(), OrderIndex(), (), max_gone)
    for raw in raws:
        changes.changed(KIND, None, raw)
    for source in changes.sources:
        changes.reached(source, str(version))
    return changes


def event(changes: Changes, kind: str, raw: Raw) -> None:
    changes.changed(KIND, kind, raw)
    changes.reached(TASKS, raw["metadata"]["resourceVersion"])


def test_a_mark_has_how_far_each_watch_has_come() -> None:
    changes = listed(task("a", 5), version=7)
    assert changes.mark() == "7.7.7"
    event(changes, "MODIFIED", task("a", 9))
    changes.reached(ORDERS, "8")
    assert changes.mark() == "9.8.7"


def test_what_is_newer_than_a_mark_is_told_again() -> None:
    changes = listed(task("a", 5), version=7)
    mark = changes.mark()
    event(changes, "MODIFIED", task("a", 9))
    since = changes.since(mark)
    assert since is not None
    assert (since.newer(KIND, "ns", 9), since.newer(KIND, "ns", 7), since.newer(KIND, "ns", 0)) == (True, False, True)


def test_what_is_gone_since_is_told() -> None:
    changes = listed(task("a", 5), task("b", 6), version=7)
    mark = changes.mark()
    event(changes, "DELETED", task("a", 8))
    between = changes.mark()
    event(changes, "DELETED", task("b", 9))
    for begin, names in ((mark, ["a", "b"]), (between, ["b"]), (changes.mark(), [])):
        since = changes.since(begin)
        assert since is not None
        assert [each.key.name for each in since.gone()] == names


def test_from_before_a_list_nobody_knows_what_is_gone() -> None:
    changes = listed(version=7)
    assert changes.since("7.7.7") is not None
    for older in ("6.7.7", "7.6.7", "7.7.6"):
        assert changes.since(older) is None
    changes.missing(KIND, NamespacedName("ns", "a"), "uid-a")
    assert changes.since("7.7.7") is None
    changes.reached(TASKS, "30")
    assert changes.since("29.7.7") is None
    assert changes.since("30.7.7") is not None


def test_while_a_list_is_read_there_is_nothing_to_go_on_from() -> None:
    changes = Changes(TaskIndex(), OrderIndex())
    changes.changed(KIND, None, task("a", 5))
    assert changes.mark() == "0.0.0"
    assert changes.since("0.0.0") is None


def test_what_is_read_late_is_missed_by_nobody() -> None:
    """Large objects are read after their event: whoever has come and gone meanwhile begins anew."""
    changes = listed(version=7)
    changes.reached(TASKS, "20")
    mark = changes.mark()
    changes.changed(KIND, "MODIFIED", task("large", 15))
    assert changes.since(mark) is None


def test_of_too_many_that_are_gone_the_oldest_are_forgotten() -> None:
    changes = listed(version=7, max_gone=2)
    for number in range(8, 12):
        event(changes, "DELETED", task(f"t{number}", number))
    assert changes.since("8.7.7") is None
    since = changes.since("9.7.7")
    assert since is not None
    assert [each.version for each in since.gone()] == [10, 11]


def test_what_is_no_mark_of_ours() -> None:
    changes = listed(version=7)
    for bad in ("", "x", "7", "7.7", "7.7.7.7", "-7.7.7", "7.7.7 ", "\u0667.7.7", "9" * 30, ".7.7"):
        assert changes.since(bad) is None, bad


def test_each_namespace_has_a_watch_of_its_own_and_no_orders_of_the_cluster() -> None:
    changes = Changes(TaskIndex(), OrderIndex(), ("a", "b"))
    assert changes.sources == (
        Source(KIND, "a"),
        Source(KIND, "b"),
        Source("StopOrder", "a"),
        Source("StopOrder", "b"),
    )
    for number, source in enumerate(changes.sources):
        changes.reached(source, str(number))
    since = changes.since("0.1.2.3")
    assert since is not None
    assert (since.newer(KIND, "a", 1), since.newer(KIND, "b", 1)) == (True, False)


async def test_who_waits_for_an_order_is_woken_by_it() -> None:
    orders = OrderIndex()
    orders.changed("StopOrder", None, order("a", 1))
    waiting = asyncio.create_task(
        orders.until("uid-a", lambda each: each["status"].get("phase") == "Complete", seconds=60)
    )
    await asyncio.sleep(0)
    orders.changed("StopOrder", "MODIFIED", order("b", 2, phase="Complete"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    orders.changed("StopOrder", "MODIFIED", order("a", 3, phase="Complete"))
    await asyncio.wait_for(waiting, 5)
    await orders.until("uid-a", lambda _: False, seconds=0.01)


def test_why_orders_may_be_old_is_said_until_they_are_heard_of_again() -> None:
    orders = OrderIndex()
    orders.failed("StopOrder", "ns", "forbidden")
    orders.failed("ClusterStopOrder", "", "forbidden")
    assert orders.problem == "StopOrders of namespace ns cannot be watched: forbidden"
    orders.heard("StopOrder", "ns")
    assert orders.problem == "ClusterStopOrders cannot be watched: forbidden"
    orders.heard("ClusterStopOrder", "")
    assert orders.problem is None


def test_an_order_that_is_gone_is_told_of_once() -> None:
    orders = OrderIndex()
    told: list[tuple[bool, bool]] = []
    end = orders.listen(lambda before, after: told.append((before is not None, after is not None)))
    orders.changed("StopOrder", "ADDED", order("a"))
    orders.missing("StopOrder", NamespacedName("ns", "a"), "uid-a")
    orders.changed("StopOrder", "DELETED", order("a", 2))
    end()
    orders.changed("StopOrder", "ADDED", order("a", 3))
    assert told == [(False, True), (True, False)]
