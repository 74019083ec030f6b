"""A playground, a proxy and an operator behind it: one of several places where scenarios are played."""

import asyncio
import os
import secrets
import signal
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.faults.oracle import problems, witness
from tests.faults.outcome import Outcome, outcome
from tests.faults.points import Point
from tests.faults.proxy import Proxy
from tests.faults.scenarios import PATIENCE, SCENARIOS, Stage
from tests.faults.traffic import Traffic
from tests.support.clusters import Cluster
from tests.support.operators import Operator
from tests.support.waiting import until

QUIET_SECONDS: Final = 1.2
"""After so long without a write or an event, what was played has had all its consequences."""

LAST_SECONDS: Final = 10.0
"""After so long nothing more will come, where something is missing yet: an operator waits for 3 s after failures."""

AT_WORK_SECONDS: Final = 1.0
"""How long an operator with a stale view is left to act on it, once it is ready."""

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
        """Whether it came to its end with fewer writes or events than the run without a fault."""
        return self.point is not None and not self.traffic.struck and not self.problems


class Lane:
    """Plays scenarios behind one proxy, with a new operator wherever the last one was killed."""

    _proxy: Proxy
    _kubeconfig: Path
    """It leads to the proxy."""
    _operator: Operator

    def __init__(self, cluster: Cluster, namespaces: Sequence[str]) -> None:
        self._cluster = cluster
        self._namespaces = namespaces
        self._free = list(namespaces)
        self._killed = asyncio.Event()
        self._playing: list[Traffic] = []
        self._read: dict[Path, int] = {}
        """How many characters of each operator's log were looked through."""

    @classmethod
    @asynccontextmanager
    async def on(cls, cluster: Cluster, namespaces: Sequence[str] = ()) -> AsyncIterator["Lane"]:
        """Set one up on a cluster that nobody else uses, or that nobody else uses these namespaces of."""
        lane = cls(cluster, namespaces)
        original = cluster.operator_kubeconfig or cluster.kubeconfig
        async with Proxy.serving(original, lane._kill) as (lane._proxy, lane._kubeconfig):
            lane._operator = await lane._start()
            keeping = asyncio.create_task(lane._keep())
            try:
                await lane._operator.ready(PATIENCE)
                yield lane
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)
                await lane._operator.program.end()

    async def play(self, scenario: str, point: Point | None = None, reference: Outcome | None = None) -> Run:
        """Play a scenario, with a fault in it if one is given, and hold it against a run without one."""
        namespace = self._free.pop() if self._namespaces else f"t-{secrets.token_hex(4)}"
        stage = Stage.of(self._cluster, namespace)
        traffic = Traffic(namespace, point, witness(stage.ns))
        self._proxy.follow(traffic)
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
            self._proxy.unfollow(traffic)
            self._playing.remove(traffic)
            self._proxy.flow()
            await stage.orders.close()
            await stage.ns.close()
        return Run(scenario, point, found, traffic, wrong + self._tracebacks())

    async def _settled(
        self, stage: Stage, scenario: str, traffic: Traffic, reference: Outcome | None
    ) -> tuple[Outcome, list[str]]:
        """Return what has come of a scenario and what is wrong with that, once nothing more is to come."""
        while True:

            async def quiet() -> bool:
                return not self._killed.is_set() and traffic.silent() > QUIET_SECONDS

            await until(quiet, PATIENCE, "nothing is written any more")
            found = await outcome(stage, traffic)
            wrong = list(problems(scenario, traffic.point, reference, found, traffic))
            if traffic.silent() > LAST_SECONDS or not (wrong or reference is None):
                return found, wrong
            await asyncio.sleep(QUIET_SECONDS)

    def _kill(self) -> None:
        os.kill(self._operator.program.pid, signal.SIGKILL)
        self._killed.set()

    async def _start(self) -> Operator:
        started = await Operator.start(self._cluster, self._namespaces, kubeconfig=self._kubeconfig, wait=False)
        self._read[started.program.log] = 0
        return started

    def _tracebacks(self) -> list[str]:
        """Return those that operators have written since this was last asked."""
        found = []
        for log, read in self._read.items():
            text = log.read_text(encoding="utf-8", errors="replace")
            self._read[log] = len(text)
            _, word, more = text[read:].partition("Traceback")
            found += [f"{log.name}: {word}{more[:TOLD_CHARACTERS]}"] if word else []
        return found

    async def _keep(self) -> None:
        """Start a new operator wherever one was killed."""
        while True:
            await self._killed.wait()
            await self._operator.program.ended()
            self._operator = await self._start()
            await self._operator.ready(PATIENCE)
            if self._proxy.holds_back:
                await asyncio.sleep(AT_WORK_SECONDS)
                self._proxy.flow()
            for traffic in self._playing:
                traffic.stir()
            self._killed.clear()
