"""Budgets: what is said and done below, near and at a limit, and when silence counts."""

from decimal import Decimal
from typing import Any

import pytest

from agentstop.api.budget import Budget
from agentstop.api.meta import Condition, ConditionType, find_condition
from agentstop.api.task import Phase, StopSource
from agentstop.api.workload_status import ContainerEnd, PodEvidence, WorkloadStatus
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import Decision
from agentstop.lifecycle.effects import PauseTask, Start, Terminate
from agentstop.lifecycle.facts import CPUUse, Facts
from agentstop.lifecycle.family import ALONE, Family
from agentstop.lifecycle.observation import Ending, Observation, Presence, Reason
from agentstop.lifecycle.usage import Usage
from agentstop.words.usage import money
from tests.unit.objects import Raw, at, task, when

WORKLOAD = WorkloadStatus(
    api_version="v1",
    kind="Pod",
    name="x",
    uid="pod-uid",
    pods=(PodEvidence(name="x", uid="pod-uid", containers=(ContainerEnd(name="agent", started_at=at(0)),)),),
    pod_count=1,
)
RUNNING: Raw = {
    "phase": "Running",
    "attempts": 1,
    "observedGeneration": 1,
    "startedAt": when(0),
    "workload": WORKLOAD.wire(),
}
RUNS = Observation(presence=Presence.PRESENT, workload=WORKLOAD, started_at=at(0), last_started_at=at(0), active=True)
ABSENT = Observation(presence=Presence.ABSENT)


def decided(
    budget: Raw | None,
    usage: Usage | None,
    status: Raw | None = None,
    what: Observation = RUNS,
    now: float = 100,
    family: Family = ALONE,
    facts: Raw | None = None,
    **spec: Any,
) -> Decision:
    whole: Raw = {"podTemplate": {}} | spec | ({"budget": budget} if budget is not None else {})
    known = Facts(usage=usage, family_usage=usage, **(facts or {}))
    return decide(task(whole, RUNNING | (status or {})), what, at(now), family, facts=known)


def condition(decision: Decision) -> Condition | None:
    return find_condition(decision.status.conditions, ConditionType.BUDGET_EXCEEDED)


def stands(decision: Decision) -> tuple[str, str] | None:
    found = condition(decision)
    return (found.status, found.reason) if found is not None else None


def cost(text: str, **more: Any) -> Usage:
    return Usage(cost=Decimal(text), **more)


BUDGET: Raw = {"maxCost": "40.00", "maxTokens": 1000, "maxTurns": 10, "warnPercent": 80}


def test_a_usage_that_was_there_before_the_task_is_told_of() -> None:
    decision = decided(BUDGET, None, facts={"foreign": True})
    assert stands(decision) == ("Unknown", "UsageNotOwned")
    assert [note.reason for note in decision.notes] == ["UsageNotOwned"]


@pytest.mark.parametrize(
    ("usage", "wanted", "message"),
    [
        (None, ("Unknown", "NoSignal"), None),
        (cost("31.999999", tokens=799, turns=7), ("False", "WithinBudget"), None),
        (cost("32"), ("False", "Warning"), "32.00 of 40.00 USD"),
        (cost("39.999999"), ("False", "Warning"), "39.999999 of 40.00 USD"),
        (cost("40", tokens=5000), ("True", "CostExceeded"), "40.00 of 40.00 USD"),
        (cost("1", tokens=1000), ("True", "TokensExceeded"), "1,000 of 1,000 tokens"),
        (Usage(turns=10), ("True", "TurnsExceeded"), "10 of 10 turns"),
        (cost("50", currency="EUR"), ("Unknown", "CurrencyDiffers"), None),
        (cost("50", currency="EUR", turns=10), ("True", "TurnsExceeded"), None),
        (cost("50", mixed=True), ("Unknown", "CurrencyDiffers"), None),
    ],
)
def test_how_usage_stands_to_a_budget(usage: Usage | None, wanted: tuple[str, str], message: str | None) -> None:
    decision = decided(BUDGET, usage)
    found = condition(decision)
    assert found is not None
    assert (found.status, found.reason) == wanted
    assert message is None or found.message == message
    stopped = decision.status.phase is Phase.STOPPING
    assert stopped is (wanted[0] == "True")
    if decision.status.stop is not None:
        stop = decision.status.stop
        assert (stop.source, stop.reason, stop.message) == (StopSource.BUDGET, found.reason, found.message)
        assert not decision.status.manually_stopped
        assert [type(each) for each in decision.effects] == [Terminate]


def test_a_task_without_a_budget_is_let_alone_and_its_usage_is_told() -> None:
    decision = decided(None, cost("1000000"))
    assert (stands(decision), decision.status.phase) == (None, Phase.RUNNING)
    assert decision.status.usage is not None
    assert decision.status.usage.cost == "1000000"


