"""The Job path: a stop of the task that stands for a Job, beside the plain patch that suspends one."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.contenders import Contender
from benchmarks.idle import prepare, take_turns
from benchmarks.marks import Stage as Mark
from benchmarks.marks import TooSlowError
from benchmarks.operator_process import operator
from benchmarks.results import ByContender, JobPath, Latencies
from benchmarks.stage import Stage

STAGES: Final = (Mark.EFFECT, Mark.GONE, Mark.END)

BATCH: Final = 10
"""So many Jobs of each run at once: their pods find room on a single node."""

SETTLE_SECONDS: Final = 6.0
"""The pods of a Job that was started only just now are watched for longer after a stop."""

TERMINATION_SECONDS: Final = 0.4
"""How long the containers of a simulated node take to end: as long as those of a kubelet took that end when asked."""

WARM_UP: Final = 2
"""Stops of each contender before those that count."""


async def job_path(
    place: Stage, contenders: Sequence[Contender], count: int, nodes: str, log: Path, say: Callable[[str], None]
) -> JobPath:
    """Measure `count` stops of each contender; `nodes` says who runs the pods."""
    await place.watch()
    place.kubelet.termination_seconds = TERMINATION_SECONDS
    found: list[defaultdict[str, list[float]]] = [defaultdict(list) for _ in STAGES]
    async with operator(place.namespace, log):
        await _stop(place, contenders, "w", WARM_UP, nodes)
        for first in range(0, count, BATCH):
            say(f"jobs: {first} of {count} stops measured for each of {' and '.join(each.name for each in contenders)}")
            measured = await _stop(place, contenders, f"{first}x", min(BATCH, count - first), nodes)
            for all_seconds, some in zip(found, measured, strict=True):
                for name, latencies in some.items():
                    all_seconds[name] += latencies.seconds
    effect, gone, end = ({name: Latencies(each) for name, each in one.items()} for one in found)
    return JobPath(nodes, effect, gone, end)


async def _stop(
    place: Stage, contenders: Sequence[Contender], prefix: str, count: int, nodes: str
) -> tuple[ByContender, ...]:
    try:
        names = await prepare(place, contenders, prefix, count)
    except TooSlowError as error:
        raise TooSlowError(f"{error}; its pods should be run by {nodes}: see their status, and --image") from error
    await asyncio.sleep(SETTLE_SECONDS)
    return await take_turns(place, contenders, names, STAGES)
