"""A fixed part of `make faults`: the stop of a pod, with each fault that a write can meet at the one that ends it."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.lane import Lane, Run
from tests.faults.points import FAULTS, Fault, Kind, Point
from tests.support import clusters, shared
from tests.support.run import run_of

SCENARIO = "pod"

UNOBSERVED = (Fault.DROPPED, Fault.MERGED)

PLAYED = 1 + len(FAULTS[Kind.ERRORS]) + len(FAULTS[Kind.INTERMEDIATE]) + len(UNOBSERVED)
"""Each has a namespace of its own."""


@pytest.fixture
async def lane(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Lane]:
    """Where scenarios are played: beside the others on a playground of the run, or on one of its own."""
    run = run_of(request.config)
    context = clusters.playground(tmp_path) if run is None else shared.attached(run, "playground", served=False)
    async with context as cluster, Lane.on(cluster, [f"t-{secrets.token_hex(4)}" for _ in range(PLAYED)]) as lane:
        yield lane


def ending(run: Run) -> int:
    """Return the number of the write that ends the pod."""
    found = [each.number for each in run.traffic.writes if (each.verb, each.target.resource) == ("PATCH", "pods")]
    assert len(found) == 1, f"one write ends the pod: {run.traffic.writes}"
    return found[0]


async def test_one_thing_breaks_at_a_time_and_nothing_comes_of_it(lane: Lane) -> None:
    learned = await lane.play(SCENARIO)
    assert learned.problems == []
    number, last = ending(learned), len(learned.traffic.events["pods"])
    beside = [
        *(Point(number, fault) for fault in FAULTS[Kind.ERRORS]),
        *(Point(last, fault, "pods") for fault in UNOBSERVED),
    ]
    runs = await asyncio.gather(*(lane.play(SCENARIO, point, learned.outcome) for point in beside))
    for fault in FAULTS[Kind.INTERMEDIATE]:
        runs.append(await lane.play(SCENARIO, Point(number, fault), learned.outcome))
    assert [(str(run.point), run.problems) for run in runs if run.problems] == []
    assert all(run.traffic.struck for run in runs)
