"""What a task spends is held against its budget, whoever reports it, and whatever the operator does meanwhile."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support import agents
from tests.support.kube import NAMESPACES, TASKS, USAGES, KubeError, Object
from tests.support.laws import status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.waiting import PATIENCE, until

API_VERSION = "agentstop.dev/v1alpha1"


async def report(ns: Namespace, name: str, **spec: Any) -> Object:
    """Report what a task has used, as anybody with the right to do so."""
    try:
        return await ns.kube.merge(USAGES, ns.name, name, {"spec": spec})
    except KubeError as error:
        if error.code != 404:
            raise
    body = {"apiVersion": API_VERSION, "kind": "TaskUsage", "metadata": {"name": name}, "spec": spec}
    return await ns.kube.create(USAGES, ns.name, body)


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def stands(task: Object) -> tuple[str, str]:
    """Return status and reason of a task's condition BudgetExceeded."""
    found = [each for each in status(task).get("conditions") or () if each["type"] == "BudgetExceeded"]
    return (found[0]["status"], found[0]["reason"]) if found else ("", "")


async def stood(ns: Namespace, name: str, wanted: tuple[str, str]) -> Object:
    return await ns.until(name, lambda task: stands(task) == wanted, what=f"BudgetExceeded {wanted}")


LIMITS: dict[str, tuple[Object, Object, Object, str, str]] = {
    "cost": ({"maxCost": "40.00"}, {"cost": "39.99"}, {"cost": "40.02"}, "CostExceeded", "40.02 of 40.00 USD"),
    "tokens": (
        {"maxTokens": 5000},
        {"promptTokens": 4000, "completionTokens": 999},
        {"completionTokens": 1000},
        "TokensExceeded",
        "5,000 of 5,000 tokens",
    ),
    "turns": ({"maxTurns": 3}, {"turns": 2}, {"turns": 3}, "TurnsExceeded", "3 of 3 turns"),
}


@pytest.mark.parametrize("limit", LIMITS)
async def test_a_limit_warns_and_then_stops(ns: Namespace, operator: Operator, limit: str) -> None:
    budget, below, at, reason, message = LIMITS[limit]
    await ns.create_task("a", agents.template(agents.graceful()), budget={**budget, "warnPercent": 50})
    await ns.running("a")
    await stood(ns, "a", ("Unknown", "NoSignal"))
    await report(ns, "a", **below)
    await stood(ns, "a", ("False", "Warning"))
    assert (await ns.event("a", "BudgetWarning"))["type"] == "Warning"
    await report(ns, "a", **at)
    task = await ns.ended("a")
    stop = stop_of(task)
    assert (status(task)["phase"], status(task)["manuallyStopped"]) == ("Stopped", False)
    assert (stop["source"], stop["reason"], stop["message"]) == ("Budget", reason, message)
    assert stands(task) == ("True", reason)
    assert message in status(task)["message"]
    spent = stop["usageAtAcceptance"]
    assert "usageAfter" not in stop
    # What comes in later is written down as such, and an owner was given to what had none.
    owned = await ns.kube.get(USAGES, ns.name, "a")
    assert [each["uid"] for each in owned["metadata"]["ownerReferences"]] == [task["metadata"]["uid"]]
    assert {name: spent[name] for name in ("cost", "totalTokens", "turns") if name in spent} == {
        "totalTokens": 5000 if limit == "tokens" else 0,
        "turns": 3 if limit == "turns" else 0,
        **({"cost": "40.02"} if limit == "cost" else {}),
    }


async def test_what_comes_in_after_the_stop_is_written_down(ns: Namespace, operator: Operator) -> None:
    budget, _, at, *_ = LIMITS["cost"]
    await ns.create_task("a", agents.template(agents.graceful(3)), budget=budget, stop={"reason": "TooDear"})
    await ns.running("a")
    await report(ns, "a", **at, turns=118)
    await ns.phase("a", "Stopping")
    await report(ns, "a", cost="40.33", turns=119)
    stop = stop_of(await ns.ended("a"))
    assert (stop["reason"], stop["usageAtAcceptance"]["cost"]) == ("TooDear", "40.02")
    assert stop["usageAfter"] == {"cost": "0.31", "currency": "USD", "totalTokens": 0, "turns": 1}


