"""A playground, a proxy and an operator behind it: one of several places where scenarios are played."""

import asyncio
import secrets
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.faults.oracle import problems, witness
from tests.faults.outcome import Outcome, outcome
from tests.faults.points import Fault, Point
from tests.faults.scenarios import PATIENCE, SCENARIOS, Stage
from tests.faults.seat import LEASE_NAMESPACE, Seat
from tests.faults.traffic import Traffic
from tests.support.clusters import Cluster, Feature
from tests.support.installed import let_lead
from tests.support.waiting import until

QUIET_SECONDS: Final = 1.2
"""After so long without a write or an event, what was played has had all its consequences."""

LAST_SECONDS: Final = 10.0
"""After so long nothing more will come, where something is missing yet: an operator waits for 3 s after failures."""

AT_WORK_SECONDS: Final = 1.0
"""How long an operator with a stale view is left to act on it, once it is ready."""

LEADS_ON_SECONDS: Final = 0.5
"""How long a leader goes on after the event that the operator will not have been brought that takes over from it."""

FROZEN_SECONDS: Final = 60.0
"""How long an operator is frozen that is the only one: for it, requests and watches have lasted too long meanwhile."""

TOLD_CHARACTERS: Final = 1500
"""So much of a traceback is told."""


@dataclass(frozen=True)
class Run:
    """One scenario, played once."""

    scenario: str
    point: Point | None
    outcome: Outcome | None
    """None where it did not come to its end."""
    traffic: Traffic
    problems: list[str] = field(default_factory=list)

    @property
    def missed(self) -> bool:
        """Whether it came to its end without what the fault was to strike."""
        return self.point is not None and not self.traffic.struck and not self.problems


