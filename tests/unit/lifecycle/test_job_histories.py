"""Random histories of an adopted Job; the rules are in `world/rules_jobs.py`."""

import pytest

from .world.job_actors import JobActors
from .world.walks import walk, walks

GROUPS = 10


@pytest.mark.parametrize("group", range(GROUPS))
def test_walks(group: int) -> None:
    walks(JobActors, group, GROUPS, most=80)


def test_a_job_whose_pods_end_in_their_start_hooks_comes_back_from_a_pause() -> None:
    walk(JobActors, 201)