async def test_a_task_that_is_paused_by_its_budget_goes_on_when_both_say_so(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful()), budget={"maxTurns": 5, "action": "Pause"})
    await ns.running("a")
    await report(ns, "a", turns=7)
    await ns.phase("a", "Paused")
    assert (await ns.task("a"))["spec"]["paused"] is True
    # To have it go on without a higher limit is taken back, and nothing is started meanwhile.
    await ns.patch("a", paused=False)
    await until(lambda: _is_paused(ns), PATIENCE, "paused again")
    assert status(await ns.task("a"))["attempts"] == 1
    await ns.patch("a", budget={"maxTurns": 9})
    await stood(ns, "a", ("False", "WithinBudget"))
    assert status(await ns.task("a"))["phase"] == "Paused"
    await ns.patch("a", paused=False)
    await ns.until("a", lambda task: status(task).get("attempts") == 2, what="running again")
    await report(ns, "a", turns=9)
    await until(lambda: _is_paused(ns), PATIENCE, "paused once more")
    await ns.stop("a")
    assert stop_of(await ns.ended("a"))["source"] == "User"


async def _is_paused(ns: Namespace) -> bool:
    task = await ns.task("a")
    return bool(task["spec"].get("paused")) and status(task)["phase"] == "Paused"


async def test_a_budget_that_only_observes_says_so(ns: Namespace, operator: Operator) -> None:
    budget = {"maxCost": "1", "currency": "EUR", "action": "Observe"}
    await ns.create_task("a", agents.template(agents.graceful()), budget=budget)
    await ns.running("a")
    await report(ns, "a", cost="2.5")
    await stood(ns, "a", ("Unknown", "CurrencyDiffers"))
    await ns.patch("a", budget={"currency": "USD"})
    task = await stood(ns, "a", ("True", "CostExceeded"))
    assert (status(task)["phase"], status(task)["usage"]["cost"]) == ("Running", "2.5")
    assert (await ns.event("a", "CostExceeded"))["note"] == "2.50 of 1.00 USD"
    await ns.nothing_happens(1)
    assert status(await ns.task("a"))["phase"] == "Running"


async def test_a_family_of_eleven_has_one_budget(ns: Namespace, operator: Operator) -> None:
    budget = {"maxCost": "1.00", "scope": "Family"}
    await ns.create_task("planner", agents.template(agents.graceful()), budget=budget)
    await ns.running("planner")
    names = [f"helper-{number}" for number in range(10)]
    for name in names:
        await ns.create_task(name, agents.template(agents.graceful()), parentRef={"name": "planner"})
    for name in names:
        await ns.phase(name, "Running")
        await report(ns, name, cost="0.09", turns=1)
    await ns.until("planner", lambda task: _family_cost(task) is not None, what="counted")
    assert status(await ns.task("planner"))["phase"] == "Running"
    await report(ns, "planner", cost="0.10")
    task = await ns.ended("planner")
    stop, usage = stop_of(task), status(task)["usage"]
    assert (stop["source"], stop["message"]) == ("Budget", "1.00 of 1.00 USD")
    assert (usage["cost"], usage["family"]["cost"], usage["family"]["turns"]) == ("0.10", "1.00", 10)
    for name in names:
        child = await ns.ended(name)
        assert (stop_of(child)["source"], stop_of(child)["reason"]) == ("Parent", "CostExceeded")
        assert not status(child)["manuallyStopped"]


def _family_cost(task: Object) -> str | None:
    cost: str | None = ((status(task).get("usage") or {}).get("family") or {}).get("cost")
    return cost


async def test_a_limit_that_is_passed_while_no_operator_runs(ns: Namespace, launch: Operators) -> None:
    first = await launch.start(ns.name)
    await ns.create_task("a", agents.template(agents.graceful()), budget={"maxTurns": 5})
    await ns.create_task("b", agents.template(agents.graceful()), budget={"maxTurns": 5})
    await ns.running("a")
    await ns.running("b")
    await first.program.kill()
    await report(ns, "a", turns=6)
    await report(ns, "b", turns=4)
    await launch.start(ns.name)
    task = await ns.ended("a")
    assert (stop_of(task)["source"], stop_of(task)["message"]) == ("Budget", "6 of 5 turns")
    await stood(ns, "b", ("False", "WithinBudget"))
    assert status(await ns.task("b"))["phase"] == "Running"


