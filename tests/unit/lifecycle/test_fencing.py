"""Whose tokens write nothing any more: by the phase, by what the task says, and by which of its pods are there."""

import pytest

from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.observation import KeptPod, Observation, Presence
from tests.unit.objects import NOW, Raw, at, task, when

POD = KeptPod("x", "pod-uid", "default", None, None)
RUNS = Observation(presence=Presence.PRESENT, started_at=NOW, active=True, own_grace_seconds=30, kept=(POD,))
ACCEPTED: Raw = {"source": "User", "acceptedAt": when(0), "signaledAt": when(0), "killAt": when(30)}
OVER: Raw = {**ACCEPTED, "confirmedAt": when(5), "verdict": "Graceful"}


def fenced(how: str | None, stop: Raw | None, seen: Observation = RUNS, now: float = 1) -> set[str] | None:
    spec: Raw = {"podTemplate": {}, **({"stop": {"fence": how}} if how else {})}
    phase = "Running" if stop is None else "Stopped" if "confirmedAt" in stop else "Stopping"
    status: Raw = {"phase": phase, "attempts": 1, **({"stop": stop} if stop else {})}
    found = decide(task({**spec, "stopRequested": stop is not None}, status), seen, at(now)).fenced
    return None if found is None else set(found)


@pytest.mark.parametrize(
    ("how", "stop", "now", "expected"),
    [
        (None, None, 1, set()),
        (None, ACCEPTED, 1, {"pod-uid"}),
        ("AtRequest", ACCEPTED, 1, {"pod-uid"}),
        ("AfterGrace", ACCEPTED, 29, set()),
        ("AfterGrace", ACCEPTED, 30, {"pod-uid"}),
        ("AfterGrace", OVER, 6, {"pod-uid"}),
        ("Never", ACCEPTED, 1, set()),
        ("Never", OVER, 90, set()),
        (None, OVER, 90, {"pod-uid"}),
    ],
)
def test_from_when_on_a_pod_is_fenced(how: str | None, stop: Raw | None, now: float, expected: set[str]) -> None:
    assert fenced(how, stop, now=now) == expected


def test_a_stop_that_is_just_accepted_fences_in_the_same_pass() -> None:
    asked = task({"podTemplate": {}, "stopRequested": True}, {"phase": "Running", "attempts": 1})
    assert decide(asked, RUNS, NOW).fenced == frozenset({"pod-uid"})


def test_a_pod_that_is_gone_needs_no_fence_and_one_that_was_not_looked_at_keeps_its_own() -> None:
    assert fenced(None, OVER, Observation(presence=Presence.PRESENT, kept=())) == set()
    unseen, left = Observation(presence=Presence.UNKNOWN), {"kind": "Pod", "name": "x", "endedBy": "its deletion"}
    assert fenced(None, {**OVER, "remains": [left]}, unseen) is None
    assert fenced(None, ACCEPTED, unseen) is None
    assert fenced(None, OVER, unseen) == set(), "by the record nothing is left"