class Lane:
    """Plays scenarios behind a proxy. Where an operator is killed a new one starts, or takes over that stood by."""

    _acting: Seat
    _other: Seat
    """Nobody has it but where an operator stands by."""
    _keeping: asyncio.Task[None]

    def __init__(self, cluster: Cluster, namespaces: Sequence[str]) -> None:
        self._cluster = cluster
        self._namespaces = namespaces
        self._free = list(namespaces)
        self._disturbed = asyncio.Event()
        self._stands_by = False
        self._playing: list[Traffic] = []
        self._read: Counter[Path] = Counter()
        """How many characters of each operator's log were looked through."""

    @classmethod
    @asynccontextmanager
    async def on(cls, cluster: Cluster, namespaces: Sequence[str] = ()) -> AsyncIterator["Lane"]:
        """Set one up on a cluster that nobody else uses, or that nobody else uses these namespaces of."""
        lane = cls(cluster, namespaces)
        lease = f"faults-{secrets.token_hex(4)}"
        if Feature.RBAC in cluster.features:
            await let_lead(cluster.kube, LEASE_NAMESPACE, lease)
        async with (
            Seat.on(cluster, namespaces, lease, lane._disturbed) as lane._acting,
            Seat.on(cluster, namespaces, lease, lane._disturbed) as lane._other,
        ):
            await lane._acting.start(elects=False)
            lane._keeping = asyncio.create_task(lane._keep())
            try:
                yield lane
            finally:
                lane._keeping.cancel()
                await asyncio.gather(lane._keeping, return_exceptions=True)
                await lane._end()

    async def stand_by(self, *, wanted: bool) -> None:
        """Have a second operator stand by from now on, or none; not while something is played."""
        if wanted is self._stands_by:
            return
        await self._end()
        self._stands_by = wanted
        await self._acting.start(elects=wanted)
        if wanted:
            await self._acting.leads()
            await self._other.start(elects=True)

    async def _end(self) -> None:
        if self._stands_by:
            await self._other.operator.program.end()
        await self._acting.operator.program.end()

    async def learn(self, scenario: str) -> Run:
        """Play a scenario without a fault."""
        return await self._play(scenario, None, None)

    async def play(self, learned: Run, point: Point) -> Run:
        """Play what was played in a run without a fault, with one in it; hold it against that run."""
        return await self._play(learned.scenario, point, learned)

    async def _play(self, scenario: str, point: Point | None, learned: Run | None) -> Run:
        place = learned.traffic.place_of(point) if learned is not None and point is not None else None
        reference = learned.outcome if learned is not None else None
        namespace = self._free.pop() if self._namespaces else f"t-{secrets.token_hex(4)}"
        stage = Stage.of(self._cluster, namespace)
        traffic = Traffic(namespace, point, place, witness(stage.ns))
        watching = self._other if point is not None and point.fault is Fault.LEADER_STALE else self._acting
        for seat in (self._acting, self._other):
            seat.proxy.follow(traffic, events=seat is watching)
        self._playing.append(traffic)
        found: Outcome | None = None
        wrong: list[str] = []
        await stage.ns.open()
        try:
            await SCENARIOS[scenario](stage)
            found, differs = await self._settled(stage, scenario, traffic, reference)
            wrong += differs
            stage.ns.check()
        except Exception as error:  # noqa: BLE001  (whatever goes wrong is a find, and the next point is played)
            known = isinstance(error, AssertionError)
            wrong += [*traffic.lies, str(error) if known else "".join(traceback.format_exception(error))]
        finally:
            self._playing.remove(traffic)
            for seat in (self._acting, self._other):
                seat.proxy.unfollow(traffic)
                seat.proxy.flow()
            await stage.orders.close()
            await stage.ns.close()
        return Run(scenario, point, found, traffic, wrong + self._tracebacks())

    async def _settled(
        self, stage: Stage, scenario: str, traffic: Traffic, reference: Outcome | None
    ) -> tuple[Outcome, list[str]]:
        """Return what has come of a scenario and what is wrong with that, once nothing more is to come."""
        while True:

            async def quiet() -> bool:
                if self._keeping.done():
                    self._keeping.result()  # why no operator acts
                return not self._disturbed.is_set() and traffic.silent() > QUIET_SECONDS

            await until(quiet, PATIENCE, "nothing is written any more")
            found = await outcome(stage, traffic)
            wrong = list(problems(scenario, traffic.point, reference, found, traffic))
            if traffic.silent() > LAST_SECONDS or not (wrong or reference is None):
                return found, wrong
            await asyncio.sleep(QUIET_SECONDS)

    def _tracebacks(self) -> list[str]:
        """Return those that operators have written since this was last asked."""
        found = []
        for log in (*self._acting.logs, *self._other.logs):
            text = log.read_text(encoding="utf-8", errors="replace")
            _, word, more = text[self._read[log] :].partition("Traceback")
            self._read[log] = len(text)
            found += [f"{log.name}: {word}{more[:TOLD_CHARACTERS]}"] if word else []
        return found

    async def _keep(self) -> None:
        """See to it that an operator acts wherever one was harmed."""
        while True:
            await self._disturbed.wait()
            if self._other.overtakes:
                await asyncio.sleep(LEADS_ON_SECONDS)
                self._acting.kill()
                self._other.overtakes = False
            # On a busy machine the lease may have gone over before anything was done to its holder.
            harmed = next(seat for seat in (self._acting, self._other) if seat.killed or seat.frozen)
            if self._stands_by:
                await self._hand_over(harmed)
            if harmed.killed:
                await harmed.operator.program.ended()
                await harmed.start(elects=self._stands_by)
            else:
                await self._thaw(harmed)
            for seat in (self._acting, self._other):
                if seat.proxy.holds_back:
                    await asyncio.sleep(AT_WORK_SECONDS)
                    seat.proxy.flow()
            for traffic in self._playing:
                traffic.stir()
            self._disturbed.clear()

    async def _thaw(self, frozen: Seat) -> None:
        """Have an operator go on that is frozen, once another one is at work or after a minute."""
        if self._stands_by:
            await asyncio.sleep(AT_WORK_SECONDS)
            frozen.relieved.set()
            await frozen.thawed.wait()
        else:
            await asyncio.sleep(FROZEN_SECONDS)
            frozen.thaw()
        await frozen.operator.ready(PATIENCE)

    async def _hand_over(self, harmed: Seat) -> None:
        """Wait until the other operator acts, and go by what it is told from now on."""
        if harmed is self._acting:
            self._acting, self._other = self._other, harmed
        await self._acting.leads()
        for traffic in self._playing:
            self._acting.proxy.follow(traffic)
            harmed.proxy.follow(traffic, events=False)
