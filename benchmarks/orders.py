"""One order over thousands of tasks while new ones arrive, beside the same patches sent by hand."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from tests.support.kube import Kube, Object

from agentstop.api.meta import API_VERSION
from agentstop.api.order import CLUSTER_ORDER_KIND, CLUSTER_ORDER_PLURAL
from benchmarks.contenders import ARRIVING, BARE, ORDERED, Contender, tasks_path
from benchmarks.marks import Stage as Mark
from benchmarks.marks import TooSlowError
from benchmarks.operator_process import OperatorProcess, operator
from benchmarks.results import Latencies, Orders
from benchmarks.stage import RUN_LABEL, Stage, for_all

NAMESPACES: Final = 20
ARRIVE_A_SECOND: Final = 50
MAX_ARRIVE: Final = 3000
"""So many tasks arrive in one round at most: a minute's worth."""

TERMINATION_SECONDS: Final = 2.0
PREPARE_SECONDS: Final = 600.0
STOP_SECONDS: Final = 600.0
SETTLE_SECONDS: Final = 3.0
POLL_SECONDS: Final = 0.25

ROUND_LABEL: Final = "agentstop-bench-round"
ORDERS: Final = f"/apis/{API_VERSION}/{CLUSTER_ORDER_PLURAL}"

BUCKETS: Final = {"Graceful": "graceful", "Killed": "killed", "NotStarted": "notStarted"}


class WrongError(Exception):
    """An order did not do what it has to; the message says what."""


def check(holds: bool, what: str) -> None:
    """Raise WrongError with what was wrong, unless it holds."""
    if not holds:
        raise WrongError(what)


async def orders(place: Stage, count: int, rounds: int, log: Path, say: Callable[[str], None]) -> Orders:
    """Measure how long it takes until `count` pods are asked to end, by an order and by raw calls, taking turns.

    New tasks arrive meanwhile, and are refused by a hold, in both cases. What became of every task is checked.
    """
    await place.watch()
    place.kubelet.termination_seconds = TERMINATION_SECONDS
    signals: defaultdict[str, list[float]] = defaultdict(list)
    halts, arrivals, shares = [], [], []
    async with operator(None, log) as process:
        for number in range(rounds):
            for contender in random.sample((ORDERED, BARE), 2):
                turn = _Round(place, contender, f"{contender.letter}{number}")
                say(f"orders, round {number + 1}: starting {count} workloads for {contender.name}")
                await turn.prepare(count)
                seconds, share = await turn.measure(process)
                signals[contender.name].append(seconds)
                if contender is ORDERED:
                    shares.append(share)
                say(
                    f"orders, round {number + 1}: {count / seconds:.0f} signals per second with {contender.name},"
                    f" {len(turn.arrived) / seconds:.0f} tasks a second arrived"
                )
                found = await turn.verify()
                arrivals.append(len(turn.arrived) / seconds)
                halts += [found["haltSeconds"]] if contender is ORDERED else []
                await turn.lift()
    latencies = {name: Latencies(each) for name, each in signals.items()}
    return Orders(count, len(place.namespaces), Latencies(halts), latencies, min(arrivals), max(shares))


