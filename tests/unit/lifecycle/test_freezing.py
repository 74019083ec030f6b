"""Tasks whose pause freezes what they run: the nodes' kernels hold it, and let it go on where it was."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from agentstop.api.task import Phase, StopSource
from agentstop.api.workload_status import PodEvidence, WorkloadStatus
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import Decision, Limits
from agentstop.lifecycle.effects import Freeze, Start, Terminate, Thaw
from agentstop.lifecycle.events import notes_between
from agentstop.lifecycle.family import ALONE, Family
from agentstop.lifecycle.observation import Ending, FreezeState, Observation, Presence, Proof, Reason
from agentstop.timings import TIMINGS
from tests.unit.objects import ADOPTS, Raw, at, task, when

WORKLOAD = WorkloadStatus(
    api_version="v1", kind="Pod", name="x", uid="pod-uid", pods=(PodEvidence(name="x", uid="pod-uid"),), pod_count=1
)
RUNS_SPEC: Raw = {"podTemplate": {}, "pausePolicy": "Freeze"}
FREEZE_SPEC: Raw = RUNS_SPEC | {"paused": True}
WAS: Raw = {"attempts": 1, "observedGeneration": 1, "startedAt": when(0), "workload": WORKLOAD.wire()}
RUNNING: Raw = WAS | {"phase": "Running"}
PAUSING: Raw = WAS | {"phase": "Pausing", "reason": "Freezing"}
FROZEN: Raw = WAS | {"phase": "Paused", "reason": "Frozen", "pausedAt": when(10), "pausePolicy": "Freeze"}
ASKS = Limits(ask_nodes=True)


def seen(freeze_state: FreezeState | None = None, **more: Any) -> Observation:
    """A workload that runs, by default one of which nothing is frozen."""
    given: dict[str, Any] = {"started_at": at(0), "active": True, "live": True}
    return Observation(
        presence=Presence.PRESENT, workload=WORKLOAD, freeze_state=freeze_state or FreezeState(), **(given | more)
    )


HELD = FreezeState(held=True)
COLD = FreezeState(held=True, frozen=True)
BLIND = Observation(presence=Presence.UNKNOWN, blocked=Reason("ReadForbidden", "no"))


def decided(
    spec: Raw, status: Raw | None, what: Observation, now: float = 20, limits: Limits = ASKS, **more: Any
) -> Decision:
    family: Family = more.pop("family", ALONE)
    return decide(task(spec, status, **more), what, at(now), family, limits=limits)


def stalled(decision: Decision) -> list[str]:
    found = decision.status.conditions
    return [each.reason for each in found if (each.type, each.status) == ("Stalled", "True")]


# Being frozen


@pytest.mark.parametrize("status", [RUNNING, PAUSING, WAS | {"phase": "Pending"}])
def test_its_nodes_are_asked_and_nothing_is_ended(status: Raw) -> None:
    decision = decided(FREEZE_SPEC, status, seen())

    assert decision.effects == (Freeze(),)
    assert (decision.status.phase, decision.status.reason) == (Phase.PAUSING, "Freezing")
    assert stalled(decision) == []


@pytest.mark.parametrize("status", [RUNNING, PAUSING])
def test_it_is_paused_once_the_kernels_say_so(status: Raw) -> None:
    status_now = decided(FREEZE_SPEC, status, seen(COLD)).status

    assert (status_now.phase, status_now.reason, status_now.paused_at) == (Phase.PAUSED, "Frozen", at(20))
    assert (status_now.attempts, status_now.pause_policy) == (1, "Freeze")


def test_until_then_it_is_not_whatever_was_asked() -> None:
    assert decided(FREEZE_SPEC, PAUSING, seen(HELD)).status.phase is Phase.PAUSING


def test_it_stays_paused_since_the_same_moment() -> None:
    status = decided(FREEZE_SPEC, FROZEN, seen(COLD)).status

    assert (status.phase, status.paused_at, status.pause_policy) == (Phase.PAUSED, at(10), "Freeze")


def test_what_comes_meanwhile_is_frozen_as_well() -> None:
    decision = decided(FREEZE_SPEC, FROZEN, seen(HELD), 30)

    assert decision.effects == (Freeze(),)
    assert (decision.status.phase, decision.status.reason) == (Phase.PAUSING, "Freezing")
    assert (decision.status.paused_at, decision.status.paused_seconds) == (None, 20)


def test_a_task_created_paused_starts_nothing() -> None:
    decision = decided(FREEZE_SPEC, None, Observation(presence=Presence.ABSENT))

    assert decision.effects == ()
    assert (decision.status.phase, decision.status.pause_policy) == (Phase.PAUSED, None)


def test_a_bare_pod_that_was_adopted_can_be_frozen() -> None:
    assert decided(ADOPTS | {"paused": True}, RUNNING, seen()).status.phase is Phase.RUNNING
    assert decided(ADOPTS | {"paused": True, "pausePolicy": "Freeze"}, RUNNING, seen()).effects == (Freeze(),)


def test_it_says_that_it_waits_for_a_pod_to_start() -> None:
    decision = decided(
        FREEZE_SPEC, PAUSING, seen(FreezeState(waits=Reason("PodNotStarted", "it has not")), active=False)
    )

    reasons = {each.type: each.reason for each in decision.status.conditions}
    assert (reasons["Reconciling"], stalled(decision)) == ("PodNotStarted", [])


# Where it cannot be frozen


@pytest.mark.parametrize(
    ("freeze_state", "limits", "reason", "asks"),
    [
        (FreezeState(), Limits(), "NodesNotAsked", False),
        (FreezeState(refused=Reason("LivenessProbe", "it has one")), ASKS, "LivenessProbe", False),
        (FreezeState(held=True, late=Reason("NodeComponentSilent", "silent")), ASKS, "NodeComponentSilent", True),
        (FreezeState(held=True, late=Reason("NodeCannotFreeze", "v1")), ASKS, "NodeCannotFreeze", True),
    ],
)
def test_it_says_so_and_nothing_is_ended(freeze_state: FreezeState, limits: Limits, reason: str, asks: bool) -> None:
    decision = decided(FREEZE_SPEC, PAUSING, seen(freeze_state), 10_000, limits)

    assert decision.effects == ((Freeze(),) if asks else ())
    assert (decision.status.phase, stalled(decision)) == (Phase.PAUSING, [reason])
    assert decision.wake_at is not None


def test_an_answer_that_is_yet_to_come_is_waited_for() -> None:
    decision = decided(FREEZE_SPEC, PAUSING, seen(FreezeState(held=True, due_at=at(21))))

    assert (stalled(decision), decision.wake_at) == ([], at(21))


ASKED = FreezeState(held=True, asked_at=at(20), due_at=at(23))
OTHER_POD: Raw = {"workload": WORKLOAD.wire() | {"pods": [{"name": "x", "uid": "another"}]}}


@pytest.mark.parametrize("phase", ["Pending", "Running"])
def test_nothing_is_written_of_a_freeze_that_its_nodes_are_about_to_do(phase: str) -> None:
    before, record = WAS | {"phase": phase}, TIMINGS.freeze_record.total_seconds()
    now = decided(FREEZE_SPEC, before, seen(ASKED), 20.1)
    then = decided(FREEZE_SPEC, before, seen(ASKED), 20 + record)

    assert (now.status, now.effects) == (task(FREEZE_SPEC, before).status, (Freeze(),))
    assert (now.notes, now.wake_at) == ((), at(20 + record))
    assert (then.status.phase, then.status.reason, then.effects) == (Phase.PAUSING, "Freezing", (Freeze(),))
    assert decided(FREEZE_SPEC, before, seen(COLD), 20.1).status.phase is Phase.PAUSED


@pytest.mark.parametrize(
    ("status", "freeze_state"),
    [
        (RUNNING, HELD),
        (RUNNING, replace(ASKED, late=Reason("NodeCannotFreeze", "v1"))),
        (RUNNING, replace(ASKED, refused=Reason("LivenessProbe", "it has one"))),
        (RUNNING | {"workload": None}, ASKED),
        (RUNNING | OTHER_POD, ASKED),
        (FROZEN, ASKED),
    ],
    ids=["one is not asked", "it cannot", "it may not", "no pod on record", "another pod", "called Paused"],
)
def test_it_is_written_where_it_is_news_or_needed(status: Raw, freeze_state: FreezeState) -> None:
    """A component does nothing to a pod that is not on record, and what is not frozen must not be called Paused."""
    assert decided(FREEZE_SPEC, status, seen(freeze_state), 20.1).status.phase is Phase.PAUSING


def test_what_cannot_be_looked_at_stays_as_it_was() -> None:
    decision = decided(FREEZE_SPEC, FROZEN, BLIND)

    assert (decision.status.phase, decision.status.paused_at) == (Phase.PAUSED, at(10))
    assert stalled(decision) == ["ReadForbidden"]
    assert not any(isinstance(each, Terminate) for each in decision.effects)
    assert decided(FREEZE_SPEC, RUNNING, BLIND).status.phase is Phase.PAUSING
    assert decided(RUNS_SPEC, FROZEN, BLIND).status.phase is Phase.PAUSED


# Going on


def test_it_is_thawed_once_that_is_on_record() -> None:
    before = decided(RUNS_SPEC, FROZEN | {"observedGeneration": 0}, seen(COLD))
    decision = decided(RUNS_SPEC, FROZEN, seen(COLD))

    assert (before.effects, before.status.observed_generation, before.wake_at) == ((), 1, at(20))
    assert decision.effects == (Thaw(),)
    assert (decision.status.phase, decision.status.reason, decision.status.paused_at) == (
        Phase.PAUSED,
        "Thawing",
        at(10),
    )


def test_it_runs_once_the_kernels_say_so_and_that_is_no_attempt_more() -> None:
    status = decided(RUNS_SPEC, FROZEN, seen(), 30).status

    assert (status.phase, status.attempts, status.started_at) == (Phase.RUNNING, 1, at(0))
    assert (status.paused_at, status.paused_seconds, status.pause_policy) == (None, 20, None)


def test_a_pod_that_came_meanwhile_shortens_no_pause() -> None:
    status = decided(RUNS_SPEC, FROZEN, seen(started_at=at(15)), 30).status

    assert (status.attempts, status.paused_seconds) == (1, 20)


UNHEARD: Raw = {name: value for name, value in FROZEN.items() if name != "startedAt"}
"""Frozen in its start hook: its kubelet has not said that it was started."""


@pytest.mark.parametrize(("started", "paused"), [(None, 20), (at(5), 20), (at(22), 8)])
def test_a_pause_counts_though_nobody_has_heard_of_the_start_before_it(started: datetime | None, paused: int) -> None:
    status = decided(RUNS_SPEC, UNHEARD, seen(started_at=started, active=started is not None), 30).status

    assert (status.started_at, status.paused_seconds) == (started, paused)


def test_it_puts_the_deadline_off_once_the_start_is_known() -> None:
    before = {name: value for name, value in RUNNING.items() if name != "startedAt"} | {"pausedSeconds": 20}
    spec = RUNS_SPEC | {"activeDeadlineSeconds": 30}

    decision = decided(spec, before, seen(started_at=at(8)), 45)
    assert (decision.status.started_at, decision.status.paused_seconds, decision.status.stop) == (at(8), 20, None)
    assert decision.wake_at == at(58)


def test_no_pause_before_the_start_puts_it_off() -> None:
    before = {name: value for name, value in RUNNING.items() if name != "startedAt"} | {"pausedSeconds": 3600}
    spec = RUNS_SPEC | {"activeDeadlineSeconds": 30}

    decision = decided(spec, before, seen(started_at=at(8)), 9)
    assert (decision.status.paused_seconds, decision.wake_at) == (1, at(39))


@pytest.mark.parametrize("phase", ["Running", "Pending", "Pausing"])
def test_what_is_frozen_without_being_paused_is_never_said_to_run(phase: str) -> None:
    first = decided(RUNS_SPEC, WAS | {"phase": phase}, seen(HELD))
    second = decided(RUNS_SPEC, WAS | {"phase": "Pausing"}, seen(HELD))

    assert (first.status.phase, first.status.reason) == (Phase.PAUSING, "Thawing")
    assert second.effects == (Thaw(),)


def test_a_freeze_that_is_taken_back_before_a_node_was_asked() -> None:
    status = decided(RUNS_SPEC, PAUSING, seen()).status

    assert (status.phase, status.attempts) == (Phase.RUNNING, 1)


def test_nothing_goes_on_under_a_parent_that_has_ended() -> None:
    problem = Reason("ParentEnded", "it has")
    decision = decided(RUNS_SPEC, FROZEN, seen(COLD), family=Family(problem=problem))

    assert decision.effects == ()
    assert (decision.status.phase, stalled(decision)) == (Phase.PAUSED, ["ParentEnded"])


def test_an_operator_that_asks_no_nodes_any_more_does_not_say_that_it_runs() -> None:
    decision = decided(RUNS_SPEC, FROZEN, seen(), limits=Limits())

    assert (decision.status.phase, decision.effects, stalled(decision)) == (Phase.PAUSED, (), ["NodesNotAsked"])


def test_what_is_left_of_a_task_that_is_gone_goes_on() -> None:
    gone = task(ADOPTS | {"paused": True, "pausePolicy": "Freeze"}, FROZEN | {"observedGeneration": 0})
    assert decide(replace(gone, gone=True), seen(COLD), at(20), limits=ASKS).effects == (Thaw(),)
    assert decide(replace(gone, gone=True), seen(), at(20), limits=ASKS).effects == ()


# Another policy


def test_a_pause_that_comes_to_no_end_can_be_made_one_that_ends_it() -> None:
    decision = decided(FREEZE_SPEC | {"pausePolicy": "Terminate"}, PAUSING, seen(HELD))

    (halt,) = decision.effects
    assert isinstance(halt, Terminate)
    assert (halt.pause, decision.status.reason) == (True, "Pausing")


def test_what_is_frozen_already_stays_so_whatever_the_policy_says_since() -> None:
    status = decided(FREEZE_SPEC | {"pausePolicy": "Terminate"}, FROZEN, seen(COLD)).status
    again = decided(FREEZE_SPEC | {"pausePolicy": "Terminate"}, FROZEN | {"phase": "Pausing"}, seen(HELD))

    assert (status.phase, status.reason) == (Phase.PAUSED, "Frozen")
    assert again.effects == (Freeze(),)


def test_a_pause_that_ends_it_comes_to_its_end_first() -> None:
    (halt,) = decided(FREEZE_SPEC, PAUSING, seen(halted=True, signaled_at=at(19))).effects

    assert isinstance(halt, Terminate)


def test_what_somebody_else_ends_is_frozen_all_the_same() -> None:
    assert decided(FREEZE_SPEC, RUNNING, seen(halted=True)).effects == (Freeze(),)
    assert decided(FREEZE_SPEC, PAUSING, seen(HELD, halted=True)).effects == (Freeze(),)
    assert decided(FREEZE_SPEC, FROZEN, seen(COLD, halted=True)).status.phase is Phase.PAUSED


# How it may end


def test_what_is_gone_is_paused_without_being_frozen_and_starts_anew() -> None:
    vanished = Ending(False, Reason("WorkloadLost", "gone"), None)
    gone = seen(active=False, live=False, halted=True, proof=Proof.ENDED, ending=vanished)
    paused = decided(FREEZE_SPEC, FROZEN, gone).status
    back = decided(RUNS_SPEC, FROZEN, gone)

    assert (paused.phase, paused.reason, paused.pause_policy, paused.paused_at) == (
        Phase.PAUSED,
        "Paused",
        None,
        at(10),
    )
    assert (back.effects, back.status.pause_policy) == ((Start(),), None)
    assert decided(RUNS_SPEC, back.status.wire(), seen()).status.attempts == 2


@pytest.mark.parametrize(("succeeded", "phase"), [(True, Phase.COMPLETED), (False, Phase.FAILED)])
def test_what_ends_while_it_is_frozen_has_ended(succeeded: bool, phase: Phase) -> None:
    ending = Ending(succeeded, Reason("OOMKilled", "it was"), at(15))
    status = decided(FREEZE_SPEC, FROZEN, seen(active=False, live=False, proof=Proof.ENDED, ending=ending), 30).status

    assert (status.phase, status.attempts, status.paused_seconds) == (phase, 1, 20)


@pytest.mark.parametrize("status", [PAUSING, FROZEN])
@pytest.mark.parametrize(
    ("spec", "source"),
    [
        (FREEZE_SPEC | {"stopRequested": True}, StopSource.USER),
        (RUNS_SPEC | {"stopRequested": True}, StopSource.USER),
    ],
)
def test_a_stop_wins(status: Raw, spec: Raw, source: StopSource) -> None:
    decision = decided(spec, status, seen(COLD))

    (halt,) = decision.effects
    assert isinstance(halt, Terminate)
    assert not halt.pause
    assert decision.status.stop is not None
    assert (decision.status.phase, decision.status.stop.source) == (Phase.STOPPING, source)
    assert decision.status.pause_policy is None


def test_its_deadline_does_not_strike_while_it_is_frozen() -> None:
    limited = {"activeDeadlineSeconds": 15}

    assert decided(FREEZE_SPEC | limited, FROZEN, seen(COLD), 1000).status.phase is Phase.PAUSED
    assert decided(FREEZE_SPEC | limited, PAUSING, seen(HELD), 1000).status.phase is Phase.STOPPING
    assert decided(RUNS_SPEC | limited, FROZEN | {"phase": "Running"}, seen(), 14).status.phase is Phase.RUNNING


# What people are told


def test_each_step_is_told_once() -> None:
    steps = [
        decided(FREEZE_SPEC, RUNNING, seen()),
        decided(FREEZE_SPEC, PAUSING, seen(COLD)),
        decided(FREEZE_SPEC, FROZEN, seen(COLD)),
        decided(FREEZE_SPEC, FROZEN, seen(HELD)),
        decided(RUNS_SPEC, FROZEN, seen(COLD)),
        decided(RUNS_SPEC, FROZEN, seen()),
    ]

    assert [[note.reason for note in each.notes] for each in steps] == [
        ["Freezing"],
        ["Frozen"],
        [],
        ["Freezing"],
        [],
        ["Running"],
    ]
    same = steps[0].status
    assert notes_between(same, same) == ()
