"""Random histories of cases that people reported: the rules of `world/rules_reported.py`, and all others."""

import pytest

from .world.reported_jobs import JOBS
from .world.reported_pods import PODS, DeletedNode
from .world.scripted import Scripted
from .world.walks import walk, walks

FOUND = [(DeletedNode, 1832553580), (DeletedNode, 2814270973)]
"""Histories that broke a rule once."""


@pytest.mark.parametrize("case", [*PODS, *JOBS])
def test_walks(case: type[Scripted]) -> None:
    walks(case, 0, 1, most=case.most)


@pytest.mark.parametrize(("case", "seed"), FOUND)
def test_what_was_found(case: type[Scripted], seed: int) -> None:
    walk(case, seed)
