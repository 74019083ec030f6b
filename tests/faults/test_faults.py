"""A fixed part of `make faults`: stops of pods, with faults that a write can meet at the one that ends the pod."""

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

OTHERS = ("budget", "unschedulable")
"""Scenarios with less of it: a stop that nobody asks for, and one of a pod without a node."""

UNOBSERVED = (Fault.DROPPED, Fault.MERGED)
DOUBTFUL = (Fault.CONFLICT, Fault.LOST)

PLAYED = 1 + len(FAULTS[Kind.ERRORS]) + len(FAULTS[Kind.INTERMEDIATE]) + len(UNOBSERVED)
PLAYED_BESIDE = len(OTHERS) * (1 + len(DOUBTFUL))
"""Each has a namespace of its own."""


@pytest.fixture
async def lane(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Lane]:
    """Where scenarios are played: beside the others on a playground of the run, or on one of its own."""
    run = run_of(request.config)
    context = clusters.playground(tmp_path) if run is None else shared.attached(run, "playground", served=False)
    namespaces = [f"t-{secrets.token_hex(4)}" for _ in range(PLAYED + PLAYED_BESIDE)]
    async with context as cluster, Lane.on(cluster, namespaces) as lane:
        yield lane


def ending(run: Run) -> int:
    """Return the number of the write that ends the pod: without it, no run comes to its end."""
    verbs = {"PATCH", "DELETE"}
    found = [each.number for each in run.traffic.writes if each.verb in verbs and each.target.resource == "pods"]
    assert len(found) == 1, f"one write ends the pod: {run.traffic.writes}"
    return found[0]


def proving(run: Run) -> int:
    """Return the number of the first event that says that the pod has ended: without it, no task is Stopped."""
    events = run.traffic.events["pods"]
    return next(
        number for number, each in enumerate(events, 1) if each.item["status"].get("phase") in {"Succeeded", "Failed"}
    )


async def test_one_thing_breaks_at_a_time_and_nothing_comes_of_it(lane: Lane) -> None:
    learned, *others = await asyncio.gather(*(lane.learn(name) for name in (SCENARIO, *OTHERS)))
    assert [(run.scenario, run.problems) for run in (learned, *others) if run.problems] == []
    beside = [(learned, Point(ending(learned), fault)) for fault in FAULTS[Kind.ERRORS]]
    beside += [(learned, Point(proving(learned), fault, "pods")) for fault in UNOBSERVED]
    beside += [(run, Point(ending(run), fault)) for run in others for fault in DOUBTFUL]
    runs = await asyncio.gather(*(lane.play(run, point) for run, point in beside))
    for fault in FAULTS[Kind.INTERMEDIATE]:
        runs.append(await lane.play(learned, Point(ending(learned), fault)))
    assert [(run.scenario, str(run.point), run.problems) for run in runs if run.problems] == []
    assert [(run.scenario, str(run.point), run.traffic.writes) for run in runs if run.missed] == []
