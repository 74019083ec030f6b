"""An agent writes whatever it can while everybody else's agents are stopped; `make hostile` goes on for longer."""

import secrets
from pathlib import Path

import pytest

from tests.hostile import place
from tests.hostile.actions import Attacker
from tests.hostile.battle import Battle
from tests.support.clusters import Cluster
from tests.support.operators import Operators

SECONDS = 5.0
"""For each seed."""

FIXED = 2
FRESH = secrets.randbelow(1_000_000)

pytestmark = pytest.mark.xdist_group("hostile")


async def test_others_are_stopped_while_an_agent_fights_back(
    cluster: Cluster, operators: Operators, tmp_path: Path
) -> None:
    async with place.attacker(cluster) as (kube, namespace):
        for seed in (FIXED, FRESH):
            battle = Battle(cluster, operators, kube, namespace, seed, log=tmp_path / f"{seed}.log")
            await battle.fight(SECONDS)
        await battle.end()


def test_an_action_is_the_same_when_it_is_done_again() -> None:
    first, second = (Attacker("x", 7) for _ in range(2))
    numbers = range(60)
    assert [first.action(number).words for number in numbers] == [
        second.action(number).words for number in reversed(numbers)
    ][::-1]
    assert len({first.action(number).words for number in numbers}) > len(numbers) / 2
