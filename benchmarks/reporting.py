"""Tasks that report what they spend, until one after another passes a limit; and Leases that are renewed as often."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.support.kube import Object

from agentstop.api.meta import API_VERSION
from agentstop.api.usage import USAGE_KIND
from benchmarks.contenders import BARE, LEASES_VERSION, SPENDING, leases_path, usages_path
from benchmarks.idle import WARM_UP, prepare, take_turns
from benchmarks.load import PROCESSOR, Send, counted, more, paced
from benchmarks.marks import Stage as Mark
from benchmarks.operator_process import OperatorProcess, operator
from benchmarks.results import Latencies, Load, Reporting
from benchmarks.stage import Stage, for_all

RENEWALS: Final = "renewals of Leases"
REPORTS: Final = "reports of usage"

EVERY_SECONDS: Final = 5.0
"""So often each task reports, and each Lease is renewed."""

WINDOW_SECONDS: Final = 30.0
"""So long each is measured in a round: the operator writes what was reported into a task's status as often."""

SETTLE_SECONDS: Final = 5.0


async def reporting(
    place: Stage, count: int, stops: int, rounds: int, log: Path, say: Callable[[str], None]
) -> Reporting:
    """Measure the load of `count` tasks that report, and how soon each of `stops` others is signaled by its limit."""
    await place.watch()
    async with operator(place.namespace, log) as process:
        say(f"reporting: starting {count} tasks that report, and {stops} that will pass their limit")
        steady = (await prepare(place, [SPENDING], "u", count))[SPENDING.name]
        passing = await prepare(place, (SPENDING, BARE), "v", stops + WARM_UP)
        crowd = _Crowd(place)
        await for_all([*steady, *passing[SPENDING.name]], crowd.begin)
        await for_all(steady, crowd.make_lease)
        ways = {RENEWALS: crowd.renew, REPORTS: crowd.report}
        rounds_of: defaultdict[str, list[Load]] = defaultdict(list)
        for number in range(rounds):
            for way in random.sample(list(ways), len(ways)):
                await asyncio.sleep(SETTLE_SECONDS)
                found = await _window(place, process, steady, ways[way])
                rounds_of[way].append(found)
                say(f"reporting, round {number + 1}: {found.per_second:.0f} {way} a second")
        say(f"reporting: {stops} tasks pass their limit one by one, while {count} others report")
        async with paced(steady, EVERY_SECONDS, crowd.report):
            await take_turns(
                place, (SPENDING, BARE), {name: each[:WARM_UP] for name, each in passing.items()}, (Mark.EFFECT,)
            )
            (effect,) = await take_turns(
                place, (SPENDING, BARE), {name: each[WARM_UP:] for name, each in passing.items()}, (Mark.EFFECT,)
            )
    return Reporting(count, EVERY_SECONDS, dict(rounds_of), effect)


async def _window(place: Stage, process: OperatorProcess, names: list[str], send: Send) -> Load:
    server, own = await counted(place.api, PROCESSOR), process.cpu_seconds()
    began = time.perf_counter()
    async with paced(names, EVERY_SECONDS, send) as took:
        await asyncio.sleep(WINDOW_SECONDS)
    seconds = time.perf_counter() - began
    spent = more(await counted(place.api, PROCESSOR), server)
    return Load(
        per_second=len(took) / seconds,
        answer=Latencies(took),
        server_share=spent / seconds if spent is not None else None,
        operator_share=(process.cpu_seconds() - own) / seconds,
    )


class _Crowd:
    """Usages and Leases, and who writes them."""

    def __init__(self, place: Stage) -> None:
        self._api = place.api
        self._usages = usages_path(place.namespace)
        self._leases = leases_path(place.namespace)
        self._turns: Counter[str] = Counter()

    def _spec(self, name: str) -> Object:
        self._turns[name] += 1
        turns = self._turns[name]
        return {
            "promptTokens": 4000 * turns,
            "completionTokens": 300 * turns,
            "turns": turns,
            "cost": f"{turns / 100:.2f}",
            "lastActivityAt": _now(),
        }

    async def begin(self, name: str) -> None:
        """Report for the first time."""
        body = {"apiVersion": API_VERSION, "kind": USAGE_KIND, "metadata": {"name": name}, "spec": self._spec(name)}
        await self._api.call("POST", self._usages, body)

    async def report(self, name: str) -> None:
        """Report that a little more was spent."""
        await self._api.patch(f"{self._usages}/{name}", {"spec": self._spec(name)})

    async def make_lease(self, name: str) -> None:
        """Make a Lease."""
        spec = {"holderIdentity": "bench", "leaseDurationSeconds": 40, "renewTime": _now()}
        body = {"apiVersion": LEASES_VERSION, "kind": "Lease", "metadata": {"name": name}, "spec": spec}
        await self._api.call("POST", self._leases, body)

    async def renew(self, name: str) -> None:
        """Renew it, as a kubelet does."""
        await self._api.patch(f"{self._leases}/{name}", {"spec": {"renewTime": _now()}})


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
