"""How long a task is kept that has ended."""

import pytest

from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import Limits
from agentstop.lifecycle.effects import DeleteObject
from agentstop.lifecycle.observation import Observation, Presence
from tests.unit.objects import Raw, at, task, when

STOPPED: Raw = {
    "phase": "Stopped",
    "finishedAt": when(10),
    "stop": {"source": "User", "acceptedAt": when(5), "confirmedAt": when(10), "verdict": "Graceful"},
}
COMPLETED: Raw = {"phase": "Completed", "finishedAt": when(10)}
ABSENT = Observation(presence=Presence.ABSENT)


@pytest.mark.parametrize(
    ("status", "ttl", "least", "due"),
    [
        (STOPPED, 0, 0, 10),
        (STOPPED, 0, 3600, 3610),
        (STOPPED, 7200, 3600, 7210),
        (COMPLETED, 0, 3600, 10),
    ],
)
def test_the_record_of_a_stop_lives_for_a_least_time(status: Raw, ttl: int, least: int, due: int) -> None:
    made = task({"ttlSecondsAfterFinished": ttl}, status)
    early = decide(made, ABSENT, at(due - 1), limits=Limits(min_ttl_seconds=least))
    assert (DeleteObject() in early.afterwards, early.wake_at) == (False, at(due))
    assert DeleteObject() in decide(made, ABSENT, at(due), limits=Limits(min_ttl_seconds=least)).afterwards


def test_a_task_without_a_time_to_live_stays() -> None:
    later = decide(task({}, STOPPED), ABSENT, at(1_000_000), limits=Limits(min_ttl_seconds=3600))
    assert (later.afterwards, later.wake_at) == ((), None)
