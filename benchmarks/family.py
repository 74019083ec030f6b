"""Families of tasks: one patch on the root, beside a patch on every one of as many tasks without relatives."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.support.kube import Object

from benchmarks.contenders import FAMILY, SINGLY, Contender, task_manifest, tasks_path
from benchmarks.marks import Stage as Mark
from benchmarks.operator_process import operator
from benchmarks.results import Family, Latencies
from benchmarks.stage import Stage, for_all

CHILDREN: Final = 10
GRANDCHILDREN: Final = 100
SIZE: Final = 1 + CHILDREN + GRANDCHILDREN

PREPARE_SECONDS: Final = 300.0
STOP_SECONDS: Final = 120.0
SETTLE_SECONDS: Final = 2.0


async def family(place: Stage, rounds: int, log: Path, say: Callable[[str], None]) -> Family:
    """Measure so many stops of each, taking turns."""
    await place.watch()
    effects: defaultdict[str, list[float]] = defaultdict(list)
    ends: defaultdict[str, list[float]] = defaultdict(list)
    async with operator(place.namespace, log):
        await _stop(place, FAMILY, "warm")
        for number in range(rounds):
            say(f"family: round {number + 1} of {rounds}, {SIZE} tasks each")
            for contender in random.sample((FAMILY, SINGLY), 2):
                effect, end = await _stop(place, contender, f"{number}x")
                effects[contender.name].append(effect)
                ends[contender.name].append(end)
    return Family(
        SIZE,
        {name: Latencies(seconds) for name, seconds in effects.items()},
        {name: Latencies(seconds) for name, seconds in ends.items()},
    )


async def _stop(place: Stage, contender: Contender, prefix: str) -> tuple[float, float]:
    """Start as many tasks as a family has, stop them, and return the seconds to the last effect and to the end."""
    names = contender.names(prefix, SIZE)
    parents = dict(zip(names[1:], [names[0]] * CHILDREN + names[1 : 1 + CHILDREN] * CHILDREN, strict=True))

    async def create(name: str) -> None:
        parent = parents[name] if contender is FAMILY and name in parents else None
        await place.api.call("POST", tasks_path(place.namespace), _manifest(name, parent))

    await for_all(names, create)
    await place.marks.wait_all(names, Mark.RUNNING, PREPARE_SECONDS)
    await asyncio.sleep(SETTLE_SECONDS)
    started = time.perf_counter()
    patched = names[:1] if contender is FAMILY else names
    await for_all(patched, lambda name: contender.patch(place.api, place.namespace, name))
    effects = await place.marks.wait_all(names, Mark.EFFECT, STOP_SECONDS)
    ends = await place.marks.wait_all(patched, Mark.END, STOP_SECONDS)
    await asyncio.sleep(SETTLE_SECONDS)
    return max(effects) - started, max(ends) - started


def _manifest(name: str, parent: str | None) -> Object:
    manifest = task_manifest(name)
    if parent is not None:
        manifest["spec"]["parentRef"] = {"name": parent}
    return manifest
