"""kopf is begun when our kinds are served, begun anew when it breaks off, and ended when the operator ends."""

import asyncio
import logging
from collections.abc import Collection
from typing import Any, cast

import kopf
import pytest

from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.controller.kopf_runner import NOT_SERVED, PLURALS, KopfRunner
from agentstop.timings import TIMINGS
from tests.unit.cluster.virtual_time import run

SERVED = {"resources": [{"name": name} for name in PLURALS]}


class Bench:
    """Stands for the gateway and for kopf: what each run of it comes to, and when it was run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[Any] = []
        """What the API server says that it serves; after these, everything."""
        self.ends: list[Exception | None] = []
        """How the next runs end; after these, one goes on until it is cancelled."""
        self.unprepared: list[Exception] = []
        self.runs: list[float] = []
        self.prepared = 0
        self.begun = 0
        self.cancelled = 0
        monkeypatch.setattr(kopf, "spawn_tasks", self.spawn_tasks)
        monkeypatch.setattr(kopf, "run_tasks", self.run_tasks)

    async def call(self, method: str, where: str) -> Any:
        answer = self.answers.pop(0) if self.answers else SERVED
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def prepare(self) -> None:
        self.prepared += 1
        if self.unprepared:
            raise self.unprepared.pop(0)

    def begin(self) -> None:
        self.begun += 1

    async def spawn_tasks(self, **_: Any) -> Collection[asyncio.Task[None]]:
        self.runs.append(asyncio.get_running_loop().time())
        return ()

    async def run_tasks(self, tasks: Collection[asyncio.Task[None]], *, ignored: Collection[Any]) -> None:
        if self.ends:
            end = self.ends.pop(0)
            if end is not None:
                raise end
            return
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def run(self, seconds: float = 60.0) -> bool:
        """Run for so many seconds, then ask for the end; return whether it was over before."""

        async def main() -> bool:
            stopping = asyncio.Event()
            gateway = cast("Gateway", self)
            runner = KopfRunner(gateway, kopf.OperatorRegistry, (), stopping, prepare=self.prepare, begun=self.begin)
            running = asyncio.create_task(runner.run())
            await asyncio.sleep(seconds)
            over = stopping.is_set()
            stopping.set()
            await asyncio.wait_for(running, 5)
            return over

        return run(main())


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


@pytest.fixture(autouse=True)
def _loud() -> Any:
    """What a run silences at its end is for the process that ends."""
    yield
    logging.getLogger("kopf").setLevel(logging.NOTSET)


def test_it_runs_until_the_operator_ends(bench: Bench) -> None:
    assert not bench.run()
    assert (len(bench.runs), bench.prepared, bench.begun, bench.cancelled) == (1, 1, 1, 1)


def test_kopf_is_begun_anew_whenever_it_breaks_off(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.ends = [ValueError("odd"), OSError("gone")]
    assert not bench.run()

    assert bench.runs == pytest.approx([0.0, TIMINGS.served_seconds, 2 * TIMINGS.served_seconds])
    assert (bench.prepared, bench.begun) == (3, 3), "the orders are read anew each time"
    assert "begun anew: odd" in caplog.text


def test_the_orders_are_read_before_kopf_begins(bench: Bench) -> None:
    bench.unprepared = [ApiError(0, "Unreachable", "away")]
    assert not bench.run()

    assert bench.runs == pytest.approx([TIMINGS.served_seconds])
    assert bench.prepared == 2


def test_a_signal_that_reached_kopf_ends_the_operator(bench: Bench) -> None:
    bench.ends = [None]
    assert bench.run()
    assert len(bench.runs) == 1


def test_it_waits_until_all_our_kinds_are_served(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    some = {"resources": SERVED["resources"][1:]}
    bench.answers = [ApiError(0, "Unreachable", "away"), ApiError(404, "NotFound", "no"), some, some]
    bench.run()

    assert bench.runs == pytest.approx([4 * TIMINGS.served_seconds])
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("waiting")]
    assert told == ["waiting: away", f"waiting: {NOT_SERVED}"], "each once"


def test_it_ends_while_nothing_is_served(bench: Bench) -> None:
    bench.answers = [{}] * 100
    bench.run(3)

    assert bench.runs == []