def test_the_budget_of_the_namespace_counts_where_the_task_has_none() -> None:
    default = {"default_budget": Budget(max_turns=3)}
    assert decided(None, Usage(turns=3), facts=default).status.phase is Phase.STOPPING
    assert decided({"maxTurns": 9}, Usage(turns=3), facts=default).status.phase is Phase.RUNNING
    wrong = Reason("DefaultBudgetInvalid", "no")
    assert stands(decided(None, Usage(turns=3), facts={"problem": wrong})) == ("Unknown", "DefaultBudgetInvalid")


def test_nothing_is_done_before_it_is_known_what_was_reported() -> None:
    """What is on record stays: after a crash nobody is to read that nothing was spent."""
    before = decided(BUDGET, cost("33")).status.wire()
    decision = decided(BUDGET, None, before, facts={"unknown": True})
    assert decision.status.wire() == before
    ours = Ending(succeeded=False, word=Reason("Error", "x"), at=at(90), by_stop=True)
    ended = Observation(presence=Presence.PRESENT, workload=WORKLOAD, started_at=at(0), halted=True, ending=ours)
    assert decided(BUDGET, None, before, ended, facts={"unknown": True}).status.phase is Phase.RUNNING
    assert decided(BUDGET, cost("40"), before, ended).status.phase is not Phase.FAILED


def test_who_stops_first_is_the_record() -> None:
    spent = cost("41")
    both = decided(BUDGET, spent, stopRequested=True, stop={"reason": "Enough"})
    assert both.status.stop is not None
    assert (both.status.stop.source, both.status.stop.reason, both.status.manually_stopped) == ("User", "Enough", True)
    late = decided(BUDGET, spent, activeDeadlineSeconds=50)
    assert late.status.stop is not None
    assert (late.status.stop.source, late.status.stop.reason) == (StopSource.DEADLINE, None)
    own = decided(BUDGET, spent, stop={"reason": "TooDear"})
    assert own.status.stop is not None
    assert (own.status.stop.source, own.status.stop.reason, own.status.stop.message) == (
        StopSource.BUDGET,
        "TooDear",
        "41.00 of 40.00 USD",
    )
    raised = decided({"maxCost": "90"}, spent, own.status.wire())
    assert raised.status.stop == own.status.stop, "what was accepted stays so"
    assert stands(raised) == ("True", "CostExceeded")


def test_what_comes_in_after_the_stop_is_added_up_and_at_the_end_too() -> None:
    stopping = decided(BUDGET, cost("40.02", turns=3)).status
    over = decided(BUDGET, cost("40.33", turns=4), stopping.wire() | {"phase": "Stopped"}, now=200).status
    assert over.stop is not None
    assert over.stop.usage_at_acceptance is not None
    assert over.stop.usage_after is not None
    assert (over.stop.usage_at_acceptance.cost, over.stop.usage_after.cost) == ("40.02", "0.31")
    assert over.stop.usage_after.turns == 1
    again = decided(BUDGET, cost("40.33", turns=4), over.wire(), now=300)
    assert again.status == over, "written once"


def test_the_status_rests_while_nothing_but_numbers_changes() -> None:
    first = decided(BUDGET, cost("1"), now=100).status
    soon = decided(BUDGET, cost("2"), first.wire(), now=110)
    assert soon.status == first
    assert soon.wake_at == at(130)
    due = decided(BUDGET, cost("2"), first.wire(), now=130).status
    assert due.usage is not None
    assert (due.usage.cost, due.usage.as_of) == ("2", at(130))
    warned = decided(BUDGET, cost("32"), first.wire(), now=110)
    assert stands(warned) == ("False", "Warning")
    assert [each.reason for each in warned.notes] == ["BudgetWarning"]
    more = decided(BUDGET, cost("33"), warned.status.wire(), now=115)
    assert more.status == warned.status, "no message of its own for each report"
    assert decided(BUDGET, cost("32"), warned.status.wire(), now=115).notes == ()


def test_a_budget_that_pauses_has_that_asked_for_and_starts_nothing() -> None:
    budget = {"maxTurns": 5, "action": "Pause"}
    over = Usage(turns=5)
    assert decided(budget, over).afterwards == (PauseTask(),)
    assert decided(budget, over).status.phase is Phase.RUNNING
    paused: Raw = {"phase": "Paused", "pausedAt": when(50)}
    back = decided(budget, over, paused, ABSENT)
    assert (back.status.phase, back.afterwards, Start() in back.effects) == (Phase.PAUSED, (PauseTask(),), False)
    assert decided(budget, over, paused, ABSENT, paused=True).afterwards == ()
    assert Start() in decided({**budget, "maxTurns": 6}, over, paused, ABSENT).effects
    adopted: Any = {"podTemplate": None, "workloadRef": {"apiVersion": "v1", "kind": "Pod", "name": "x"}}
    assert decided(budget, over, **adopted).status.phase is Phase.STOPPING
    child = decided(None, None, family=Family(over_budget="planner"))
    assert child.afterwards == (PauseTask(),)


