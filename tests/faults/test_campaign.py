"""What is played again, and what is counted as what."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from tests.faults.campaign import NOWHERE, TRIES, UNDISTURBED, Campaign
from tests.faults.lane import Lane, Run
from tests.faults.outcome import Outcome
from tests.faults.points import Fault, Kind, Point
from tests.faults.traffic import Traffic

WRITES = 3


class Scripted:
    """In the place of a lane: strikes what it is told to, and notes what is played at once."""

    def __init__(self, strikes: Callable[[Point, int], bool]) -> None:
        """`strikes` is asked about a point and the how manieth time it is played."""
        self._strikes = strikes
        self.played: list[str] = []

    async def stand_by(self, *, wanted: bool) -> None:
        """Have no other operator."""

    async def learn(self, scenario: str) -> Run:
        """Play some writes, without a fault."""
        traffic = Traffic("t-0")
        for number in range(WRITES):
            traffic.write("PUT", f"/api/v1/namespaces/t-0/pods/{number}", b"")
        return Run(scenario, None, Outcome({}, {}), traffic)

    async def play(self, learned: Run, point: Point) -> Run:
        """Play a point."""
        self.played.append(str(point))
        struck = "it" if self._strikes(point, self.played.count(str(point))) else ""
        return Run(learned.scenario, point, learned.outcome, Traffic("t-1", point, struck=struck))


async def played(lane: Scripted, *at: Point) -> Mapping[tuple[str, str], tuple[int, int, int]]:
    """Return how many runs there were of each scenario and kind, and how many missed and failed."""
    campaign = Campaign([Kind.ERRORS], at, lambda run: None)
    await campaign.play(["pod"], [cast("Lane", cast("Any", lane))])
    return {where: (len(row.runs), len(row.missed), len(row.failed)) for where, row in campaign.rows.items()}


async def test_what_strikes_nothing_is_played_again() -> None:
    lane = Scripted(lambda point, time: point != Point(2, Fault.LOST) or time == TRIES)
    rows = await played(lane, Point(2, Fault.LOST), Point(3, Fault.LOST))
    assert rows == {("pod", UNDISTURBED): (1, 0, 0), ("pod", "errors"): (2, 0, 0)}
    assert lane.played == ["2-lost", "3-lost", *["2-lost"] * (TRIES - 1)]


async def test_what_never_strikes_is_counted_apart_from_failures() -> None:
    lane = Scripted(lambda point, time: False)
    assert (await played(lane, Point(1, Fault.RESET)))["pod", "errors"] == (1, 1, 0)
    assert len(lane.played) == TRIES


async def test_a_point_that_was_not_learned_fails() -> None:
    lane = Scripted(lambda point, time: True)
    told: list[Run] = []
    campaign = Campaign([Kind.STALE], [Point(WRITES + 1, Fault.RESET)], told.append)
    await campaign.play(["pod"], [cast("Lane", cast("Any", lane))])
    assert [run.problems for run in told] == [[], [NOWHERE]]
    assert lane.played == []
