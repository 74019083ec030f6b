"""Tasks that are tethered, each to its Lease: how often Leases are read, and how late a lost one is acted on."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.support.kube import Object

from agentstop.words.leases import TETHER_LABEL
from benchmarks.contenders import LEASES_VERSION, TETHERED, leases_path
from benchmarks.load import LEASE_READS, counted, more, paced
from benchmarks.marks import Stage as Mark
from benchmarks.operator_process import operator
from benchmarks.results import Latencies, Tethers
from benchmarks.scale import make_running
from benchmarks.stage import Stage, for_all

MOST_A_SECOND: Final = 200
"""So many Leases are renewed in a second at most: the holders are not what is measured."""

LEAST_SECONDS: Final = 15
"""So long a Lease lasts at least without a renewal."""

RENEWALS: Final = 3
"""So often a Lease is renewed in its time."""

TIMES: Final = 3
"""Reads are counted for so many times as long as a Lease lasts."""

LATE_SECONDS: Final = 60.0
"""After so long something is wrong."""


async def tethers(place: Stage, count: int, lost: int, log: Path, say: Callable[[str], None]) -> Tethers:
    """Measure the reads of `count` Leases, and then when the tasks of `lost` that are renewed no more are signaled."""
    duration = max(LEAST_SECONDS, RENEWALS * count // MOST_A_SECOND)
    every = duration / RENEWALS
    renewed_at: dict[str, float] = {}
    ended: set[str] = set()
    leases = leases_path(place.namespace)

    async def renew(name: str) -> None:
        if name not in ended:
            renewed_at[name] = time.perf_counter()
            await place.api.patch(f"{leases}/{name}", {"spec": {"renewTime": _now()}})

    names = TETHERED.names("t", count)
    say(f"tethers: making {count} tasks, each with its Lease and pod")
    await for_all(names, lambda name: _make_lease(place, leases, name, duration))
    async with paced(names, every, renew) as took:
        await for_all(names, lambda name: make_running(place, TETHERED, name))
        await place.watch()
        async with operator(place.namespace, log) as process:
            await asyncio.sleep(duration)  # until each was read, and is read when it would run out
            say(f"tethers: counting reads of Leases that last {duration} s, for {TIMES} times as long")
            before, renewals, cpu = await counted(place.api, LEASE_READS), len(took), process.cpu_seconds()
            began = time.perf_counter()
            await asyncio.sleep(TIMES * duration)
            reads = more(await counted(place.api, LEASE_READS), before)
            seconds, renewals = time.perf_counter() - began, len(took) - renewals
            share = (process.cpu_seconds() - cpu) / seconds
            gone = names[:lost]
            say(f"tethers: {len(gone)} Leases are renewed no more")
            ended.update(gone)
            effects = await place.marks.wait_all(gone, Mark.EFFECT, duration + LATE_SECONDS)
    late = [at - renewed_at[name] - duration for name, at in zip(gone, effects, strict=True)]
    return Tethers(
        count=count,
        duration=duration,
        reads_per_renewal=reads / renewals if reads is not None else None,
        reads_per_duration=reads * duration / seconds / count if reads is not None else None,
        operator_share=share,
        late=Latencies(late),
    )


async def _make_lease(place: Stage, leases: str, name: str, duration: int) -> None:
    spec: Object = {"holderIdentity": "bench", "leaseDurationSeconds": duration, "renewTime": _now()}
    metadata = {"name": name, "labels": {TETHER_LABEL: "true"}}
    body = {"apiVersion": LEASES_VERSION, "kind": "Lease", "metadata": metadata, "spec": spec}
    await place.api.call("POST", leases, body)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
