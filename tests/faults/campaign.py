"""All points of some scenarios: learned from a run without a fault, and played on several lanes."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.faults.lane import Lane, Run
from tests.faults.points import ALONE, WATCH_ENDING, Kind, Point, points

BESIDE: Final = 6
"""So many points are played at once behind one operator, where that disturbs none of them."""

TRIES: Final = 3
"""So often a point is played where the fault strikes nothing, as some of what is written depends on what is seen in
time. Beside others it is played once; one of them may have ended the watch that was to bring the event."""


UNDISTURBED: Final = "undisturbed"
"""The run from which it is learned what there is."""

NOWHERE: Final = "the run without a fault has nothing there"


@dataclass(frozen=True)
class Row:
    """One line of the table: a scenario with one kind of faults."""

    scenario: str
    kind: str
    """Of the faults, or UNDISTURBED."""
    runs: list[Run] = field(default_factory=list)

    @property
    def failed(self) -> list[Run]:
        """The runs in which something went wrong."""
        return [run for run in self.runs if run.problems]

    @property
    def missed(self) -> list[Run]:
        """The runs in which the fault struck nothing: an Event less was posted, or a phase passed unseen."""
        return [run for run in self.runs if run.missed]


@dataclass(frozen=True)
class Batch:
    """What is played at once."""

    learned: Run
    """The run without a fault."""
    points: Sequence[Point]
    tries: int = TRIES


class Campaign:
    """Plays what was asked for. `told` hears of each run as it ends."""

    def __init__(self, kinds: Sequence[Kind], at: Sequence[Point], told: Callable[[Run], None]) -> None:
        """`at` are the points to be played; none are all of these kinds."""
        self._kinds = kinds
        self._at = at
        self._told = told
        self._queue: asyncio.Queue[str | Batch] = asyncio.Queue()
        """Scenarios to learn, and what is to be played."""
        self._last: list[Batch] = []
        """What takes two replicas."""
        self.rows: dict[tuple[str, str], Row] = {}

    async def play(self, scenarios: Sequence[str], lanes: Sequence[Lane]) -> None:
        """Play all of it."""
        for name in scenarios:
            self._queue.put_nowait(name)
        await self._work_off(lanes)
        # A lane becomes one of two replicas once, and not at each turn.
        for batch in self._last:
            self._queue.put_nowait(batch)
        await self._work_off(lanes)

    async def _work_off(self, lanes: Sequence[Lane]) -> None:
        workers = [asyncio.create_task(self._work(lane)) for lane in lanes]
        everything = asyncio.create_task(self._queue.join())
        try:
            await asyncio.wait([everything, *workers], return_when=asyncio.FIRST_COMPLETED)
            for worker in workers:
                if worker.done():
                    worker.result()
        finally:
            for task in (everything, *workers):
                task.cancel()
            await asyncio.gather(everything, *workers, return_exceptions=True)

    async def _work(self, lane: Lane) -> None:
        while True:
            wanted = await self._queue.get()
            if isinstance(wanted, str):
                await lane.stand_by(wanted=False)
                await self._learn(lane, wanted)
            else:
                await lane.stand_by(wanted=wanted.points[0].kind is Kind.FAILOVER)
                await self._play(lane, wanted)
            self._queue.task_done()

    async def _learn(self, lane: Lane, scenario: str) -> None:
        """Play a scenario without a fault, and queue what can be broken in it."""
        learned = await lane.learn(scenario)
        self._take(learned, UNDISTURBED)
        if learned.outcome is None or learned.problems:
            return
        events = {resource: len(found) for resource, found in learned.traffic.events.items()}
        kinds = list(Kind) if self._at else self._kinds
        every = [each for kind in kinds for each in points(kind, len(learned.traffic.writes), events)]
        for missing in (each for each in self._at if each not in every):
            self._take(Run(scenario, missing, None, learned.traffic, [NOWHERE]), missing.kind)
        for batch in batches([each for each in every if not self._at or each in self._at]):
            played = Batch(learned, batch)
            if batch[0].kind is Kind.FAILOVER:
                self._last.append(played)
            else:
                self._queue.put_nowait(played)

    async def _play(self, lane: Lane, batch: Batch) -> None:
        runs = await asyncio.gather(*(lane.play(batch.learned, point) for point in batch.points))
        for point, run in zip(batch.points, runs, strict=True):
            if run.missed and batch.tries > 1:
                self._queue.put_nowait(Batch(batch.learned, (point,), batch.tries - 1))
            else:
                self._take(run, point.kind)

    def _take(self, run: Run, kind: str) -> None:
        self.rows.setdefault((run.scenario, kind), Row(run.scenario, kind)).runs.append(run)
        self._told(run)


def batches(wanted: Sequence[Point]) -> Iterator[Sequence[Point]]:
    """Yield what is played at once: what others would notice is played with its like, or alone."""
    yield from ((point,) for point in wanted if point.fault in ALONE)
    ending = [point for point in wanted if point.fault in WATCH_ENDING]
    others = [point for point in wanted if point.fault not in ALONE | WATCH_ENDING]
    for each in (ending, others):
        yield from (each[first : first + BESIDE] for first in range(0, len(each), BESIDE))
