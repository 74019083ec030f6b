"""All points of some scenarios: learned from a run without a fault, and played on several lanes."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.faults.lane import Lane, Run
from tests.faults.outcome import Outcome
from tests.faults.points import KILLING, WATCH_ENDING, Kind, Point, points

BESIDE: Final = 6
"""So many points are played at once behind one operator, where that disturbs none of them."""

TRIES: Final = 3
"""So often a point is played that is not reached: how many writes there are depends on what is seen in time."""


@dataclass(frozen=True)
class Row:
    """One line of the table: a scenario with one kind of faults."""

    scenario: str
    kind: str
    runs: list[Run] = field(default_factory=list)

    @property
    def failed(self) -> list[Run]:
        """The runs in which something went wrong."""
        return [run for run in self.runs if run.problems]

    @property
    def missed(self) -> list[Run]:
        """The runs in which the fault came upon nothing: an Event less is posted, or a phase passes unseen."""
        return [run for run in self.runs if run.missed]


Batch = tuple[str, Sequence[Point], Outcome | None]


class Campaign:
    """Plays what was asked for. `told` hears of each run as it ends."""

    def __init__(self, kinds: Sequence[Kind], at: Sequence[Point], told: Callable[[Run], None]) -> None:
        """`at` are the points to be played; none are all of these kinds."""
        self._kinds = kinds
        self._at = at
        self._told = told
        self._queue: asyncio.Queue[Batch] = asyncio.Queue()
        self._last: list[Batch] = []
        """What takes two replicas."""
        self.rows: dict[tuple[str, str], Row] = {}

    async def play(self, scenarios: Sequence[str], lanes: Sequence[Lane]) -> None:
        """Play all of it."""
        for name in scenarios:
            self._queue.put_nowait((name, (), None))
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
            scenario, batch, reference = await self._queue.get()
            await lane.stand_by(wanted=bool(batch) and batch[0].kind is Kind.FAILOVER)
            if batch:
                await asyncio.gather(*(self._one(lane, scenario, point, reference) for point in batch))
            else:
                await self._learn(lane, scenario)
            self._queue.task_done()

    async def _learn(self, lane: Lane, scenario: str) -> None:
        """Play a scenario without a fault, and queue what can be broken in it."""
        run = await self._one(lane, scenario, None, None)
        if run.outcome is None or run.problems:
            return
        events = {resource: len(found) for resource, found in run.traffic.events.items()}
        wanted = self._at or [each for kind in self._kinds for each in points(kind, len(run.traffic.writes), events)]
        for batch in batches(wanted):
            if batch[0].kind is Kind.FAILOVER:
                self._last.append((scenario, batch, run.outcome))
            else:
                self._queue.put_nowait((scenario, batch, run.outcome))

    async def _one(self, lane: Lane, scenario: str, point: Point | None, reference: Outcome | None) -> Run:
        for _ in range(TRIES):
            run = await lane.play(scenario, point, reference)
            if not run.missed:
                break
        kind = point.kind if point is not None else "undisturbed"
        self.rows.setdefault((scenario, kind), Row(scenario, kind)).runs.append(run)
        self._told(run)
        return run


def batches(wanted: Sequence[Point]) -> Iterator[Sequence[Point]]:
    """Yield what is played at once: what others would notice is played with its like, or alone."""
    yield from ((point,) for point in wanted if point.fault in KILLING)
    ending = [point for point in wanted if point.fault in WATCH_ENDING]
    others = [point for point in wanted if point.fault not in KILLING | WATCH_ENDING]
    for each in (ending, others):
        yield from (each[first : first + BESIDE] for first in range(0, len(each), BESIDE))
