"""Which stops count as held up, and since when."""

import pytest

from agentstop.cluster.cache import Cache
from agentstop.cluster.family_index import OrphanKey, TaskKey
from agentstop.controller.stalls import Stall, Stalls
from tests.unit.objects import NOW, Raw, at, raw_task, when


@pytest.fixture
def cache() -> Cache:
    return Cache()


@pytest.fixture
def stalls(cache: Cache) -> Stalls:
    stalls = Stalls()
    cache.tasks.listen(stalls.changed)
    return stalls


def held(reason: str, since: float, phase: str = "Stopping", status: str = "True") -> Raw:
    condition = {
        "type": "Stalled",
        "status": status,
        "reason": reason,
        "message": "",
        "lastTransitionTime": when(since),
    }
    return {"phase": phase, "conditions": [condition]}


def put(cache: Cache, name: str, status: Raw, version: int = 1) -> None:
    cache.tasks.put(raw_task(None, status, version, name=name, uid=f"uid-{name}"), NOW)


def test_pods_of_no_task_count_like_tasks(stalls: Stalls) -> None:
    key = OrphanKey("ns", "a", "u")
    stalls.put(key, ("DeleteForbidden", at(7)))
    assert Stall("DeleteForbidden", 1, at(7)) in list(stalls)
    stalls.put(key, None)
    assert Stall("DeleteForbidden", 0, None) in list(stalls)


def test_the_oldest_of_each_reason_is_told(cache: Cache, stalls: Stalls) -> None:
    put(cache, "a", held("NodeUnreachable", 90))
    put(cache, "b", held("NodeUnreachable", 30))
    put(cache, "c", held("DeleteForbidden", 60))

    assert list(stalls) == [
        Stall("DeleteForbidden", 1, at(60)),
        Stall("NodeUnreachable", 2, at(30)),
        Stall("NotConfirmed", 0, None),
    ]


@pytest.mark.parametrize(
    "status",
    [
        held("CreateForbidden", 0, phase="Pending"),
        held("NodeUnreachable", 0, phase="Stopped"),
        held("NodeUnreachable", 0, status="False"),
        {"phase": "Stopping"},
    ],
    ids=["no stop", "over", "not held", "no condition"],
)
def test_what_is_no_stalled_stop(cache: Cache, stalls: Stalls, status: Raw) -> None:
    put(cache, "a", status)

    assert not [stall for stall in stalls if stall.count]


@pytest.mark.parametrize("how", ["goes on", "ends", "is gone"])
def test_what_was_held_up_counts_down_to_zero(cache: Cache, stalls: Stalls, how: str) -> None:
    put(cache, "a", held("NodeUnreachable", 30))
    if how == "is gone":
        cache.drop_task(TaskKey("ns", "a"))
    else:
        put(cache, "a", {"phase": "Stopping" if how == "goes on" else "Stopped"}, version=2)

    assert Stall("NodeUnreachable", 0, None) in list(stalls)


def test_another_reason_is_no_second_stop(cache: Cache, stalls: Stalls) -> None:
    put(cache, "a", held("NodeUnreachable", 30))
    put(cache, "a", held("BlockedByFinalizer", 30), version=2)

    assert [stall for stall in stalls if stall.count] == [Stall("BlockedByFinalizer", 1, at(30))]
