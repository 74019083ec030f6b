"""Walks through the world: histories evenly spread, where hypothesis looks for short ones."""

import random
from collections.abc import Callable

from .actors import Actors, Choose
from .world import World

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
    """Walk one group of histories, the same in each run; `make histories` walks new ones."""
    for seed in range(group, most, groups):
        try:
            walk(people, seed)
        except AssertionError as error:
            error.add_note(f"in the history of seed {seed}")
            raise