def test_no_budget_stops_what_is_paused_before_it_comes_back() -> None:
    paused: Raw = {"phase": "Paused", "pausedAt": when(50)}
    assert decided(BUDGET, cost("99"), paused, ABSENT, paused=True).status.phase is Phase.PAUSED
    assert decided(BUDGET, cost("99"), paused, ABSENT).status.phase is Phase.STOPPED


def test_a_budget_that_observes_only_says_so() -> None:
    decision = decided({"maxTurns": 5, "action": "Observe"}, Usage(turns=5))
    assert (stands(decision), decision.status.phase) == (("True", "TurnsExceeded"), Phase.RUNNING)
    assert (decision.effects, decision.afterwards) == ((), ())
    assert [each.reason for each in decision.notes] == ["TurnsExceeded"]


# Silence

IDLE: Raw = {"maxIdleSeconds": 60}


def silent(cpu: CPUUse, now: float = 100, active: float = 10, **more: Any) -> Decision:
    facts = {"cpu": cpu} | more.pop("facts", {})
    return decided(IDLE, Usage(last_activity_at=at(active)), now=now, facts=facts, **more)


def test_silence_takes_two_signals() -> None:
    asked = silent(CPUUse.UNASKED)
    assert (asked.in_doubt, asked.status.phase) == (True, Phase.RUNNING)
    assert not silent(CPUUse.UNASKED, now=69).in_doubt
    assert silent(CPUUse.UNASKED, now=69).wake_at == at(70)
    for cpu in (CPUUse.QUIET, CPUUse.NOT_SERVED):
        decision = silent(cpu)
        assert decision.status.stop is not None
        assert (decision.status.stop.source, decision.status.stop.reason) == (StopSource.IDLE, "Idle")
        assert not decision.status.manually_stopped
    unknown = silent(CPUUse.UNKNOWN)
    assert unknown.status.phase is Phase.RUNNING
    assert unknown.wake_at is not None
    assert unknown.wake_at > at(100)
    worked = silent(CPUUse.UNASKED, facts={"busy_at": at(90)})
    assert (worked.in_doubt, worked.wake_at) == (False, at(150))
    stopped = silent(CPUUse.UNASKED, stopRequested=True)
    assert stopped.status.manually_stopped
    assert not stopped.in_doubt, "no stop waits for a look at processors"


def test_without_metrics_a_change_of_a_container_is_a_sign_of_life() -> None:
    containers = (
        ContainerEnd(name="agent", started_at=at(0)),
        ContainerEnd(name="tool", started_at=at(1), finished_at=at(80)),
    )
    pods = (PodEvidence(name="x", uid="pod-uid", containers=containers),)
    busy = Observation(presence=Presence.PRESENT, workload=WORKLOAD.but(pods=pods), started_at=at(0), active=True)
    assert silent(CPUUse.NOT_SERVED, what=busy).status.phase is Phase.RUNNING
    assert silent(CPUUse.NOT_SERVED, what=busy, now=140).status.phase is Phase.STOPPING
    assert silent(CPUUse.QUIET, what=busy).status.phase is Phase.STOPPING
    family = {"containers_changed_at": at(90)}
    assert silent(CPUUse.NOT_SERVED, facts=family).status.phase is Phase.RUNNING


def test_what_never_reported_is_never_idle_and_a_pause_is_no_silence() -> None:
    never = decided(IDLE, Usage(turns=1), now=10_000, facts={"cpu": CPUUse.QUIET})
    assert (stands(never), never.in_doubt, never.wake_at) == (("Unknown", "NoSignal"), False, None)
    for phase in ("Paused", "Pausing"):
        held = silent(CPUUse.QUIET, status={"phase": phase, "pausedAt": when(20)}, paused=True)
        assert held.status.stop is None
    back = Observation(
        presence=Presence.PRESENT, workload=WORKLOAD, started_at=at(0), last_started_at=at(95), active=True
    )
    assert silent(CPUUse.QUIET, what=back).status.phase is Phase.RUNNING


def test_the_end_that_an_idle_task_was_given_is_no_sign_of_life() -> None:
    """After a crash between the signal and its record, the task was stopped for its silence, and did not fail."""
    ours = Ending(succeeded=False, word=Reason("Error", "x"), at=at(101), by_stop=True)
    ended = Observation(
        presence=Presence.PRESENT, workload=WORKLOAD, started_at=at(0), halted=True, signaled_at=at(100), ending=ours
    )
    decision = silent(CPUUse.UNASKED, now=102, what=ended)
    assert decision.status.stop is not None
    assert decision.status.stop.source is StopSource.IDLE


def test_money_is_written_as_people_write_it() -> None:
    assert [money(Decimal(each)) for each in ("40", "40.5", "0.000001", "1234.5600", "0")] == [
        "40.00",
        "40.50",
        "0.000001",
        "1234.56",
        "0.00",
    ]
