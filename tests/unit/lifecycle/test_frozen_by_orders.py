"""Tasks that an order has frozen: whatever they say themselves, until it lets go, or until they are stopped."""

from typing import Any

import pytest

from agentstop.api.task import OrderRef, Phase, StopSource, Verdict
from agentstop.api.workload_status import ContainerEnd, PodEvidence
from agentstop.lifecycle.conditions import THAWING
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import LIMITS, Decision, Limits
from agentstop.lifecycle.effects import Freeze, Start, Terminate, Thaw
from agentstop.lifecycle.family import ALONE, Family, Inherited
from agentstop.lifecycle.observation import NOT_FROZEN, FreezeState, Observation, Presence, Proof, Reason
from agentstop.lifecycle.orders import FREE, Ordered, OrderedFreeze, OrderEffect
from tests.unit.objects import ADOPTS, Raw, at, task, when

from .test_freezing import ASKS, COLD, HELD, WAS, WORKLOAD, seen, stalled

RUNS: Raw = {"podTemplate": {}}
BY: Raw = {"kind": "StopOrder", "name": "o", "uid": "order-uid"}
RUNNING: Raw = WAS | {"phase": "Running"}
PAUSING: Raw = WAS | {"phase": "Pausing", "reason": "Freezing", "frozenBy": BY}
FROZEN: Raw = WAS | {"phase": "Paused", "reason": "Frozen", "pausedAt": when(10), "pausePolicy": "Freeze"}
FROZEN |= {"frozenBy": BY}
HOLD = Reason("HeldByOrder", "StopOrder o has it")
FREEZES = OrderEffect(hold=HOLD, freeze=OrderedFreeze("StopOrder", "o", "order-uid", "Incident"))
ABSENT = Observation(presence=Presence.ABSENT)


def stops(*, kill: bool = False) -> OrderEffect:
    return OrderEffect(stop=Ordered("StopOrder", "o", "order-uid", "jane", None, None, 1 if kill else None, kill=kill))


def decided(
    spec: Raw,
    status: Raw | None,
    what: Observation,
    effect: OrderEffect = FREEZES,
    now: float = 20,
    limits: Limits = ASKS,
    family: Family = ALONE,
    **more: Any,
) -> Decision:
    return decide(task(spec, status, **more), what, at(now), family, effect, limits)


@pytest.mark.parametrize("spec", [RUNS, RUNS | {"pausePolicy": "Terminate"}, ADOPTS], ids=["plain", "ends", "bare pod"])
def test_it_is_frozen_whatever_its_own_policy_says(spec: Raw) -> None:
    asked = decided(spec, RUNNING, seen())
    there = decided(spec, PAUSING, seen(COLD))

    assert (asked.effects, asked.status.phase, asked.status.reason) == ((Freeze(),), Phase.PAUSING, "Freezing")
    assert (there.status.phase, there.status.reason, there.status.pause_policy) == (Phase.PAUSED, "Frozen", "Freeze")
    for status in (asked.status, there.status):
        assert status.frozen_by == OrderRef(kind="StopOrder", name="o", uid="order-uid")
        assert (status.message or "").endswith(", as StopOrder o (Incident) asks for")
        assert status.attempts == 1


def test_it_is_paused_as_it_is_to_be() -> None:
    assert stalled(decided(RUNS, PAUSING, seen(COLD))) == []


@pytest.mark.parametrize(
    ("freeze_state", "limits", "reason"),
    [
        (NOT_FROZEN, LIMITS, "NodesNotAsked"),
        (FreezeState(refused=Reason("LivenessProbe", "it has one")), ASKS, "LivenessProbe"),
        (FreezeState(held=True, late=Reason("NodeComponentSilent", "silent")), ASKS, "NodeComponentSilent"),
    ],
)
def test_what_cannot_be_frozen_says_why_and_runs_on(freeze_state: FreezeState, limits: Limits, reason: str) -> None:
    decision = decided(RUNS, RUNNING, seen(freeze_state), limits=limits)

    assert stalled(decision) == [reason]
    said = next(each.message for each in decision.status.conditions if each.type == "Stalled")
    assert "pausePolicy" not in said, "that is not for the order to set"
    assert not [each for each in decision.effects if isinstance(each, Terminate)]


