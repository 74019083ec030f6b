"""An agent writes whatever it can while everybody else stops theirs; `make hostile` goes on with other seeds."""

from pathlib import Path

import pytest

from tests.hostile import place
from tests.hostile.actions import Attacker
from tests.hostile.battle import Battle
from tests.support.clusters import Cluster
from tests.support.operators import Operators

SECONDS = 5.0
"""So long it fights."""

SEED = 2

pytestmark = pytest.mark.xdist_group("hostile")


async def test_others_are_stopped_while_an_agent_fights_back(
    cluster: Cluster, operators: Operators, tmp_path: Path
) -> None:
    async with place.attacker(cluster) as (kube, namespace):
        battle = Battle(cluster, operators, kube, namespace, SEED, log=tmp_path / f"{SEED}.log")
        await battle.fight(SECONDS)
        await battle.end()


def test_an_action_is_the_same_when_it_is_done_again() -> None:
    first, second = (Attacker("x", 7) for _ in range(2))
    numbers = range(60)
    assert [first.action(number).words for number in numbers] == [
        second.action(number).words for number in reversed(numbers)
    ][::-1]
    assert len({first.action(number).words for number in numbers}) > len(numbers) / 2
