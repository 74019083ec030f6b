"""When SIGKILL comes by the record of a stop, and what the end of a node proves before that."""

from datetime import timedelta
from typing import Any

import pytest

from agentstop.api.task import Phase, Verdict
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import MARGIN
from agentstop.lifecycle.observation import Observation, Presence, Proof
from tests.unit.objects import Raw, at, task, when

GRACE = 30.0
STOPPING: Raw = {
    "phase": "Stopping",
    "startedAt": when(0),
    "stop": {"source": "User", "acceptedAt": when(0), "signaledAt": when(0), "killAt": when(GRACE)},
}
PAUSING: Raw = {"phase": "Pausing", "attempts": 1, "observedGeneration": 1, "startedAt": when(0)}
UNREACHABLE: Raw = {"type": "Stalled", "status": "True", "reason": "NodeUnreachable", "lastTransitionTime": when(1)}
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


FENCED = seen(proof=Proof.NODE_FENCED)
OVER = GRACE + MARGIN.total_seconds()


@pytest.mark.parametrize(
    ("conditions", "now", "phase"),
    [
        ([], 20, Phase.STOPPING),
        ([], OVER, Phase.STOPPED),
        ([UNREACHABLE], 20, Phase.STOPPED),
        ([JUST_NOW], 20, Phase.STOPPING),
    ],
    ids=["its kubelet may live", "by then it has ended all", "it had not answered for long", "it had not just now"],
)
def test_a_node_that_is_deleted_while_it_lives_proves_nothing_in_the_grace_period(
    conditions: list[Raw], now: float, phase: Phase
) -> None:
    """Its kubelet goes on without a Node object, and ends what was deleted in the time that this was given."""
    spec: Raw = {"podTemplate": {}, "stopRequested": True}
    decision = decide(task(spec, STOPPING | {"conditions": conditions}), FENCED, at(now))

    assert decision.status.phase is phase
    assert decision.status.stop is not None
    assert decision.status.stop.verdict is (Verdict.NODE_FENCED if phase is Phase.STOPPED else None)
    assert phase is Phase.STOPPED or (decision.wake_at is not None and decision.wake_at <= at(OVER))


@pytest.mark.parametrize(
    ("conditions", "now", "phase"),
    [
        ([], 20, Phase.PAUSING),
        ([], OVER, Phase.PAUSED),
        ([UNREACHABLE], 20, Phase.PAUSED),
        ([JUST_NOW], 20, Phase.PAUSING),
    ],
    ids=["its kubelet may live", "by then it has ended all", "it had not answered for long", "it had not just now"],
)
def test_nor_does_it_for_a_pause(conditions: list[Raw], now: float, phase: Phase) -> None:
    spec: Raw = {"podTemplate": {}, "paused": True}

    assert decide(task(spec, PAUSING | {"conditions": conditions}), FENCED, at(now)).status.phase is phase


@pytest.mark.parametrize("said", [None, GRACE])
def test_a_node_that_begins_late_kills_late(said: float | None) -> None:
    """A kubelet looks once a second for pods that are over their deadline."""
    spec: Raw = {"podTemplate": {}, "stopRequested": True}
    what = seen(begins_after=timedelta(seconds=0.5), killed_by=at(said) if said is not None else None)
    record = decide(task(spec, {"phase": "Running", "startedAt": when(0)}), what, at(2)).status.stop

    assert record is not None
    assert record.signaled_at is not None
    assert record.kill_at == (record.signaled_at + timedelta(seconds=GRACE + 0.5) if said is None else at(GRACE + 1.5))
