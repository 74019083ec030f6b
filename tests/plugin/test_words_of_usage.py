"""What is said of budgets: why a budget stopped a task, how near it is to its limits, what it has used."""

from typing import Any

import pytest

from agentstop.cli.plugin.views.tables import task_table
from agentstop.words.reasons import answer
from agentstop.words.usage import limits_of
from tests.unit.objects import Raw, at, raw_task, when

USED: Raw = {"cost": "40.02", "currency": "USD", "totalTokens": 842_500, "turns": 118, "asOf": when(0)}
BUDGET: Raw = {"maxCost": "80.0", "maxTokens": 1_000_000, "maxTurns": 100, "maxIdleSeconds": 60}


def of(spec: Raw | None = None, **status: Any) -> Raw:
    return raw_task({"podTemplate": {}, **(spec or {})}, {"phase": "Running", "startedAt": when(0), **status})


def stopped(source: str, reason: str, message: str, **stop: Any) -> Raw:
    record = {"source": source, "reason": reason, "message": message, "acceptedAt": when(5), "verdict": "Graceful"}
    return of({"budget": BUDGET}, phase="Stopped", stop=record | stop)


@pytest.mark.parametrize(
    ("source", "reason", "message", "headline"),
    [
        (
            "Budget",
            "CostExceeded",
            "40.02 of 40.00 USD",
            "by its budget: 40.02 of 40.00 USD, 118 turns; 0.31 USD came in after the stop",
        ),
        (
            "Budget",
            "TurnsExceeded",
            "118 of 100 turns",
            "by its budget: 118 of 100 turns, 40.02 USD; 0.31 USD came in after the stop",
        ),
        (
            "Idle",
            "Idle",
            "no activity since 12:00",
            "by its budget, for its silence: no activity since 12:00, 40.02 USD, 118 turns;"
            " 0.31 USD came in after the stop",
        ),
        (
            "Tether",
            "TetherLost",
            "Lease s-7 is gone",
            "by its tether: Lease s-7 is gone; 0.31 USD came in after the stop",
        ),
    ],
)
def test_why_says_which_limit_stopped_a_task(source: str, reason: str, message: str, headline: str) -> None:
    late = {"cost": "0.31", "currency": "USD", "totalTokens": 900, "turns": 1}
    task = stopped(source, reason, message, usageAtAcceptance=USED, usageAfter=late)
    found = answer(task, (), at(60))

    assert found.headline == f"x was stopped {headline}"
    assert "nobody asked for it" in found.facts[0]
    assert "it had used 40.02 USD, 842,500 tokens, 118 turns by then" in found.facts


def test_why_tells_of_a_person_s_stop_what_was_used_by_then() -> None:
    task = stopped("User", "Runaway", "", usageAtAcceptance=USED, usageAfter={"totalTokens": 900, "turns": 1})
    facts = answer(task, (), at(60)).facts

    assert "it had used 40.02 USD, 842,500 tokens, 118 turns by then" in facts
    assert "900 tokens, 1 turn came in after the stop" in facts


@pytest.mark.parametrize(
    ("action", "status", "reason", "said"),
    [
        ("Observe", "True", "CostExceeded", "its budget is used up: told; the budget only observes"),
        ("Pause", "True", "CostExceeded", "its budget is used up: told; it pauses the task"),
        ("Stop", "False", "Warning", "it comes near the limit of its budget: told"),
        ("Stop", "Unknown", "NoSignal", "its budget cannot be compared: told"),
        ("Stop", "False", "WithinBudget", None),
    ],
)
def test_why_says_how_a_task_that_runs_stands_to_its_budget(
    action: str, status: str, reason: str, said: str | None
) -> None:
    condition = {"type": "BudgetExceeded", "status": status, "reason": reason, "message": "told"}
    task = of({"budget": {"maxCost": "40", "action": action}}, usage=USED, conditions=[condition])
    facts = answer(task, (), at(60)).facts

    assert "it has used 40.02 USD, 842,500 tokens, 118 turns" in facts
    assert [each for each in facts if "budget" in each] == ([] if said is None else [facts[-1]])
    assert said is None or facts[-1].startswith(said)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("True", "it is tethered: told"),
        ("False", "its tether does not hold: told"),
        ("Unknown", "it is not known whether its tether holds: told"),
    ],
)
def test_why_says_whether_the_tether_of_a_task_that_runs_holds(status: str, said: str) -> None:
    tethered = {"type": "Tethered", "status": status, "reason": "LeaseMissing", "message": "told"}
    assert answer(of({}, conditions=[tethered]), (), at(60)).facts[-1] == said


def test_each_limit_says_how_much_of_it_is_used() -> None:
    task = of({"budget": BUDGET}, usage=USED | {"lastActivityAt": when(10)})

    assert [(each.what, each.said, each.percent) for each in limits_of(task, at(40))] == [
        ("cost", "40.02 of 80.00 USD", 50),
        ("tokens", "842,500 of 1,000,000 tokens", 84),
        ("turns", "118 of 100 turns", 118),
        ("silence", "silent for 30s of 60s", 50),
    ]


def test_a_family_s_budget_is_compared_with_what_the_family_has_used() -> None:
    family = {"cost": "60", "currency": "USD", "totalTokens": 1, "turns": 1}
    task = of({"budget": {"maxCost": "80", "scope": "Family"}}, usage=USED | {"family": family})

    assert [each.said for each in limits_of(task, at(0))] == ["60.00 of 80.00 USD"]


@pytest.mark.parametrize("cost", ["NaN", "Infinity", "much", None, 7])
def test_a_cost_that_is_no_number_is_left_out(cost: Any) -> None:
    task = of({"budget": {"maxCost": "80", "maxTurns": 118}}, usage=USED | {"cost": cost})

    assert [each.what for each in limits_of(task, at(0))] == ["turns"]


def test_no_limit_is_told_of_where_currencies_differ_or_nothing_was_reported() -> None:
    assert limits_of(of({"budget": {"maxCost": "80"}}, usage=USED | {"currency": "EUR"}), at(0)) == []
    assert limits_of(of({"budget": BUDGET}), at(0)) == []


def test_a_wide_table_has_the_usage() -> None:
    head, row, none = task_table([of(usage=USED), of()], at(60), namespaces=False, wide=True)
    where = head.split().index("COST")

    assert head.split()[where : where + 3] == ["COST", "TOKENS", "TURNS"]
    assert "40.02 USD" in row
    assert "842500" in row
    assert "USD" not in none
