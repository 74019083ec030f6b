"""Random histories of tasks that spend, of their budgets and pauses; the rules are in `world/rules_budgets.py`."""

import pytest

from .world.spenders import SpendingActors
from .world.walks import walks

GROUPS = 10


@pytest.mark.parametrize("group", range(GROUPS))
def test_walks(group: int) -> None:
    walks(SpendingActors, group, GROUPS, most=100)
