"""Who is whose child among the tasks, as the cache keeps it."""

import pytest

from agentstop.cluster.cache import Cache
from agentstop.cluster.family_index import TaskKey
from agentstop.lifecycle.family import family_of
from agentstop.lifecycle.observation import Task
from tests.unit.objects import ADOPTS, NOW, Raw, at, raw_task, when

PARENT = TaskKey("ns", "p")


@pytest.fixture
def cache() -> Cache:
    return Cache()


def put(cache: Cache, name: str, parent: str | None = None, version: int = 1, **more: Raw | str) -> TaskKey:
    spec: Raw = {"podTemplate": {}} | ({"parentRef": {"name": parent}} if parent else {})
    extra = more.pop("spec", {})
    status = more.pop("status", {})
    assert isinstance(extra, dict)
    assert isinstance(status, dict)
    key = TaskKey(str(more.get("namespace", "ns")), name)
    cache.tasks.put(raw_task(spec | extra, status, version, **({"name": name, "uid": f"{name}-uid"} | more)), NOW)
    return key


def children(cache: Cache, name: str = "p", namespace: str = "ns") -> list[str]:
    return [each.name for each in cache.tasks.family_lister(namespace).children(name)]


def named(cache: Cache, key: TaskKey) -> Task:
    task = cache.tasks.get(key)
    assert task is not None
    return task


def test_children_come_in_the_order_of_their_names(cache: Cache) -> None:
    put(cache, "p")
    for name in ("c", "a", "b"):
        put(cache, name, "p")

    assert children(cache) == ["a", "b", "c"]


def test_children_are_known_before_their_parent(cache: Cache) -> None:
    put(cache, "c", "p")
    family_lister = cache.tasks.family_lister("ns")
    assert family_lister.named("p") is None
    assert not family_lister.is_absent("p")
    assert children(cache) == ["c"]

    put(cache, "p")
    assert family_lister.named("p") is not None


def test_a_family_stays_in_its_namespace(cache: Cache) -> None:
    put(cache, "p")
    put(cache, "c", "p", namespace="elsewhere")

    assert children(cache) == []
    assert children(cache, namespace="elsewhere") == ["c"]
    assert cache.tasks.family_lister("elsewhere").named("p") is None


def test_a_child_that_goes_is_no_child_any_more(cache: Cache) -> None:
    put(cache, "p")
    key = put(cache, "c", "p")
    cache.drop_task(key)

    assert children(cache) == []


def test_a_child_that_changes_is_still_one(cache: Cache) -> None:
    put(cache, "c", "p")
    put(cache, "c", "p", version=2, status={"phase": "Running"})

    assert [each.status.phase for each in cache.tasks.family_lister("ns").children("p")] == ["Running"]


def test_a_later_task_of_that_name_may_have_another_parent(cache: Cache) -> None:
    put(cache, "c", "p", version=1)
    put(cache, "c", "q", version=2, uid="another")

    assert children(cache, "q") == ["c"]
    assert children(cache, "p") == []


def test_a_parent_that_goes_is_known_to_be_absent(cache: Cache) -> None:
    put(cache, "p")
    put(cache, "c", "p")
    cache.drop_task(PARENT)
    assert cache.tasks.family_lister("ns").is_absent("p")

    put(cache, "p", version=2)
    assert not cache.tasks.family_lister("ns").is_absent("p")


def test_a_parent_that_was_looked_for_in_vain_is_absent(cache: Cache) -> None:
    put(cache, "c", "p")
    cache.tasks.miss(PARENT)

    assert cache.tasks.family_lister("ns").is_absent("p")


def test_nothing_is_remembered_of_names_that_nobody_refers_to(cache: Cache) -> None:
    cache.tasks.miss(PARENT)
    assert not cache.tasks.family_lister("ns").is_absent("p")

    key = put(cache, "c", "p")
    cache.tasks.miss(PARENT)
    cache.drop_task(key)
    put(cache, "d", "p")
    assert not cache.tasks.family_lister("ns").is_absent("p"), "it may have come meanwhile, and is looked for again"


# Since when a stop is asked for