def test_it_does_not_start() -> None:
    decision = decided(RUNS, None, ABSENT)

    assert (decision.effects, decision.status.phase, stalled(decision)) == ((), Phase.PENDING, ["HeldByOrder"])


def test_a_parent_that_is_missing_is_said_afterwards() -> None:
    family = Family(problem=Reason("ParentNotFound", "none"))

    assert stalled(decided(RUNS, None, ABSENT, family=family)) == ["HeldByOrder"]
    assert stalled(decided(RUNS, None, ABSENT, FREE, family=family)) == ["ParentNotFound"]


def test_what_has_nothing_that_runs_is_kept_from_starting_something() -> None:
    decision = decided(ADOPTS, RUNNING, seen(proof=Proof.ENDED, active=False, live=False))

    assert (decision.effects, decision.status.phase, stalled(decision)) == ((), Phase.RUNNING, ["HeldByOrder"])


PAUSED: Raw = WAS | {"phase": "Paused", "pausedAt": when(10)}
ENDED = seen(active=False, live=False, halted=True, proof=Proof.ENDED)


def test_what_was_ended_by_a_pause_stays_so_and_is_not_resumed() -> None:
    paused = decided(RUNS | {"paused": True}, PAUSED, ENDED)
    resumed = decided(RUNS, PAUSED, ENDED)

    assert (paused.status.phase, paused.status.frozen_by, stalled(paused)) == (Phase.PAUSED, None, [])
    assert (resumed.status.phase, stalled(resumed)) == (Phase.PAUSED, ["HeldByOrder"])
    assert Start() not in resumed.effects


def test_a_pause_that_comes_meanwhile_ends_nothing() -> None:
    decision = decided(RUNS | {"paused": True}, FROZEN, seen(COLD))

    assert (decision.effects, decision.status.phase, decision.status.reason) == ((Freeze(),), Phase.PAUSED, "Frozen")


def test_its_own_resume_thaws_nothing() -> None:
    status = FROZEN | {"observedGeneration": 0}

    assert decided(RUNS | {"pausePolicy": "Freeze"}, status, seen(COLD)).effects == (Freeze(),)


def test_what_pauses_it_itself_stays_frozen_when_the_order_lets_go() -> None:
    decision = decided(RUNS | {"pausePolicy": "Freeze", "paused": True}, FROZEN, seen(COLD), FREE)

    assert (decision.effects, decision.status.phase, decision.status.frozen_by) == ((Freeze(),), Phase.PAUSED, None)


def test_it_goes_on_once_it_is_on_record_that_the_order_lets_go() -> None:
    first = decided(RUNS, FROZEN, seen(COLD), FREE)
    assert (first.effects, first.status.phase, first.status.reason) == ((), Phase.PAUSED, THAWING)
    assert (first.wake_at, first.status.frozen_by) == (at(20), OrderRef(kind="StopOrder", name="o", uid="order-uid"))
    second = decided(RUNS, first.status.wire(), seen(COLD), FREE)
    assert second.effects == (Thaw(),)
    third = decided(RUNS, second.status.wire(), seen(), FREE, now=25)
    assert (third.status.phase, third.status.frozen_by, third.status.paused_seconds) == (Phase.RUNNING, None, 15)
    assert third.status.attempts == 1


def test_what_was_not_on_record_yet_is_the_orders_until_it_goes_on() -> None:
    """Whoever lifts an order is not told that all goes on before it does."""
    lets_go = OrderEffect(thaw=OrderedFreeze("StopOrder", "o", "order-uid", "Incident"))
    first = decided(RUNS, RUNNING, seen(HELD), lets_go)
    second = decided(RUNS, first.status.wire(), seen(HELD), lets_go)

    assert (first.effects, first.status.phase, first.status.reason) == ((), Phase.PAUSING, THAWING)
    assert first.status.frozen_by == OrderRef(kind="StopOrder", name="o", uid="order-uid")
    assert second.effects == (Thaw(),)
    assert decided(RUNS, second.status.wire(), seen(), lets_go).status.frozen_by is None
    assert decided(RUNS, PAUSING, seen(COLD), FREE).status.frozen_by == first.status.frozen_by


def test_another_order_that_freezes_it_takes_it_over() -> None:
    other = OrderEffect(hold=HOLD, freeze=OrderedFreeze("ClusterStopOrder", "other", "u2", None))
    status = decided(RUNS, FROZEN, seen(COLD), other).status

    assert status.frozen_by == OrderRef(kind="ClusterStopOrder", name="other", uid="u2")
    assert status.paused_at == at(10)


