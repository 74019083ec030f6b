"""Stops one at a time, taking turns, so that noise hits all contenders alike."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.contenders import Contender
from benchmarks.marks import Stage as Mark
from benchmarks.operator_process import operator
from benchmarks.results import ByContender, Idle, Latencies
from benchmarks.stage import Stage, for_all

PREPARE_SECONDS: Final = 300.0
STOP_SECONDS: Final = 30.0
QUIET_SECONDS: Final = 0.2
"""Quiet time after a stop, so that the next one finds everything idle; a random bit more is added to it.

What follows a stop is over by then: Events, and the collection of the garbage that a few hundred requests leave in an
API server, which takes the better part of a second where it holds 12,000 tasks. Stops in close succession would meet
that far more often than one that comes out of the blue.
"""

WARM_UP: Final = 5
"""Stops of each contender before those that count."""

EFFECT_AND_END: Final = (Mark.EFFECT, Mark.END)

Say = Callable[[str], None]


async def prepare(place: Stage, contenders: Sequence[Contender], prefix: str, count: int) -> dict[str, list[str]]:
    """Create so many workloads of each contender, wait until all run, and return their names by contender."""
    names = {each.name: each.names(prefix, count) for each in contenders}
    for each in contenders:

        async def create(name: str, contender: Contender = each) -> None:
            await contender.create(place.api, place.namespace, name)

        await for_all(names[each.name], create)
        await place.marks.wait_all(names[each.name], Mark.RUNNING, PREPARE_SECONDS)
    return names


async def take_turns(
    place: Stage,
    contenders: Sequence[Contender],
    names: dict[str, list[str]],
    stages: Sequence[Mark] = EFFECT_AND_END,
    quiet: float = QUIET_SECONDS,
) -> tuple[ByContender, ...]:
    """Stop the named workloads one at a time, with `quiet` seconds in between; return the seconds to each stage."""
    seconds: list[defaultdict[str, list[float]]] = [defaultdict(list) for _ in stages]
    for number in range(min(map(len, names.values()))):
        for contender in random.sample(contenders, len(contenders)):
            name = names[contender.name][number]
            started = time.perf_counter()
            await contender.patch(place.api, place.namespace, name)
            for stage, found in zip(stages, seconds, strict=True):
                found[contender.name].append(await place.marks.wait(name, stage, STOP_SECONDS) - started)
            await asyncio.sleep(quiet * (1 + random.random()))
    return tuple({name: Latencies(each) for name, each in found.items()} for found in seconds)


async def idle(place: Stage, contenders: Sequence[Contender], count: int, log: Path, say: Say) -> Idle:
    """Measure `count` stops of each contender, with nothing else going on."""
    await place.watch()
    async with operator(place.namespace, log):
        say(f"idle: starting {count} workloads each of {', '.join(each.name for each in contenders)}")
        names = await prepare(place, contenders, "i", count + WARM_UP)
        await asyncio.sleep(2)
        await take_turns(place, contenders, {name: each[:WARM_UP] for name, each in names.items()})
        say(f"idle: stopping them one by one, taking turns ({count * len(contenders)} stops)")
        effect, end = await take_turns(place, contenders, {name: each[WARM_UP:] for name, each in names.items()})
    return Idle(effect, end)
