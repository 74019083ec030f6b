"""Random histories of an adopted Job; the rules are in `world/rules_jobs.py`."""

import pytest

from .world.job_actors import JobActors
from .world.walks import walk, walks

GROUPS = 10

FOUND = [
    325175971,
    3894458138,
    138703604,
    2972917778,
    2010562329,
    1121882481,
    2043946862,
    2667398715,
    1487247975,
    419290692,
    321213502,
    3624970966,
    2800060725,
    3920046654,
    232770401,
]
"""Seeds that once broke a rule; what each of them found is tested by itself, or said in the rule."""


@pytest.mark.parametrize("group", range(GROUPS))
def test_walks(group: int) -> None:
    walks(JobActors, group, GROUPS, most=40)


def test_a_job_whose_pods_end_in_their_start_hooks_comes_back_from_a_pause() -> None:
    walk(JobActors, 201)


@pytest.mark.parametrize("seed", FOUND)
def test_what_was_found_stays_mended(seed: int) -> None:
    walk(JobActors, seed)
