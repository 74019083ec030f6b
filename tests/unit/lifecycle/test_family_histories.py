"""Random histories of families of tasks; the rules are in `world/rules_families.py`."""

import pytest

from .world.families import FamilyActors
from .world.walks import walks

GROUPS = 10


@pytest.mark.parametrize("group", range(GROUPS))
def test_walks(group: int) -> None:
    walks(FamilyActors, group, GROUPS, most=120)
