"""Replicas that compete for a lease, with an API server that is slow, away or of two minds, in a time of their own."""

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentstop.cluster.election import Election, LeaderElectionConfig
from agentstop.cluster.errors import ApiError
from agentstop.cluster.leader_guard import LeaderGuard
from agentstop.cluster.transport import Transport

from .virtual_time import run

DURATION = 15.0
LONG_ENOUGH = 2 * DURATION
STEP = 0.05


class Server:
    """Keeps one lease, and obeys its resource version."""

    def __init__(self, chance: random.Random) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.chance = chance
        self.slowest = 0.01
        """Seconds that a request may take at most before it is carried out, and as many until its answer is there."""
        self.refuses: set[str] = set()
        """Replicas that may read the lease and not write it."""

    async def exchange(self, who: str, method: str, where: str, body: Mapping[str, Any] | None, timeout: float) -> Any:
        there, back = (self.chance.uniform(0, self.slowest) for _ in range(2))
        # Whoever gives a request up does not keep it from being carried out later.
        carried_out = asyncio.ensure_future(self._later(there, who, method, body))
        if there + back > timeout:
            await asyncio.sleep(timeout)
            raise ApiError(0, "Unreachable", "the API server did not answer in time")
        answer = await asyncio.shield(carried_out)
        await asyncio.sleep(back)
        if isinstance(answer, ApiError):
            raise answer
        return answer

    async def _later(self, seconds: float, who: str, method: str, body: Mapping[str, Any] | None) -> Any:
        await asyncio.sleep(seconds)
        if method == "GET":
            return self.lease or ApiError(404, "NotFound", "no such lease")
        assert body is not None
        if who in self.refuses:
            return ApiError(403, "Forbidden", "leases is forbidden")
        given = body["metadata"].get("resourceVersion")
        if (method == "POST") != (self.lease is None) or (self.lease and given != str(self.version)):
            return ApiError(409, "Conflict", "changed meanwhile")
        self.version += 1
        self.lease = {**body, "metadata": {**body["metadata"], "uid": "u", "resourceVersion": str(self.version)}}
        return self.lease


class Replica:
    def __init__(self, name: str, server: Server, skew: float) -> None:
        self.name = name
        self._server = server
        loop = asyncio.get_running_loop()
        self.leader_guard = LeaderGuard(lambda: loop.time() + skew)
        self.heard: list[bool] = []
        seat = LeaderElectionConfig(namespace="ns", name="agentstop", duration=DURATION, identity=name)
        start = datetime(2026, 11, 21, tzinfo=UTC) + timedelta(seconds=skew)
        self.election = Election(
            cast("Transport", self),
            seat,
            self.leader_guard,
            self.heard.append,
            lambda: start + timedelta(seconds=loop.time()),
        )
        self.task = asyncio.create_task(self.election.run())

    async def exchange(self, method: str, where: str, query: Any = None, body: Any = None, *, timeout: float) -> Any:
        return await self._server.exchange(self.name, method, where, body, timeout)

    async def crash(self) -> None:
        """What a process leaves behind that is killed: nothing, and nobody acts in its name."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task
        self.leader_guard.end()


class Stage:
    """Replicas, and what is seen of them at every moment."""

    def __init__(self, seed: int = 0) -> None:
        self.server = Server(random.Random(seed))  # noqa: S311  (guards no secret)
        self.replicas: list[Replica] = []
        self.most = 0
        self._watcher = asyncio.create_task(self._watch())

    def add(self, name: str, skew: float = 0.0) -> Replica:
        self.replicas.append(Replica(name, self.server, skew))
        return self.replicas[-1]

    def leaders(self) -> list[str]:
        return [each.name for each in self.replicas if each.leader_guard.holds]

    async def _watch(self) -> None:
        while True:
            self.most = max(self.most, len(self.leaders()))
            await asyncio.sleep(STEP)

    async def leader(self, seconds: float = LONG_ENOUGH) -> float:
        """Wait until somebody leads; return how long that took."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        while not self.leaders():
            assert loop.time() - start <= seconds, "nobody leads"
            await asyncio.sleep(STEP)
        return loop.time() - start

    async def close(self) -> None:
        for each in self.replicas:
            await each.crash()
        self._watcher.cancel()
        assert self.most <= 1, "two replicas led at a time"


