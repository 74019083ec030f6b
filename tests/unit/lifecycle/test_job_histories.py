"""Random histories of an adopted Job; the rules are in `world/rules_jobs.py`."""

import pytest

from .world.job_actors import JobActors
from .world.walks import walks

GROUPS = 10


@pytest.mark.parametrize("group", range(GROUPS))
def test_walks(group: int) -> None:
    walks(JobActors, group, GROUPS, most=80)
