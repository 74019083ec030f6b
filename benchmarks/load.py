"""Requests at an even pace, and what they take of the API server's processor."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from tests.support.kube import Kube, KubeError

from benchmarks.stage import AT_ONCE

PROCESSOR: Final = re.compile(r"^process_cpu_seconds_total (\S+)$", re.MULTILINE)
LEASE_READS: Final = re.compile(
    r'^apiserver_request_total\{(?=[^}]*resource="leases")(?=[^}]*verb="GET")[^}]*\} (\S+)$', re.MULTILINE
)
"""Source: https://kubernetes.io/docs/reference/instrumentation/metrics/"""

Send = Callable[[str], Awaitable[None]]


@asynccontextmanager
async def paced(items: Sequence[str], every: float, send: Send) -> AsyncIterator[list[float]]:
    """Have something sent for each item once in so many seconds, at an even pace, for as long as the context lasts.

    Gives a list that has, for each answer that came so far, how many seconds it took. Where the API server does not
    keep up, it is sent more slowly.
    """
    took: list[float] = []
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(item: str) -> None:
        try:
            began = time.perf_counter()
            await send(item)
            took.append(time.perf_counter() - began)
        finally:
            slots.release()

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            started, number = time.perf_counter(), 0
            while not over.is_set():
                await asyncio.sleep(max(0.0, started + number * every / len(items) - time.perf_counter()))
                await slots.acquire()
                group.create_task(one(items[number % len(items)]))
                number += 1

    over = asyncio.Event()
    sending = asyncio.create_task(all_of_them())
    try:
        yield took
    finally:
        over.set()
        await sending


async def counted(api: Kube, metric: re.Pattern[str]) -> float | None:
    """Return what a metric of the API server adds up to; None where it has no metrics."""
    try:
        text = await api.text("/metrics")
    except KubeError:
        return None
    return sum(map(float, metric.findall(text)))


def more(after: float | None, before: float | None) -> float | None:
    """Return by how much a counter has gone up."""
    return after - before if after is not None and before is not None else None
