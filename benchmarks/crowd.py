"""Single stops that come while an order stops thousands of other tasks."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agentstop.api.meta import API_VERSION
from agentstop.api.order import ORDER_KIND, ORDER_PLURAL
from benchmarks.contenders import BARE, ORDERED, ORDERED_AGENT, OURS
from benchmarks.idle import WARM_UP, prepare, take_turns
from benchmarks.marks import Stage as Mark
from benchmarks.operator_process import operator
from benchmarks.orders import SETTLE_SECONDS, STOP_SECONDS, TERMINATION_SECONDS, check, until_phase
from benchmarks.results import ByContender, Crowd, Latencies
from benchmarks.stage import Stage

MAX_SINGLE: Final = 500
"""So many single stops of each kind are made during the mass stop at most."""

BUSY_PAUSE_SECONDS: Final = 0.03
"""Between single stops during the mass stop, which never leaves the API server in peace anyway."""

SINGLE: Final = (OURS, BARE)


async def crowd(place: Stage, count: int, idle: int, log: Path, say: Callable[[str], None]) -> Crowd:
    """Measure single stops, by task and by raw call, without and during an order over `count` other tasks."""
    await place.watch()
    async with operator(place.namespace, log):
        names = await prepare(place, SINGLE, "c", idle + WARM_UP)
        say(f"crowd: {idle} single stops of each kind, with nothing else going on")
        await take_turns(place, SINGLE, {name: each[:WARM_UP] for name, each in names.items()})
        (quiet,) = await take_turns(
            place, SINGLE, {name: each[WARM_UP:] for name, each in names.items()}, (Mark.EFFECT,)
        )
        say(f"crowd: starting {count} tasks for an order, and others for single stops")
        many = (await prepare(place, [ORDERED], "c", count))[ORDERED.name]
        names = await prepare(place, SINGLE, "d", min(count, MAX_SINGLE))
        await asyncio.sleep(SETTLE_SECONDS)
        place.kubelet.termination_seconds = TERMINATION_SECONDS
        orders = f"/apis/{API_VERSION}/namespaces/{place.namespace}/{ORDER_PLURAL}"
        spec = {"selector": {}, "agents": [ORDERED_AGENT]}
        body = {"apiVersion": API_VERSION, "kind": ORDER_KIND, "metadata": {"name": "crowd"}, "spec": spec}
        started = time.perf_counter()
        await place.api.call("POST", orders, body)
        say(f"crowd: the order over {count} tasks is made; single stops go on")
        mass = asyncio.create_task(place.marks.wait_all(many, Mark.EFFECT, STOP_SECONDS))
        busy = await _while_busy(place, names, mass)
        seconds = max(await mass) - started
        status = await until_phase(place.api, f"{orders}/crowd", "Complete")
    counts = (status["matched"], status["stopping"], sum(status["stopped"].values()))
    check(counts == (count, 0, count), f"the order over {count} tasks counts {counts} as matched, stopping and stopped")
    return Crowd(count, seconds, quiet, busy)


async def _while_busy(place: Stage, names: dict[str, list[str]], mass: asyncio.Task[list[float]]) -> ByContender:
    """Stop one by one for as long as the mass stop goes on."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for turn in range(min(map(len, names.values()))):
        if mass.done():
            break
        one = {name: each[turn : turn + 1] for name, each in names.items()}
        (effect,) = await take_turns(place, SINGLE, one, (Mark.EFFECT,), BUSY_PAUSE_SECONDS)
        for name, latencies in effect.items():
            found[name] += latencies.seconds
    return {name: Latencies(seconds) for name, seconds in found.items()}
