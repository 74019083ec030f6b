"""One order that freezes all agents of a node: real processes in cgroups of version 2, by the kernel's own word.

Beside it the limit: the same PodControls, made by the benchmark itself for a component that is the same.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support import cgroups
from tests.support.kube import POD_CONTROLS, Object

from agentstop.api.meta import API_VERSION, parse_time
from agentstop.api.order import ORDER_KIND, ORDER_PLURAL
from agentstop.api.pod_control import CONTROL_KIND
from benchmarks import beating
from benchmarks.contenders import BY_ORDER, FROZEN, RAW, pods_path
from benchmarks.idle import prepare
from benchmarks.kubelet import NODE
from benchmarks.marks import TooSlowError
from benchmarks.operator_process import component, operator
from benchmarks.orders import check, until_phase
from benchmarks.results import Freeze, Latencies
from benchmarks.stage import Stage, for_all

SETTLE_SECONDS: Final = 2.0
FREEZE_SECONDS: Final = 30.0
LOOK_AFTER_SECONDS: Final = 1.5
POLL_SECONDS: Final = 0.25
"""When it is looked whether all are frozen, and how often then: not while they are, since a list of all costs the API
server as much as some of the freezes do. When it was, the component has written down."""
SILENT_SECONDS: Final = 0.5
"""For so long nothing may be heard of what is frozen."""


async def freeze(place: Stage, count: int, rounds: int, log: Path, say: Callable[[str], None]) -> Freeze | None:
    """Measure how long it takes until the last of `count` agents is frozen; None where there are no such cgroups."""
    if reason := cgroups.missing():
        say(f"freeze: not measured, since {reason}")
        return None
    last, said = defaultdict[str, list[float]](list), list[float]()
    await place.watch()
    async with AsyncExitStack() as stack:
        root = stack.enter_context(cgroups.real_root())
        agents = await stack.enter_async_context(_agents(count))
        node_log = log.with_name("node.log")
        await stack.enter_async_context(component(NODE, root, place.namespace, node_log))
        say(f"freeze: starting {count} tasks")
        async with operator(place.namespace, log, "--ask-nodes"):
            names = (await prepare(place, [FROZEN], "f", count))[FROZEN.name]
            pods = await _pods(place, names)
            for uid, pid in zip(pods.values(), agents.pids, strict=True):
                cgroups.hold(root, uid, [pid])
            await asyncio.sleep(SETTLE_SECONDS)
        for number in range(rounds):
            async with operator(place.namespace, log, "--ask-nodes"):
                await asyncio.sleep(SETTLE_SECONDS)
                ours, told = await _by_order(place, agents, pods, f"freeze-{number}")
            await asyncio.sleep(SETTLE_SECONDS)
            raw = await _by_hand(place, agents, pods)
            say(f"freeze, round {number + 1}: {ours * 1000:.0f} ms by an order, {raw * 1000:.0f} ms by raw calls")
            last[BY_ORDER].append(ours)
            last[RAW].append(raw)
            said.append(told)
    return Freeze(count, {name: Latencies(each) for name, each in last.items()}, Latencies(said))


async def _by_order(place: Stage, agents: "_Agents", pods: dict[str, str], name: str) -> tuple[float, float]:
    """Return the seconds until the last was frozen, and until the order said so."""
    begun_at = time.time()
    path = await _order(place, name)
    seconds = await _frozen(place, agents, pods, begun_at)
    found = await until_phase(place.api, path, "Frozen")
    check(found["frozen"] == len(pods), f"the order says that {found['frozen']} of {len(pods)} are frozen")
    await place.api.patch(path, {"spec": {"then": "Resume"}})
    await until_phase(place.api, path, "Lifted")
    await _forget(place, pods)
    return seconds, float(found["freezeSeconds"])


async def _by_hand(place: Stage, agents: "_Agents", pods: dict[str, str]) -> float:
    """Return the seconds until the last was frozen, without an operator."""
    begun_at = time.time()
    await _ask(place, pods)
    seconds = await _frozen(place, agents, pods, begun_at)
    await _forget(place, pods)
    return seconds


@dataclass(frozen=True)
class _Agents:
    """Processes that beat."""

    pids: list[int]
    path: Path

    def beats(self) -> list[float]:
        """Return the last beat of each."""
        return beating.beats(self.path)


@asynccontextmanager
async def _agents(count: int) -> AsyncIterator[_Agents]:
    """Have so many processes beat."""
    with tempfile.TemporaryDirectory(prefix="agentstop-beats-") as folder:
        path = Path(folder) / "beats"
        command = [sys.executable, "-m", "benchmarks.beating", str(path), str(count)]
        pipe = asyncio.subprocess.PIPE
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment)
        try:
            assert process.stdout is not None
            yield _Agents([int(await process.stdout.readline()) for _ in range(count)], path)
        finally:
            process.kill()
            await process.wait()


async def _pods(place: Stage, names: list[str]) -> dict[str, str]:
    """Return the UIDs of the pods of some tasks, by their names."""
    found = (await place.api.call("GET", pods_path(place.namespace)))["items"]
    uids = {each["metadata"]["name"]: each["metadata"]["uid"] for each in found}
    return {name: uids[name] for name in names}


async def _order(place: Stage, name: str) -> str:
    orders = f"/apis/{API_VERSION}/namespaces/{place.namespace}/{ORDER_PLURAL}"
    spec = {"selector": {}, "freeze": True}
    body = {"apiVersion": API_VERSION, "kind": ORDER_KIND, "metadata": {"name": name}, "spec": spec}
    await place.api.call("POST", orders, body)
    return f"{orders}/{name}"


async def _ask(place: Stage, pods: dict[str, str]) -> None:
    """Make the PodControls as an operator does."""

    async def ask(name: str) -> None:
        uid = pods[name]
        owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
        spec = {"nodeName": NODE, "podUID": uid, "taskName": name, "state": "Frozen"}
        body = {"apiVersion": API_VERSION, "kind": CONTROL_KIND, "spec": spec}
        metadata = {"name": uid, "ownerReferences": [owner]}
        await place.api.call("POST", POD_CONTROLS.path(place.namespace), body | {"metadata": metadata})

    await for_all(pods, ask)


async def _frozen(place: Stage, agents: _Agents, pods: dict[str, str], begun_at: float) -> float:
    """Wait until all are frozen, and return when the last was. Raises WrongError where one has run afterwards."""
    until = begun_at + FREEZE_SECONDS
    await asyncio.sleep(LOOK_AFTER_SECONDS)
    while True:
        found = {each["metadata"]["name"]: each.get("status") or {} for each in await _controls(place)}
        if all(found.get(uid, {}).get("state") == "Frozen" for uid in pods.values()):
            break
        if time.time() > until:
            raise TooSlowError(f"not all were frozen within {FREEZE_SECONDS:.0f} s")
        await asyncio.sleep(POLL_SECONDS)
    since = [_seconds(found[uid]) for uid in pods.values()]
    before = agents.beats()
    check(
        all(beat <= at for beat, at in zip(before, since, strict=True)), "an agent has run after it was called frozen"
    )
    await asyncio.sleep(SILENT_SECONDS)
    check(agents.beats() == before, "an agent runs that is frozen")
    return max(since) - begun_at


def _seconds(status: Object) -> float:
    at = parse_time(status["since"])
    assert at is not None
    return at.timestamp()


async def _controls(place: Stage) -> list[Object]:
    found: list[Object] = (await place.api.call("GET", POD_CONTROLS.path(place.namespace)))["items"]
    return found


async def _forget(place: Stage, pods: dict[str, str]) -> None:
    """Remove the PodControls, so that all goes on and the next round begins as the first."""

    async def remove(uid: str) -> None:
        await place.api.call("DELETE", POD_CONTROLS.path(place.namespace, uid))

    await for_all(pods.values(), remove)