def test_a_stop_of_the_parent_is_one_of_the_child_from_its_first_sight_on(cache: Cache) -> None:
    put(cache, "p", spec={"stopRequested": True})
    key = put(cache, "c", "p")

    assert named(cache, key).stop_seen_at == NOW


def test_a_stop_that_comes_later_is_asked_of_those_below(cache: Cache) -> None:
    put(cache, "p")
    key = put(cache, "c", "p")
    put(cache, "p", version=2, spec={"stopRequested": True})
    assert named(cache, key).stop_seen_at is None

    assert cache.tasks.ask(key, at(5))
    assert named(cache, key).stop_seen_at == at(5)
    assert not cache.tasks.ask(key, at(9))
    assert named(cache, key).stop_seen_at == at(5)


@pytest.mark.parametrize("phase", ["Stopped", "Completed", "Failed"])
def test_what_has_ended_is_asked_nothing(cache: Cache, phase: str) -> None:
    put(cache, "p", spec={"stopRequested": True})
    key = put(cache, "c", "p", status={"phase": phase})

    assert named(cache, key).stop_seen_at is None
    assert not cache.tasks.ask(key, at(5))


def test_an_accepted_stop_that_is_not_written_yet_comes_down(cache: Cache) -> None:
    """With who it came from: the children below ask the task above them."""
    put(cache, "a", spec={"stopRequested": True})
    middle = put(cache, "b", "a")
    last = put(cache, "c", "b", status={"phase": "Running", "attempts": 1})
    stop: Raw = {"source": "Parent", "origin": "a", "acceptedAt": when(1)}
    accepted = {"phase": "Stopping", "manuallyStopped": True, "stop": stop}
    other = Cache()
    put(other, "b", "a", status=accepted)
    cache.tasks.accept(middle, named(other, middle).status)
    put(cache, "b", "a", version=2)

    stop_below = family_of(named(cache, last), cache.tasks.family_lister("ns")).stop
    assert stop_below is not None
    assert (stop_below.origin, stop_below.by_person) == ("a", True)


# Two tasks, one workload


def adopting(cache: Cache, name: str, created: float, status: Raw | None = None, version: int = 1) -> TaskKey:
    cache.tasks.put(
        raw_task(ADOPTS, status, version, name=name, uid=f"{name}-uid", creationTimestamp=when(created)), NOW
    )
    return TaskKey("ns", name)


WORKLOAD: Raw = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "pod-uid"}


def rival(cache: Cache, key: TaskKey) -> str | None:
    """Return a task's rival; where there is none, it has the workload from now on."""
    task = named(cache, key)
    other = cache.claims.rival_of(key, task)
    if other is None:
        cache.claims.take(key, task)
    return other.name if other is not None else None


def test_to_ask_for_a_rival_claims_nothing(cache: Cache) -> None:
    younger = adopting(cache, "a", 5)
    assert cache.claims.rival_of(younger, named(cache, younger)) is None
    elder = adopting(cache, "b", 1)

    assert (rival(cache, elder), rival(cache, younger)) == (None, "b")


def test_the_workload_is_the_elder_tasks(cache: Cache) -> None:
    younger, elder = adopting(cache, "a", 5), adopting(cache, "b", 1)

    assert (rival(cache, younger), rival(cache, elder)) == ("b", None)


def test_of_two_of_the_same_second_exactly_one_has_it(cache: Cache) -> None:
    one, other = adopting(cache, "a", 5), adopting(cache, "b", 5)

    assert [rival(cache, one), rival(cache, other)].count(None) == 1


def test_who_has_it_on_record_keeps_it(cache: Cache) -> None:
    elder = adopting(cache, "a", 1)
    holder = adopting(cache, "b", 5, {"phase": "Running", "workload": WORKLOAD})

    assert (rival(cache, elder), rival(cache, holder)) == ("b", None)


@pytest.mark.parametrize(
    ("phase", "free"), [("Completed", True), ("Failed", True), ("Stopped", False), ("Paused", False)]
)
def test_what_has_ended_lets_go_and_what_was_stopped_does_not(cache: Cache, phase: str, free: bool) -> None:
    """A stopped workload is kept stopped by its task."""
    adopting(cache, "a", 1, {"phase": phase, "workload": WORKLOAD})
    second = adopting(cache, "b", 5)

    assert (rival(cache, second) is None) is free
