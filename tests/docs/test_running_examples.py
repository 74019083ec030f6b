"""Every example, run and stopped."""

from collections.abc import Mapping
from typing import Any

import pytest

from . import agents
from .conftest import Place
from .documents import ROOT

OUTCOMES: Mapping[str, Mapping[str, Any]] = {
    "researcher": {"researcher": ("Stopped", "Graceful", [0])},
    "deaf": {"deaf": ("Stopped", "Killed", [137])},
    "quick": {"quick": ("Completed", None, [0])},
    "helper": {"helper": ("Stopped", "Graceful", [0])},
    "talker": {"talker": ("Stopped", "Graceful", [0])},
    "job": {"digest": ("Stopped", "Graceful", [0, 0, 0])},
    "deployment": {"assistant": ("Stopped", "Graceful", [0, 0])},
    "sandbox": {"coder": ("Stopped", "Graceful", [0])},
    "claim": {"analyst": ("Stopped", "Graceful", [0])},
    "crawlers": {f"crawler-{number}": ("Stopped", "Graceful", [0]) for number in (1, 2, 3)},
    "family": {name: ("Stopped", "Graceful", [0]) for name in ("planner", "reader", "writer")},
}
"""Phase, verdict and exit codes of each manifest's tasks, after those without a parent were stopped."""

ORDERS = ("look-first",)
"""What has no task of its own. The demo plays it."""


def test_every_example_is_tried() -> None:
    assert sorted([*OUTCOMES, *ORDERS]) == sorted(path.stem for path in (ROOT / "examples").glob("*.yaml"))


@pytest.mark.parametrize("name", OUTCOMES)
async def test_it_ends_as_it_should(name: str, place: Place) -> None:
    objects = await agents.run(place, name)
    if name == "quick":
        await agents.ended(place, name)
    await agents.stop(place, objects)
    statuses = {task: await agents.ended(place, task) for task in OUTCOMES[name]}
    outcomes = {
        task: (status["phase"], status.get("stop", {}).get("verdict"), agents.exit_codes(status))
        for task, status in statuses.items()
    }
    assert outcomes == OUTCOMES[name]
