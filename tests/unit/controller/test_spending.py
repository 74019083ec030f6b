"""What is counted of what agents spend, and which tasks are beyond their budgets."""

from typing import Any

import pytest
from prometheus_client import generate_latest

from agentstop.api.budget import BudgetAction
from agentstop.cluster.cache import Cache
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.usage_store import UsageStore
from agentstop.controller import spending
from agentstop.controller.metrics import Metrics
from agentstop.controller.spending import Beyond, Overspent, Spending
from tests.unit.objects import NOW, Raw, at, raw_task, when


class Books:
    """Tasks and usages, and what is counted of them."""

    def __init__(self) -> None:
        self.cache = Cache()
        self.usages = UsageStore()
        self.leads = True
        self.overspent = Overspent(self.cache.tasks, lambda task: task.spec.budget)
        self.metrics = Metrics(self.cache.tasks.phases, lambda: 0, tuple, overspent=lambda: self.overspent)
        counters = (self.metrics.task_cost, self.metrics.task_tokens, self.metrics.task_turns)
        self.spending = Spending(self.cache.tasks, self.usages, lambda: self.leads, *counters)
        self._version = 0

    def task(self, name: str, agent: str = "a", status: Raw | None = None, **spec: Any) -> None:
        self._version += 1
        raw = raw_task({"podTemplate": {}, "agent": agent, **spec}, {"phase": "Running", **(status or {})})
        raw["metadata"] |= {"name": name, "uid": f"uid-{name}", "resourceVersion": str(self._version)}
        self.cache.tasks.put(raw, NOW)

    def report(self, name: str, **spec: Any) -> None:
        self._version += 1
        names = {"namespace": "ns", "name": name, "uid": f"u-{name}", "resourceVersion": str(self._version)}
        self.usages.put({"metadata": names, "spec": spec}, NOW)

    def lines(self, word: str) -> list[str]:
        text = generate_latest(self.metrics.registry).decode()
        return [each for each in text.splitlines() if each.startswith(word) and not each.endswith(" 0.0")]


@pytest.fixture
def books() -> Books:
    return Books()


def test_what_usages_grow_by_is_added_up_by_agent(books: Books) -> None:
    books.task("x")
    books.report("x", cost="1.5", totalTokens=10, turns=1)
    books.report("x", cost="2", totalTokens=30, turns=2)
    books.report("y", cost="4")
    books.task("y")  # its usage was known first

    assert books.lines("agentstop_task_") == [
        'agentstop_task_cost_total{agent="a",currency="USD",namespace="ns"} 6.0',
        'agentstop_task_tokens_total{agent="a",namespace="ns"} 30.0',
        'agentstop_task_turns_total{agent="a",namespace="ns"} 2.0',
    ]


def test_what_is_in_the_status_was_counted_before_a_restart(books: Books) -> None:
    books.report("x", cost="3", turns=7)
    books.task("x", status={"usage": {"cost": "2.5", "currency": "USD", "turns": 7, "asOf": when(0)}})

    assert books.lines("agentstop_task_cost") == [
        'agentstop_task_cost_total{agent="a",currency="USD",namespace="ns"} 0.5'
    ]
    assert books.lines("agentstop_task_turns") == []


def test_a_replica_that_stands_by_counts_nothing_until_it_leads(books: Books) -> None:
    books.leads = False
    books.task("x")
    books.report("x", turns=3)
    assert books.lines("agentstop_task_turns") == []

    books.leads = True
    books.spending.lead(leads=True)
    assert books.lines("agentstop_task_turns") == ['agentstop_task_turns_total{agent="a",namespace="ns"} 3.0']


def test_made_up_agents_and_currencies_share_one_number(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "MAX_SERIES", 1)
    for number, currency in enumerate(("USD", "EUR", "XYZ")):
        books.task(f"t{number}", agent=f"agent-{number}")
        books.report(f"t{number}", cost="1", currency=currency)

    assert books.lines("agentstop_task_cost") == [
        'agentstop_task_cost_total{agent="agent-0",currency="USD",namespace="ns"} 1.0',
        'agentstop_task_cost_total{agent="other",currency="other",namespace="ns"} 2.0',
    ]


def test_a_task_is_beyond_its_budget_until_it_has_ended_or_is_paused(books: Books) -> None:
    def tell(name: str, phase: str, status: str, since: float) -> None:
        condition = {
            "type": "BudgetExceeded",
            "status": status,
            "reason": "CostExceeded",
            "message": "",
            "lastTransitionTime": when(since),
        }
        budget = {"maxCost": "1", "action": "Pause" if name == "p" else "Stop"}
        books.task(name, status={"phase": phase, "conditions": [condition]}, budget=budget)

    def beyond(action: BudgetAction) -> Beyond:
        return next(each for each in books.overspent if each.action is action)

    tell("within", "Running", "False", 1)
    tell("x", "Running", "True", 5)
    tell("y", "Stopping", "True", 3)
    tell("p", "Pausing", "True", 4)
    assert beyond(BudgetAction.STOP) == Beyond(BudgetAction.STOP, 2, at(3))
    assert beyond(BudgetAction.PAUSE) == Beyond(BudgetAction.PAUSE, 1, at(4))
    assert 'agentstop_budgets_exceeded{action="Stop"} 2.0' in books.lines("agentstop_budgets")

    tell("y", "Stopped", "True", 3)
    tell("p", "Paused", "True", 4)
    books.cache.tasks.drop(TaskKey("ns", "x"))
    assert {each.since for each in books.overspent} == {None}
