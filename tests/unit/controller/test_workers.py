"""Workers: what fails is tried again after a pause, said once, and keeps nobody else waiting."""

import asyncio
import logging
from collections.abc import Callable
from itertools import pairwise

import pytest

from agentstop.cluster.errors import NOT_LEADING, ApiError
from agentstop.cluster.queue import Priority, WorkQueue
from agentstop.controller.retry import RetryError
from agentstop.controller.workers import Workers
from agentstop.timings import TIMINGS
from tests.unit.cluster.virtual_time import run

HANGS = 20.0
AWAY = RetryError(ApiError(0, "Unreachable", "nobody answers"))


class Bench:
    """A queue, its workers, and what became of each pass, in a time of its own."""

    def __init__(self) -> None:
        self.queue: WorkQueue[str] = WorkQueue()
        self.failures: dict[str, list[Exception]] = {}
        """What the next passes over a key come to."""
        self.hanging: set[str] = set()
        self.acts = True
        self.passes: list[tuple[str, float]] = []
        self.results: list[str] = []
        self.workers = Workers(self.queue, self.reconcile, self.results.append)

    async def reconcile(self, key: str) -> bool:
        self.passes.append((key, asyncio.get_running_loop().time()))
        if key in self.hanging:
            await asyncio.sleep(HANGS)
        failures = self.failures.get(key)
        if failures:
            raise failures.pop(0)
        return self.acts

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.passes]


def worked(bench: Bench, number: int = 1, urgent: int = 0, *, seconds: float = 60.0) -> None:
    """Have so many workers work for so many seconds."""

    async def main() -> None:
        tasks = bench.workers.start(number, urgent_only=False) + bench.workers.start(urgent, urgent_only=True)
        await asyncio.sleep(seconds)
        assert not [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(main())


def test_a_key_is_worked_on_once() -> None:
    bench = Bench()
    bench.queue.add("a")
    worked(bench)

    assert (bench.keys, bench.results) == (["a"], ["success"])


def test_whoever_looks_on_counts_nothing() -> None:
    bench = Bench()
    bench.acts = False
    bench.queue.add("a")
    worked(bench)

    assert (bench.keys, bench.results) == (["a"], [])


@pytest.mark.parametrize(
    ("error", "result"), [(AWAY, "retry"), (ValueError("nobody thought of this"), "error")], ids=["retry", "mistake"]
)
def test_what_failed_is_tried_again_after_pauses_that_double(error: Exception, result: str) -> None:
    bench = Bench()
    bench.failures["a"] = [error, error, error]
    bench.queue.add("a")
    worked(bench)
    moments = [moment for _, moment in bench.passes]
    pauses = [later - earlier for earlier, later in pairwise(moments)]

    assert pauses == pytest.approx([TIMINGS.first_retry_seconds * factor for factor in (1, 2, 4)])
    assert bench.results == [result] * 3 + ["success"]


def test_after_a_success_the_pauses_begin_anew() -> None:
    bench = Bench()

    async def main() -> None:
        tasks = bench.workers.start(1, urgent_only=False)
        for failures in (5, 1):
            bench.failures["a"] = [AWAY] * failures
            bench.queue.add("a")
            await asyncio.sleep(60)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(main())
    (_, first), (_, second) = bench.passes[-2:]
    assert second - first == pytest.approx(TIMINGS.first_retry_seconds)


def test_one_that_fails_does_not_hold_up_the_others() -> None:
    bench = Bench()
    bench.failures["a"] = [AWAY]
    for key in "abc":
        bench.queue.add(key)
    worked(bench)

    assert bench.keys == ["a", "b", "c", "a"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RetryError(ApiError(0, "Unreachable", "nobody answers")), "a is tried again: nobody answers"),
        (lambda: ValueError("odd"), "a could not be decided on, and is tried again"),
    ],
    ids=["retry", "mistake"],
)
def test_why_it_failed_is_said_once(make: Callable[[], Exception], said: str, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.failures["a"] = [make(), make(), ValueError("another"), make()]
    bench.queue.add("a")
    worked(bench)

    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert told.count(said) == 2 + (said.startswith("a could")), "before, and after another one"


def test_what_was_only_not_its_turn_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.failures["a"] = [RetryError(ApiError(0, NOT_LEADING, "another replica acts"))]
    bench.queue.add("a")
    worked(bench)

    assert bench.results == ["retry", "success"]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_urgent_workers_take_only_stops() -> None:
    bench = Bench()
    bench.queue.add("other")
    bench.queue.add("mass", priority=Priority.MASS)
    bench.queue.add("stop", priority=Priority.STOP)
    worked(bench, 0, urgent=1)
    assert bench.keys == ["stop", "mass"]

    worked(bench, 1)
    assert bench.keys == ["stop", "mass", "other"]


def test_a_stop_finds_an_urgent_worker_whatever_hangs() -> None:
    bench = Bench()
    bench.hanging = {"h0", "h1"}
    for key in ("h0", "h1", "behind"):
        bench.queue.add(key)

    async def main() -> None:
        tasks = bench.workers.start(2, urgent_only=False) + bench.workers.start(1, urgent_only=True)
        await asyncio.sleep(HANGS / 2)
        bench.queue.add("stop", priority=Priority.STOP)
        await asyncio.sleep(HANGS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(main())
    assert bench.passes == [("h0", 0), ("h1", 0), ("stop", HANGS / 2), ("behind", HANGS)]
