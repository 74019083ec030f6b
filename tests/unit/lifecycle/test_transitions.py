"""The table of transitions, and its copy in the documentation."""

from pathlib import Path

import pytest

from agentstop.api.task import TERMINAL_PHASES, Phase
from agentstop.lifecycle.transitions import EDGES, ForbiddenTransitionError, check, table

DOCUMENT = Path(__file__).parents[3] / "docs" / "lifecycle.md"


def test_the_documentation_has_exactly_this_table() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")

    assert text.split("<!-- transitions -->")[1].split("<!-- /transitions -->")[0].strip() == table()


def test_every_phase_has_its_row_and_terminal_ones_lead_nowhere() -> None:
    assert set(EDGES) == set(Phase)
    assert {phase for phase, edges in EDGES.items() if not edges} == TERMINAL_PHASES


def test_after_acceptance_only_stopped_follows() -> None:
    assert set(EDGES[Phase.STOPPING]) == {Phase.STOPPED}


@pytest.mark.parametrize("phase", list(Phase))
def test_staying_is_always_allowed(phase: Phase) -> None:
    check(phase, phase)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Phase.STOPPED, Phase.RUNNING),
        (Phase.COMPLETED, Phase.STOPPED),
        (Phase.STOPPING, Phase.COMPLETED),
        (Phase.RUNNING, Phase.PENDING),
    ],
)
def test_other_edges_are_refused(before: Phase, after: Phase) -> None:
    with pytest.raises(ForbiddenTransitionError, match=f"from {before} to {after}"):
        check(before, after)
