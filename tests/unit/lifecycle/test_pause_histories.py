"""Random histories of tasks that are paused and resumed; the rules are in `world/rules_pausing.py`."""

import pytest

from .world.pausers import PausingActors
from .world.walks import walks

GROUPS = 10


@pytest.mark.parametrize("group", range(GROUPS))
def test_walks(group: int) -> None:
    walks(PausingActors, group, GROUPS, most=100)