class _Round:
    """One order, the workloads that end under it, and the tasks that arrive."""

    def __init__(self, place: Stage, contender: Contender, name: str) -> None:
        self._place = place
        self._contender = contender
        self._name = name
        self._order: Object = {}
        self._names: list[str] = []
        self.arrived: list[str] = []

    def _home(self, name: str) -> str:
        """Return the namespace of a workload: its number says which."""
        return self._place.namespaces[int(name[-5:]) % len(self._place.namespaces)]

    async def _create(self, contender: Contender, name: str) -> None:
        body = contender.manifest(name)
        body["metadata"]["labels"] = {ROUND_LABEL: self._name}
        await self._place.api.call("POST", contender.collection(self._home(name)), body)

    async def prepare(self, count: int) -> None:
        """Start the workloads, and wait until all run."""
        self._names = self._contender.names(f"{self._name}x", count)
        await for_all(self._names, lambda name: self._create(self._contender, name))
        await self._place.marks.wait_all(self._names, Mark.RUNNING, PREPARE_SECONDS)
        await asyncio.sleep(SETTLE_SECONDS)

    async def measure(self, process: OperatorProcess) -> tuple[float, float]:
        """Stop the workloads while tasks arrive; return the seconds to the last effect, and the operator's share of a
        processor until then."""
        before, started = process.cpu_seconds(), time.perf_counter()
        await self._hold()
        if self._contender is not ORDERED:
            await self._phase("Holding")
            await asyncio.sleep(SETTLE_SECONDS)
            before, started = process.cpu_seconds(), time.perf_counter()
        arriving = asyncio.create_task(self._arrive())
        if self._contender is not ORDERED:
            place = self._place
            await for_all(self._names, lambda name: self._contender.patch(place.api, self._home(name), name))
        effects = await self._place.marks.wait_all(self._names, Mark.EFFECT, STOP_SECONDS)
        seconds = max(effects) - started
        share = (process.cpu_seconds() - before) / (time.perf_counter() - started)
        arriving.cancel()
        for problem in await asyncio.gather(arriving, return_exceptions=True):
            if isinstance(problem, Exception):
                raise problem
        return seconds, share

    async def _hold(self) -> None:
        """Make the order: over all tasks of this round, whether there are any or not."""
        run = self._place.namespaces[0].rpartition("-")[0]
        spec = {
            "namespaceSelector": {"matchLabels": {RUN_LABEL: run}},
            "selector": {"matchLabels": {ROUND_LABEL: self._name}},
            "reason": "Benchmark",
            "hold": True,
        }
        name = f"{run}-{self._name}"
        body = {"apiVersion": API_VERSION, "kind": CLUSTER_ORDER_KIND, "metadata": {"name": name}, "spec": spec}
        self._order = await self._place.api.call("POST", ORDERS, body)

    async def _arrive(self) -> None:
        """Create tasks at an even pace until cancelled; those that are being created then are waited for."""
        started, making = time.perf_counter(), list[asyncio.Task[None]]()
        try:
            for number, name in enumerate(ARRIVING.names(f"{self._name}x", MAX_ARRIVE)):
                await asyncio.sleep(max(0.0, started + number / ARRIVE_A_SECOND - time.perf_counter()))
                self.arrived.append(name)
                making.append(asyncio.create_task(self._create(ARRIVING, name)))
        finally:
            await asyncio.gather(*making)

    async def verify(self) -> Object:
        """Raise WrongError unless every task ended as it has to, and the order counted it; return its status."""
        await self._place.marks.wait_all(self.arrived, Mark.END, STOP_SECONDS)
        await self._place.marks.wait_all(self._names, Mark.END, STOP_SECONDS)
        tasks = await self._tasks()
        ours = self._names if self._contender is ORDERED else []
        check(tasks.keys() == {*ours, *self.arrived}, "some tasks are gone")
        for name, task in tasks.items():
            status = task["status"]
            stop = status.get("stop") or {}
            by = (status["phase"], stop.get("source"), (stop.get("order") or {}).get("uid"))
            check(by == ("Stopped", "StopOrder", self._order["metadata"]["uid"]), f"{name} ended as {by}")
        await self._phase("Holding")
        found = await self._counted(len(tasks))
        started_at = datetime.fromisoformat(found["startedAt"])
        early = {name for name in self.arrived if _created(tasks[name]) <= started_at}
        matched = [tasks[name] for name in (*ours, *early)]
        ends = Counter(BUCKETS.get(task["status"]["stop"]["verdict"], "other") for task in matched)
        counted = {bucket: number for bucket, number in found["stopped"].items() if number}
        # What was made in the second of the acceptance counts as matched as long as the order is not through.
        check(found["matched"] == len(matched), f"{found['matched']} counted as matched, not {len(matched)}")
        check(counted == dict(ends), f"counted as {counted}, and not as {dict(ends)}")
        check(found["refused"] == len(self.arrived) - len(early), f"{found['refused']} counted as refused")
        check(found["stopping"] == 0, "some are counted as stopping")
        self._check_pods(set(self.arrived) - early)
        return found

    def _check_pods(self, names: Iterable[str]) -> None:
        """Raise WrongError if a pod was ever made for one of these tasks."""
        made = [name for name in names if (self._home(name), name) in self._place.pods]
        check(not made, f"pods were made under the hold: {made[:5]}")

    async def _counted(self, total: int) -> Object:
        """Wait until the order has counted all tasks: its status follows within half a second."""
        found: Object = {}
        for _ in range(int(SETTLE_SECONDS / POLL_SECONDS) + 1):
            found = await self._status()
            if found["matched"] + found["refused"] >= total:
                break
            await asyncio.sleep(POLL_SECONDS)
        return found

    async def lift(self) -> None:
        """Lift the hold. Raises WrongError if that starts anything, or if a new task does not run afterwards."""
        before = set(self._place.pods)
        await self._place.api.patch(f"{ORDERS}/{self._order['metadata']['name']}", {"spec": {"hold": False}})
        await self._phase("Lifted")
        await asyncio.sleep(SETTLE_SECONDS)
        check(self._place.pods == before, "lifting the hold has started something")
        phases = {task["status"]["phase"] for task in (await self._tasks()).values()}
        check(phases <= {"Stopped"}, f"tasks are {phases} after the hold")
        (after,) = ORDERED.names(f"{self._name}y", 1)
        await self._create(ORDERED, after)
        await self._place.marks.wait(after, Mark.RUNNING, STOP_SECONDS)
        await ORDERED.patch(self._place.api, self._home(after), after)
        await self._place.marks.wait(after, Mark.END, STOP_SECONDS)
        await self._place.api.call("DELETE", f"{ORDERS}/{self._order['metadata']['name']}")

    async def _tasks(self) -> dict[str, Object]:
        found: dict[str, Object] = {}
        for namespace in self._place.namespaces:
            where = f"{tasks_path(namespace)}?labelSelector={ROUND_LABEL}%3D{self._name}"
            found |= {each["metadata"]["name"]: each for each in (await self._place.api.call("GET", where))["items"]}
        return found

    async def _status(self) -> Object:
        where = f"{ORDERS}/{self._order['metadata']['name']}"
        status: Object = (await self._place.api.call("GET", where)).get("status") or {}
        return status

    async def _phase(self, phase: str) -> None:
        await until_phase(self._place.api, f"{ORDERS}/{self._order['metadata']['name']}", phase)


async def until_phase(api: Kube, path: str, phase: str) -> Object:
    """Wait for the phase of an order, and return its status. Raises TooSlowError."""
    end = time.perf_counter() + STOP_SECONDS
    while time.perf_counter() < end:
        status: Object = (await api.call("GET", path)).get("status") or {}
        if status.get("phase") == phase:
            return status
        await asyncio.sleep(POLL_SECONDS)
    raise TooSlowError(f"{path} is not {phase}")


def _created(task: Object) -> datetime:
    return datetime.fromisoformat(task["metadata"]["creationTimestamp"])