def test_a_hold_keeps_it_frozen() -> None:
    decision = decided(RUNS, FROZEN, seen(COLD), OrderEffect(hold=HOLD))

    assert (decision.effects, decision.status.phase, stalled(decision)) == ((), Phase.PAUSED, ["HeldByOrder"])


@pytest.mark.parametrize(
    ("spec", "effect", "family", "source"),
    [
        (RUNS | {"stopRequested": True}, FREEZES, ALONE, StopSource.USER),
        (RUNS, FREEZES, Family(stop=Inherited(origin="p", by_person=True)), StopSource.PARENT),
        (RUNS, stops(), ALONE, StopSource.STOP_ORDER),
    ],
    ids=["its own", "its parent's", "an order's"],
)
@pytest.mark.parametrize("status", [PAUSING, FROZEN])
def test_a_stop_goes_first(spec: Raw, effect: OrderEffect, family: Family, source: StopSource, status: Raw) -> None:
    decision = decided(spec, status, seen(COLD), effect, family=family)
    (halt,) = decision.effects

    assert isinstance(halt, Terminate)
    assert not halt.by_nodes, "it is thawed into SIGTERM"
    assert decision.status.stop is not None
    assert (decision.status.phase, decision.status.stop.source) == (Phase.STOPPING, source)
    assert decision.status.frozen_by is None


def test_the_deadline_strikes_what_is_not_frozen_yet() -> None:
    spec = RUNS | {"activeDeadlineSeconds": 15}
    running = decided(spec, PAUSING, seen(HELD)).status.stop

    assert running is not None
    assert running.source is StopSource.DEADLINE
    assert decided(spec, FROZEN, seen(COLD)).status.stop is None, "its time stands still"


# Without a thaw


def test_a_kill_is_for_the_nodes_at_once() -> None:
    decision = decided(RUNS, FROZEN, seen(COLD), stops(kill=True))
    (halt,) = decision.effects

    assert isinstance(halt, Terminate)
    assert (halt.by_nodes, halt.grace_seconds) == (True, 1)


def test_its_record_is_that_of_a_stop_without_time() -> None:
    asked = decided(RUNS, FROZEN, seen(COLD), stops(kill=True)).status
    signaled = seen(COLD, halted=True, signaled_at=at(20), killed_by=at(320))
    on_its_way = decided(RUNS, asked.wire(), signaled, stops(kill=True), now=20.1).status
    end = ContainerEnd(name="main", exit_code=137, finished_at=at(20))
    pod = PodEvidence(name="x", uid="pod-uid", containers=(end,))
    gone = seen(halted=True, signaled_at=at(20), proof=Proof.ENDED, active=False, live=False)
    gone = Observation(
        **{name: getattr(gone, name) for name in gone.__slots__} | {"workload": WORKLOAD.but(pods=(pod,))}
    )
    over = decided(RUNS, on_its_way.wire(), gone, stops(kill=True), now=20.2).status

    for status in (on_its_way, over):
        assert status.stop is not None
        assert (status.stop.grace_period_seconds, status.stop.kill_at) == (1, at(20.1))
    assert over.stop is not None
    assert (over.phase, over.stop.verdict) == (Phase.STOPPED, Verdict.KILLED)


def test_without_components_a_kill_is_a_stop_with_the_least_time() -> None:
    (halt,) = decided(RUNS, RUNNING, seen(), stops(kill=True), limits=LIMITS).effects

    assert isinstance(halt, Terminate)
    assert (halt.by_nodes, halt.grace_seconds) == (False, 1)


def test_it_ends_a_stop_that_is_under_way() -> None:
    stop = {"source": "User", "acceptedAt": when(0), "signaledAt": when(0), "killAt": when(300)}
    status = WAS | {"phase": "Stopping", "stop": stop | {"gracePeriodSeconds": 300}}
    what = seen(halted=True, signaled_at=at(0), killed_by=at(300), own_grace_seconds=300)
    decision = decided(RUNS | {"stopRequested": True}, status, what, stops(kill=True))

    (halt,) = decision.effects
    assert isinstance(halt, Terminate)
    assert halt.by_nodes
    assert decision.status.stop is not None
    assert decision.status.stop.kill_at == at(20)
