"""Random histories of tasks that are paused and resumed; the rules are in `world/rules_pausing.py`."""

import pytest

from .world.pausers import PausingActors
from .world.walks import walk, walks

GROUPS = 10

FOUND = [2873597051, 2033930441, 3456988169, 324681216, 3316715454]
"""Seeds that once broke a rule; what each of them found is tested by itself."""


@pytest.mark.parametrize("group", range(GROUPS))
def test_walks(group: int) -> None:
    walks(PausingActors, group, GROUPS, most=50)


@pytest.mark.parametrize("seed", FOUND)
def test_what_was_found_stays_mended(seed: int) -> None:
    walk(PausingActors, seed)
