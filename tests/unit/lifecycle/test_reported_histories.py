"""Random histories of cases that people reported: the rules of `world/rules_reported.py`, and all others."""

import pytest

from .world.reported_jobs import JOBS
from .world.reported_pods import PODS
from .world.scripted import Scripted
from .world.walks import walks


@pytest.mark.parametrize("case", [*PODS, *JOBS])
def test_walks(case: type[Scripted]) -> None:
    walks(case, 0, 1, most=case.most)
