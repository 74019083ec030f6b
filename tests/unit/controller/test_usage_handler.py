"""Which reports have a task decided on, and when."""

from datetime import timedelta
from typing import Any

from agentstop.api.usage import USAGE_KIND
from agentstop.cluster.cache import Cache
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.queue import Priority
from agentstop.cluster.reflector import Source
from agentstop.controller.usage_handler import UsageHandler
from tests.unit.objects import NOW, Raw, raw_task, when

SOURCE = Source(USAGE_KIND, "")
CONDITION: Raw = {"type": "BudgetExceeded", "status": "False", "reason": "WithinBudget", "lastTransitionTime": when(0)}


class Queue:
    """Notes what is to be worked on."""

    has_urgent = False

    def __init__(self) -> None:
        self.now: list[tuple[str, Priority]] = []
        self.later: list[tuple[str, float]] = []

    def add(self, key: TaskKey, *, priority: Priority = Priority.NORMAL) -> None:
        self.now.append((key.name, priority))

    def add_after(self, key: TaskKey, seconds: float) -> None:
        self.later.append((key.name, seconds))

    def retry(self, key: TaskKey) -> None:
        raise AssertionError

    def forget(self, key: TaskKey) -> None:
        raise AssertionError

    def taken(self) -> list[tuple[str, Any]]:
        found = [*self.now, *self.later]
        self.now, self.later = [], []
        return found


class Place:
    """A handler, with tasks."""

    def __init__(self) -> None:
        self.cache = Cache()
        self.queue = Queue()
        self.handler = UsageHandler(self.cache, self.queue, lambda: NOW, [SOURCE])
        self._version = 10

    def task(
        self,
        name: str,
        budget: Raw | None = None,
        parent: str | None = None,
        seen: float | None = None,
        family: int | None = None,
    ) -> None:
        spec: Raw = {"podTemplate": {}} | ({"budget": budget} if budget else {})
        spec |= {"parentRef": {"name": parent}} if parent else {}
        usage = {"usage": {"turns": 1, "asOf": (NOW - timedelta(seconds=seen)).isoformat()}} if seen is not None else {}
        if family is not None:
            usage = {"usage": {"turns": 0, "asOf": when(0), "family": {"turns": family}}}
        raw = raw_task(spec, {"phase": "Running", "conditions": [CONDITION] if budget else [], **usage})
        raw["metadata"] |= {"name": name, "uid": f"uid-{name}", "resourceVersion": self.version()}
        self.cache.tasks.put(raw, NOW)

    def family_turns(self, name: str) -> int | None:
        task = self.cache.tasks.get(TaskKey("ns", name))
        assert task is not None
        usage = self.handler.facts(task).family_usage
        return usage.turns if usage is not None else None

    def version(self) -> str:
        self._version += 1
        return str(self._version)

    def report(self, name: str, owner: str | None = None, **spec: Any) -> list[tuple[str, Any]]:
        kind = {"apiVersion": "agentstop.dev/v1alpha1", "kind": "AgentTask", "name": name}
        owners = [{**kind, "uid": owner or f"uid-{name}"}] if owner != "" else []
        names = {"namespace": "ns", "name": name, "uid": f"usage-{name}", "resourceVersion": self.version()}
        self.handler.changed(USAGE_KIND, "MODIFIED", {"metadata": names | {"ownerReferences": owners}, "spec": spec})
        return self.queue.taken()


def test_a_report_is_acted_on_where_it_matters_and_written_down_when_it_is_due() -> None:
    place = Place()
    place.task("a", {"maxTurns": 10, "warnPercent": 50}, seen=10)
    place.handler.reached(SOURCE, "1")
    assert place.queue.taken() == [("a", Priority.NORMAL)]
    assert place.report("a", turns=2) == [("a", 20.0)]
    assert place.report("a", turns=5) == [("a", Priority.NORMAL)]
    assert place.report("a", turns=10) == [("a", Priority.MASS)]
    assert place.report("nobody", turns=10**15) == []


def test_what_no_task_owns_gets_an_owner_and_what_another_owns_counts_for_nothing() -> None:
    place = Place()
    place.task("a", seen=0)
    assert place.report("a", owner="", turns=2) == [("a", Priority.NORMAL)]
    place.handler.changed(USAGE_KIND, "DELETED", {"metadata": {"namespace": "ns", "name": "a", "uid": "usage-a"}})
    place.report("a", owner="another", turns=99)
    task = place.cache.tasks.get(TaskKey("ns", "a"))
    assert task is not None
    assert place.handler.facts(task).usage is None


def test_a_report_of_a_child_has_its_familys_budget_looked_at_but_not_each_time() -> None:
    place = Place()
    place.task("planner", {"maxTurns": 10, "scope": "Family"}, seen=0)
    place.task("a", parent="planner", seen=0)
    assert place.report("a", turns=10) == [("a", 30.0), ("planner", 0.1)]


def test_an_object_that_is_none_is_said_once_and_changes_nothing(caplog: Any) -> None:
    place = Place()
    place.task("a", {"maxTurns": 10}, seen=0)
    place.report("a", turns=3)
    for wrong in ("x" * 50, -1, 10**300):
        assert place.report("a", turns=wrong) == []
    task = place.cache.tasks.get(TaskKey("ns", "a"))
    assert task is not None
    usage = place.handler.store.usage_of(task)
    assert usage is not None
    assert usage.turns == 3
    assert [each.levelname for each in caplog.records] == ["ERROR"]


def test_a_cluster_without_the_kind_is_one_in_which_nothing_was_reported() -> None:
    place = Place()
    place.task("a", {"maxTurns": 10})
    place.task("b")
    task = place.cache.tasks.get(TaskKey("ns", "a"))
    assert task is not None
    assert place.handler.facts(task).unknown
    for _ in range(2):
        place.handler.failed(USAGE_KIND, "", "the server could not find the requested resource")
    assert place.queue.taken() == [("a", Priority.NORMAL)]
    assert not place.handler.facts(task).unknown


def test_what_becomes_known_late_is_not_counted_beside_its_record() -> None:
    place = Place()
    place.task("planner", {"maxTurns": 30, "scope": "Family"}, family=20)
    for name in ("a", "b", "c"):
        place.task(name, parent="planner")
    place.cache.tasks.drop(TaskKey("ns", "c"))  # before anything that was reported is known
    place.handler.failed(USAGE_KIND, "", "no answer")
    for name in ("a", "b"):
        place.report(name, turns=9)
        assert place.family_turns("planner") is None
    place.handler.reached(SOURCE, "1")
    assert place.family_turns("planner") == 20
    place.report("a", turns=10)
    place.handler.reached(SOURCE, "2")  # the watch is begun anew
    assert place.family_turns("planner") == 21


def test_the_budget_of_a_namespace_is_for_tasks_without_one() -> None:
    place = Place()
    place.task("a", {"maxTurns": 10})
    place.task("b")
    raw = {"metadata": {"name": "ns", "annotations": {"agentstop.dev/default-budget": "maxTurns: 3"}}}
    for _ in range(2):
        place.handler.namespace("MODIFIED", raw)
    assert place.queue.taken() == [("b", Priority.NORMAL)]
    place.handler.namespace("DELETED", raw)
    assert place.queue.taken() == [("b", Priority.NORMAL)]