async def test_silence_is_idleness_only_where_the_containers_are_silent_too(ns: Namespace, operator: Operator) -> None:
    template = agents.template(agents.graceful())
    for name in ("idle", "unheard"):
        await ns.create_task(name, template, budget={"maxIdleSeconds": 3})
        await ns.running(name)
    await report(ns, "unheard", turns=1)
    await report(ns, "idle", lastActivityAt=ago(3600))
    begun = datetime.now(UTC)
    task = await ns.ended("idle")
    assert (stop_of(task)["source"], stop_of(task)["reason"]) == ("Idle", "Idle")
    assert not status(task)["manuallyStopped"]
    # Its container had begun less than that before, which was a sign of life.
    started = datetime.fromisoformat(status(task)["startedAt"])
    assert datetime.fromisoformat(stop_of(task)["acceptedAt"]) >= started + timedelta(seconds=3)
    assert datetime.fromisoformat(stop_of(task)["acceptedAt"]) >= begun - timedelta(seconds=3)
    await stood(ns, "unheard", ("Unknown", "NoSignal"))
    assert status(await ns.task("unheard"))["phase"] == "Running"


async def test_a_new_task_of_the_same_name_inherits_nothing(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful()), budget={"maxTurns": 5})
    first = await ns.running("a")
    await report(ns, "a", turns=6)
    await ns.ended("a")
    await ns.delete_task("a")
    await ns.create_task("a", agents.template(agents.graceful()), budget={"maxTurns": 5})

    def is_new(task: Object) -> bool:
        return task["metadata"]["uid"] != first["metadata"]["uid"] and stands(task) == ("Unknown", "NoSignal")

    task = await ns.until("a", is_new, what="a new one")
    assert "usage" not in status(task)


async def test_hostile_usages_do_no_harm(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful()), budget={"maxCost": "5"})
    await ns.running("a")
    for number in range(30):
        await report(ns, f"nobody-{number}", cost="999999999.999999", totalTokens=10**15, turns=10**15)
    big = {"annotations": {"x": "y" * 200_000}}
    await ns.kube.merge(USAGES, ns.name, "nobody-0", {"metadata": big})
    await report(ns, "a", cost="4.999999", lastActivityAt="2999-12-31T23:59:59Z")
    await stood(ns, "a", ("False", "WithinBudget"))
    usage = status(await ns.until("a", lambda task: "usage" in status(task), what="usage"))["usage"]
    assert datetime.fromisoformat(usage["lastActivityAt"]) < datetime.now(UTC) + timedelta(minutes=5)
    await report(ns, "a", cost="999999999.999999")
    assert stop_of(await ns.ended("a"))["message"] == "999999999.999999 of 5.00 USD"


async def test_a_namespace_gives_its_tasks_a_budget(ns: Namespace, operator: Operator) -> None:
    async def annotate(text: str | None) -> None:
        body = {"metadata": {"annotations": {"agentstop.dev/default-budget": text}}}
        await ns.kube.merge(NAMESPACES, "", ns.name, body)

    await annotate("maxturns: 5")
    await ns.create_task("own", agents.template(agents.graceful()), budget={"maxTurns": 9})
    await ns.create_task("none", agents.template(agents.graceful()))
    await ns.running("own")
    await ns.running("none")
    task = await stood(ns, "none", ("Unknown", "DefaultBudgetInvalid"))
    assert 'there is no field "maxturns"' in next(
        each["message"] for each in status(task)["conditions"] if each["type"] == "BudgetExceeded"
    )
    await annotate("maxTurns: 5")
    await stood(ns, "none", ("Unknown", "NoSignal"))
    for name in ("own", "none"):
        await report(ns, name, turns=6)
    assert stop_of(await ns.ended("none"))["message"] == "6 of 5 turns"
    assert status(await ns.task("own"))["phase"] == "Running"
    assert "budget" not in (await ns.kube.get(TASKS, ns.name, "none"))["spec"]
