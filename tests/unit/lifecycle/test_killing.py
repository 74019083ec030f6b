"""When SIGKILL comes by the record of a stop, and whether its node had not answered before."""

from datetime import timedelta
from typing import Any

import pytest

from agentstop.lifecycle.conditions import was_unreachable
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.observation import Observation, Presence, Reason
from tests.unit.objects import Raw, at, task, when

GRACE = 30.0
STOPPING: Raw = {
    "phase": "Stopping",
    "startedAt": when(0),
    "stop": {"source": "User", "acceptedAt": when(0), "signaledAt": when(0), "killAt": when(GRACE)},
}
PAUSING: Raw = {"phase": "Pausing", "attempts": 1, "observedGeneration": 1, "startedAt": when(0)}
UNREACHABLE: Raw = {"type": "Stalled", "status": "True", "reason": "NodeUnreachable", "lastTransitionTime": when(1)}
BUSY: Raw = UNREACHABLE | {"reason": "KubeletBusy"}
JUST_NOW: Raw = UNREACHABLE | {"lastTransitionTime": when(19)}


def seen(**more: Any) -> Observation:
    return Observation(presence=Presence.PRESENT, started_at=at(0), halted=True, signaled_at=at(0), **more)


@pytest.mark.parametrize(
    ("said", "kill_at"),
    [(30, 30), (29, 30), (28, 29), (31, 30), (27, 27), (60, 60)],
    ids=["the same", "cut off", "cut off, and we were told late", "its clock is ahead", "much earlier", "much later"],
)
def test_a_moment_that_the_cluster_cut_off_to_the_second_is_no_other_one(said: float, kill_at: float) -> None:
    """It comes up to a second later than the cluster says, and never earlier."""
    record = decide(
        task({"podTemplate": {}, "stopRequested": True}, STOPPING), seen(killed_by=at(said)), at(2)
    ).status.stop

    assert record is not None
    assert record.kill_at == at(kill_at)


@pytest.mark.parametrize(
    ("conditions", "now", "expected"),
    [([], 20, False), ([UNREACHABLE], 20, True), ([JUST_NOW], 20, False), ([BUSY], 20, False)],
    ids=["nothing", "for long", "just now", "held up by something else"],
)
def test_whether_a_node_had_not_answered_before_is_told_by_what_held_the_task_up(
    conditions: list[Raw], now: float, expected: bool
) -> None:
    for phase in (STOPPING, PAUSING, {"phase": "Running"}):
        assert was_unreachable(task(None, phase | {"conditions": conditions}), at(now)) is expected


@pytest.mark.parametrize("signaled", [True, False])
def test_what_a_kubelet_does_first_is_what_a_stop_waits_for(signaled: bool) -> None:
    busy = Reason("KubeletBusy", "it runs the start hook")
    what = Observation(presence=Presence.PRESENT, signaled_at=at(0) if signaled else None, busy=busy)
    asked: Raw = {"phase": "Stopping", "stop": {"source": "User", "acceptedAt": when(0)}}
    status = decide(task({"podTemplate": {}, "stopRequested": True}, asked), what, at(2)).status
    (waits,) = [each for each in status.conditions if each.type == "Reconciling"]

    assert (waits.status, waits.reason) == ("True", "KubeletBusy" if signaled else "UserRequested")
    assert status.reason == "UserRequested"


def test_a_task_that_nobody_stopped_is_looked_at_again_when_it_may_be_known_how_it_ended() -> None:
    waits = Observation(presence=Presence.PRESENT, started_at=at(0), look_again_at=at(33))

    assert decide(task(None, {"phase": "Running"}), waits, at(2)).wake_at == at(33)


@pytest.mark.parametrize("said", [None, GRACE])
def test_a_node_that_begins_late_kills_late(said: float | None) -> None:
    """A kubelet looks once a second for pods that are over their deadline."""
    spec: Raw = {"podTemplate": {}, "stopRequested": True}
    what = seen(begins_after=timedelta(seconds=0.5), killed_by=at(said) if said is not None else None)
    record = decide(task(spec, {"phase": "Running", "startedAt": when(0)}), what, at(2)).status.stop

    assert record is not None
    assert record.signaled_at is not None
    assert record.kill_at == (record.signaled_at + timedelta(seconds=GRACE + 0.5) if said is None else at(GRACE + 1.5))
