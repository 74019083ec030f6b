"""Many stops at once."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.contenders import Contender
from benchmarks.idle import prepare
from benchmarks.marks import Stage as Mark
from benchmarks.operator_process import operator
from benchmarks.results import Latencies, MassStop
from benchmarks.stage import Stage, for_all

TIMEOUT_SECONDS: Final = 600.0
SETTLE_SECONDS: Final = 3.0

TERMINATION_SECONDS: Final = 2.0
"""How long an agent takes here from SIGTERM to its end: long enough to write a checkpoint."""


async def mass_stop(
    place: Stage, contenders: Sequence[Contender], count: int, rounds: int, log: Path, say: Callable[[str], None]
) -> dict[str, MassStop]:
    """Measure how long it takes until `count` stops have had their effect.

    The contenders take turns, `rounds` times over; of each the round with the median throughput is returned.
    """
    await place.watch()
    async with operator(place.namespace, log):
        results = await mass_rounds(place, contenders, count, rounds, say)
    return {name: sorted(each, key=lambda one: one.per_second)[len(each) // 2] for name, each in results.items()}


async def mass_rounds(
    place: Stage, contenders: Sequence[Contender], count: int, rounds: int, say: Callable[[str], None]
) -> dict[str, list[MassStop]]:
    """Stop `count` workloads of each contender at once, so many times over, in turns."""
    place.kubelet.termination_seconds = TERMINATION_SECONDS
    results: defaultdict[str, list[MassStop]] = defaultdict(list)
    for number in range(rounds):
        for contender in random.sample(contenders, len(contenders)):
            say(f"mass stop, round {number + 1}: starting {count} workloads for {contender.name}")
            names = (await prepare(place, [contender], f"m{number}x", count))[contender.name]
            await asyncio.sleep(SETTLE_SECONDS)
            result = await stop_all(place, contender, names)
            say(f"mass stop, round {number + 1}: {result.per_second:.0f} per second with {contender.name}")
            results[contender.name].append(result)
            await asyncio.sleep(SETTLE_SECONDS)
    return {each.name: results[each.name] for each in contenders}


async def stop_all(place: Stage, contender: Contender, names: list[str]) -> MassStop:
    """Stop all of them at once, and return how long that took."""
    sent: dict[str, float] = {}

    async def stop(name: str) -> None:
        sent[name] = time.perf_counter()
        await contender.patch(place.api, place.namespace, name)

    started = time.perf_counter()
    await for_all(names, stop)
    effects = await place.marks.wait_all(names, Mark.EFFECT, TIMEOUT_SECONDS)
    ends = await place.marks.wait_all(names, Mark.END, TIMEOUT_SECONDS)
    return MassStop(
        count=len(names),
        seconds=max(effects) - started,
        effect=Latencies([at - sent[name] for name, at in zip(names, effects, strict=True)]),
        end_seconds=max(ends) - started,
    )
