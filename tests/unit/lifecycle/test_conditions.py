"""Conditions, read the way kstatus and `kubectl wait` read them."""

import pytest

from agentstop.api.meta import Condition
from agentstop.api.task import Phase
from agentstop.lifecycle.conditions import conditions
from agentstop.lifecycle.observation import Reason
from tests.unit.objects import at

WORD = Reason("Why", "because")
BLOCK = Reason("NodeUnreachable", "the node does not answer")


def statuses(found: tuple[Condition, ...]) -> dict[str, str]:
    return {each.type: each.status for each in found}


def kstatus(found: dict[str, str]) -> str:
    """What kstatus makes of conditions; its documentation gives this order."""
    if found.get("Reconciling") == "True":
        return "InProgress"
    if found.get("Stalled") == "True":
        return "Failed"
    return "Current" if found["Ready"] == "True" else "InProgress"


@pytest.mark.parametrize(
    ("phase", "stalled", "reads", "stopped"),
    [
        (Phase.PENDING, None, "InProgress", None),
        (Phase.PENDING, BLOCK, "Failed", None),
        (Phase.RUNNING, None, "Current", None),
        (Phase.RUNNING, BLOCK, "Failed", None),
        (Phase.STOPPING, None, "InProgress", "False"),
        (Phase.STOPPING, BLOCK, "Failed", "False"),
        (Phase.STOPPED, None, "Current", "True"),
        (Phase.COMPLETED, None, "Current", None),
        (Phase.FAILED, None, "Failed", None),
    ],
)
def test_every_phase_reads_as_what_it_is(phase: Phase, stalled: Reason | None, reads: str, stopped: str | None) -> None:
    found = statuses(conditions(phase, WORD, stalled, (), at(0)))

    assert kstatus(found) == reads
    assert found.get("Stopped") == stopped


def test_what_holds_it_up_is_named() -> None:
    found = {each.type: each for each in conditions(Phase.STOPPING, WORD, BLOCK, (), at(0))}

    assert (found["Stalled"].reason, found["Stalled"].message) == ("NodeUnreachable", "the node does not answer")
    assert found["Ready"].reason == "NodeUnreachable"
    assert found["Reconciling"].reason == "Why"


def test_a_condition_keeps_its_time_for_as_long_as_its_status_is_the_same() -> None:
    pending = conditions(Phase.PENDING, WORD, None, (), at(0))
    still = conditions(Phase.PENDING, Reason("Other", ""), None, pending, at(5))
    runs = conditions(Phase.RUNNING, WORD, None, still, at(9))

    since = {each.type: each.last_transition_time for each in runs}
    assert {each.last_transition_time for each in still} == {at(0)}
    assert since == {"Ready": at(9), "Reconciling": at(9), "Stalled": at(0)}
