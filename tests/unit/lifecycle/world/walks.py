"""Walks through the world: histories evenly spread, where hypothesis looks for short ones."""

import os
import random
import secrets
from collections.abc import Callable

from .actors import Actors, Choose
from .world import World

FACTOR = float(os.environ.get("AGENTSTOP_TEST_WALKS", "1"))
"""How many times as many histories are walked as usual; more find more."""

FRESH = 2**32
"""Below this are the seeds that are drawn anew in each run."""

People = Callable[[World, Choose], Actors]


def walk(people: People, seed: int) -> None:
    """Walk one history; the same seed is the same history."""
    actors = people(World(), random.Random(seed).choice)  # noqa: S311
    actors.begin()
    actors.world.check()
    for _ in range(actors.steps):
        actors.act()
        actors.world.check()
    actors.end()


def walks(people: People, group: int, groups: int, most: int) -> None:
    """Walk one group of histories, and one that nobody has walked yet. To see one of them: walk(PEOPLE, SEED)."""
    for seed in (*range(group, int(most * FACTOR), groups), secrets.randbelow(FRESH)):
        try:
            walk(people, seed)
        except AssertionError as error:
            error.add_note(f"in the history of seed {seed}")
            raise
