"""Stops through the gateway, beside the same patch sent to the API server over connections that are kept alive.

No operator runs: what is measured ends with the answer that the API server has taken the stop.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import yaml
from tests.support.programs import free_port

from agentstop.gateway.keys import make_key
from benchmarks.contenders import OURS, tasks_path
from benchmarks.operator_process import OperatorProcess, started
from benchmarks.orders import check
from benchmarks.results import Gateway, Latencies
from benchmarks.stage import Stage, for_all

THROUGH: Final = "through the gateway"
PATCH: Final = "raw patch of the task"

IN_FLIGHT: Final = 50
STREAMS: Final = 1000
WARM_UP: Final = 20
QUIET_SECONDS: Final = 0.03
SETTLE_SECONDS: Final = 2.0

Uids = Mapping[str, str]
"""The UID of each task, by its name."""

Stop = Callable[[str], Awaitable[None]]


async def gateway(
    place: Stage, singles: int, count: int, rounds: int, scale: int, log: Path, say: Callable[[str], None]
) -> Gateway:
    """Measure `singles` stops of each kind one at a time, `count` in each round, and a start beside `scale` tasks.

    Raises WrongError where a stop did not reach its task.
    """
    async with AsyncExitStack() as stack:
        door = await stack.enter_async_context(_door(place.namespace, log))
        say(f"gateway: {singles} stops of each kind, one at a time")
        single = await _one_by_one(place, door, singles)
        per_second: defaultdict[str, list[float]] = defaultdict(list)
        for number in range(rounds):
            for name in random.sample((THROUGH, PATCH), 2):
                found = await _at_once(place, door, name, f"{name[0]}{number}", count)
                say(f"gateway, round {number + 1}: {found:.0f} stops a second, {name}")
                per_second[name].append(found)
    await _delete_all(place)
    say(f"gateway: {STREAMS} streams of events")
    uids = await _make(place, "s", STREAMS)
    async with _door(place.namespace, log) as door:
        before = door.process.memory_mib()
        with_streams = await door.with_streams(list(uids.values()))
    say(f"gateway: making tasks until there are {scale}")
    await _make(place, "m", max(0, scale - STREAMS))
    async with _door(place.namespace, log) as door:
        ready, resident = door.process.ready_seconds, door.process.memory_mib()
    return Gateway(
        single=single,
        count=count,
        in_flight=IN_FLIGHT,
        per_second=dict(per_second),
        streams=STREAMS,
        without_streams_mib=before,
        with_streams_mib=with_streams,
        tasks=scale,
        ready_seconds=ready,
        resident_mib=resident,
    )


class _Door:
    """A gateway, and a client of it."""

    def __init__(self, process: OperatorProcess, url: str, namespace: str, session: aiohttp.ClientSession) -> None:
        self.process = process
        self._url = url
        self._namespace = namespace
        self._session = session

    async def stop(self, uid: str) -> None:
        """Stop one task."""
        async with self._session.post(f"{self._url}/xpander/v1/tasks/{uid}/stop") as answer:
            await answer.json()
        check(answer.status == 200, f"the gateway answers {answer.status} to a stop")

    async def with_streams(self, uids: Sequence[str]) -> float:
        """Return the gateway's memory with a stream of events for each of these tasks, in MiB."""
        async with AsyncExitStack() as stack:
            for uid in uids:
                url = f"{self._url}/xpander/{self._namespace}/agent-execution/{uid}/events"
                answer = await stack.enter_async_context(self._session.get(url))
                check(answer.status == 200, f"the gateway answers {answer.status} to a stream")
                await answer.content.readline()
            await asyncio.sleep(SETTLE_SECONDS)
            return self.process.memory_mib()


@asynccontextmanager
async def gateway_process(
    namespace: str, log: Path, options: Sequence[str]
) -> AsyncIterator[tuple[OperatorProcess, str, aiohttp.ClientSession]]:
    """Start a gateway with an API key; yield it with its URL, and with a session of whoever holds the key."""
    port = free_port()
    key, entry = make_key("benchmark", "benchmark", ("system:masters",))
    keys = log.with_name("keys.yaml")
    keys.write_text(yaml.safe_dump({"keys": [entry.model_dump(mode="json")]}), encoding="utf-8")
    arguments = ["gateway", "--port", str(port), "-n", namespace, "--keys", str(keys), *options]
    async with (
        started(arguments, port, log.with_name("gateway.log")) as process,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers={"x-api-key": key},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=60),
        ) as session,
    ):
        yield process, f"http://127.0.0.1:{port}", session


@asynccontextmanager
async def _door(namespace: str, log: Path) -> AsyncIterator[_Door]:
    async with gateway_process(namespace, log, ["--wait", "0"]) as (process, url, session):
        yield _Door(process, url, namespace, session)


def _ways(place: Stage, door: _Door, uids: Uids) -> dict[str, Stop]:
    async def patch(name: str) -> None:
        body = {"metadata": {"uid": uids[name]}, "spec": {"stopRequested": True}}
        await place.api.patch(f"{tasks_path(place.namespace)}/{name}", body)

    return {THROUGH: lambda name: door.stop(uids[name]), PATCH: patch}


async def _one_by_one(place: Stage, door: _Door, count: int) -> dict[str, Latencies]:
    uids = await _make(place, "i", 2 * (count + WARM_UP))
    ways, names = _ways(place, door, uids), iter(uids)
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(count + WARM_UP):
        for way in random.sample(list(ways), len(ways)):
            name = next(names)
            began = time.perf_counter()
            await ways[way](name)
            if number >= WARM_UP:
                seconds[way].append(time.perf_counter() - began)
            await asyncio.sleep(QUIET_SECONDS * (1 + random.random()))
    await _check_stopped(place, uids)
    return {name: Latencies(each) for name, each in seconds.items()}


async def _at_once(place: Stage, door: _Door, way: str, prefix: str, count: int) -> float:
    """Return the stops per second."""
    uids = await _make(place, prefix, count)
    await asyncio.sleep(SETTLE_SECONDS)
    stop = _ways(place, door, uids)[way]
    began = time.perf_counter()
    await for_all(uids, stop, at_once=IN_FLIGHT)
    seconds = time.perf_counter() - began
    await _check_stopped(place, uids)
    return count / seconds


async def _make(place: Stage, prefix: str, count: int) -> Uids:
    """Make tasks, which nobody runs; return the UID of each by its name."""
    found: dict[str, str] = {}

    async def make(name: str) -> None:
        made = await place.api.call("POST", tasks_path(place.namespace), OURS.manifest(name))
        found[name] = made["metadata"]["uid"]

    await for_all(OURS.names(f"g{prefix}", count), make)
    await asyncio.sleep(SETTLE_SECONDS)
    return found


async def _check_stopped(place: Stage, uids: Uids) -> None:
    items = (await place.api.call("GET", tasks_path(place.namespace)))["items"]
    asked = {each["metadata"]["name"] for each in items if each["spec"].get("stopRequested")}
    check(uids.keys() <= asked, f"{len(uids.keys() - asked)} tasks were not stopped")


async def _delete_all(place: Stage) -> None:
    await place.api.call("DELETE", tasks_path(place.namespace))
