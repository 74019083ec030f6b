"""Random histories: whatever happens, the rules of the design's section 4 hold.

The world is in `world/`: real decisions, caches and loop of the operator over a model of an API server, a node and
people. The rules are in `world/rules.py`, and what comes to its end at last is in `Actors.end`.
"""

import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from .world.actors import STEPS, Actors
from .world.walks import walk, walks
from .world.world import World

GROUPS = 20

FOUND = [932909883, 3441246826, 3277534848, 958371390, 279274562, 3771625641, 2593337553, 1149041565]
"""Seeds that once broke a rule; what each of them found is tested by itself."""


class Histories(RuleBasedStateMachine):
    """Histories that hypothesis makes, and cuts down to the shortest one that breaks a rule."""

    def __init__(self) -> None:
        super().__init__()
        self.actors = Actors(World(), random.choice)

    def choose_with(self, data: st.DataObject) -> None:
        self.actors.choose = lambda options: data.draw(st.sampled_from(options))

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.choose_with(data)
        self.actors.begin()

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        self.choose_with(data)
        self.actors.act()

    @invariant()
    def the_rules_hold(self) -> None:
        self.actors.world.check()

    def teardown(self) -> None:
        self.actors.end()


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=20,
    stateful_step_count=STEPS,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("group", range(GROUPS))
def test_walks(group: int) -> None:
    walks(Actors, group, GROUPS, most=150)


@pytest.mark.parametrize("seed", FOUND)
def test_what_was_found_stays_mended(seed: int) -> None:
    walk(Actors, seed)
