"""Random histories of tasks that are frozen and go on; the rules are in `world/rules_freezing.py`."""

import pytest

from .world.freezers import FreezingActors, FreezingJobActors, OrderingActors, OrderingJobActors
from .world.walks import walk, walks

GROUPS = 10

FOUND = [78, 102, 189, 194, 205, 311, 790, 2331, 2463]
FOUND_WITH_A_JOB = [170, 1257]
FOUND_WITH_A_JOB_UNDER_ORDERS = [1036, 1509, 1514, 1524]
"""Seeds that once broke a rule; what each of them found is tested by itself."""


@pytest.mark.parametrize("group", range(GROUPS))
def test_walks(group: int) -> None:
    walks(FreezingActors, group, GROUPS, most=100)


@pytest.mark.parametrize("group", range(GROUPS))
def test_walks_with_a_job(group: int) -> None:
    walks(FreezingJobActors, group, GROUPS, most=60)


@pytest.mark.parametrize("seed", FOUND)
def test_what_was_found_stays_mended(seed: int) -> None:
    walk(FreezingActors, seed)


@pytest.mark.parametrize("seed", FOUND_WITH_A_JOB)
def test_what_was_found_with_a_job_stays_mended(seed: int) -> None:
    walk(FreezingJobActors, seed)


@pytest.mark.parametrize("group", range(GROUPS))
def test_walks_under_orders(group: int) -> None:
    walks(OrderingActors, group, GROUPS, most=200)


@pytest.mark.parametrize("group", range(GROUPS))
def test_walks_with_a_job_under_orders(group: int) -> None:
    walks(OrderingJobActors, group, GROUPS, most=100)


@pytest.mark.parametrize("seed", FOUND_WITH_A_JOB_UNDER_ORDERS)
def test_what_was_found_with_a_job_under_orders_stays_mended(seed: int) -> None:
    walk(OrderingJobActors, seed)