@settings(max_examples=100)
@given(
    seed=st.integers(0, 2**32),
    skews=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=3),
    times=st.lists(
        st.tuples(
            st.sampled_from((0.01, 0.5, 2, 4, 20)),
            st.sampled_from(("nothing", "crashes", "may not write")),
            st.sampled_from((1, 5, 20, 40)),
        ),
        min_size=2,
        max_size=8,
    ),
)
def test_no_moment_with_two_that_act(seed: int, skews: list[float], times: list[tuple[float, str, float]]) -> None:
    async def main() -> None:
        stage = Stage(seed)
        for number, skew in enumerate(skews):
            stage.add(f"r{number}", skew)
        for slowest, leader, seconds in times:
            stage.server.slowest = slowest
            at = next((number for number, each in enumerate(stage.replicas) if each.leader_guard.holds), 0)
            stage.server.refuses = {stage.replicas[at].name} if leader == "may not write" else set()
            if leader == "crashes":
                await stage.replicas[at].crash()
                stage.replicas[at] = Replica(f"{stage.replicas[at].name}+", stage.server, skews[0])
            await asyncio.sleep(seconds)
        stage.server.slowest, stage.server.refuses = 0.05, set()
        await stage.leader()
        await stage.close()

    run(main())


def test_a_leader_that_crashes_is_followed_within_the_leases_time() -> None:
    async def main() -> None:
        stage = Stage()
        first = stage.add("a", skew=30)
        await stage.leader(1)
        stage.add("b", skew=-30)
        await asyncio.sleep(100)
        assert stage.leaders() == ["a"]
        await first.crash()
        assert await stage.leader() <= DURATION
        assert stage.leaders() == ["b"]
        await stage.close()

    run(main())


def test_a_lease_that_is_given_back_is_taken_at_once() -> None:
    async def main() -> None:
        stage = Stage()
        first = stage.add("a")
        await stage.leader(1)
        second = stage.add("b")
        await asyncio.sleep(10)
        await first.crash()
        await first.election.release()
        assert await stage.leader() < 2
        assert stage.leaders() == ["b"]
        await second.election.release()  # running still, it takes it again: nobody else is there
        assert stage.server.lease is not None
        assert stage.server.lease["spec"]["leaseTransitions"] == 1
        await stage.close()

    run(main())


@pytest.mark.parametrize("after", [0.05 * each for each in range(60)])
def test_a_lease_is_given_back_though_a_request_for_it_was_cut_off(after: float) -> None:
    async def main() -> None:
        stage = Stage(round(after * 100))
        stage.server.slowest = 0.45
        first = stage.add("a")
        await asyncio.sleep(after)
        await first.crash()
        await first.election.release()
        await asyncio.sleep(LONG_ENOUGH)  # whatever was under way has arrived
        assert stage.server.lease is None or stage.server.lease["spec"]["holderIdentity"] == ""
        await stage.close()

    run(main())


def test_a_leader_that_may_not_renew_ends_before_another_one_begins() -> None:
    async def main() -> None:
        stage = Stage()
        first = stage.add("a")
        await stage.leader(1)
        stage.add("b")
        await asyncio.sleep(10)
        stage.server.refuses.add("a")
        await asyncio.sleep(DURATION * 2 / 3 + 0.5)
        assert stage.leaders() == []
        assert first.heard == [True, False]
        await stage.leader()
        assert stage.leaders() == ["b"]
        await stage.close()

    run(main())


def test_a_leader_whose_renewal_comes_late_begins_anew() -> None:
    """What it heard while it could not act was passed over, so it has to be told to look at all of it again."""

    async def lapses(seed: int) -> int:
        stage = Stage(seed)
        first = stage.add("a")
        await stage.leader(1)
        stage.server.slowest = 1000.0
        unheard: list[int] = []
        for tick in range(round(LONG_ENOUGH / STEP)):
            if tick * STEP == 7:
                stage.server.slowest = 1.4  # what is sent before the tenure ends may be answered after it
            held = first.leader_guard.holds
            await asyncio.sleep(STEP)
            if held and not first.leader_guard.holds:
                unheard.append(len(first.heard))
        assert first.leader_guard.holds
        assert all(True in first.heard[before:] for before in unheard)
        await stage.close()
        return len(unheard)

    assert sum(run(lapses(seed)) for seed in range(20)) > 5


def test_a_lease_that_somebody_deletes_is_made_again_by_its_holder() -> None:
    async def main() -> None:
        stage = Stage()
        stage.add("a")
        await stage.leader(1)
        stage.add("b")
        await asyncio.sleep(10)
        stage.server.lease = None
        await asyncio.sleep(LONG_ENOUGH)
        assert stage.leaders() == ["a"]
        await stage.close()

    run(main())


def test_a_lease_that_somebody_else_took_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        stage = Stage()
        first = stage.add("a")
        await stage.leader(1)
        assert stage.server.lease is not None
        stage.server.version += 1
        stage.server.lease = {
            **stage.server.lease,
            "metadata": {"uid": "u", "resourceVersion": str(stage.server.version)},
            "spec": {**stage.server.lease["spec"], "holderIdentity": "x"},
        }
        await asyncio.sleep(3)
        assert stage.leaders() == []
        assert first.heard == [True, False]
        await stage.leader()  # x gives no sign of life
        await stage.close()

    run(main())
    assert "x has the lease" in caplog.text
