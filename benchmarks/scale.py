"""An operator that starts where thousands of tasks run already."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from agentstop.api.meta import API_VERSION, TASK_LABEL
from agentstop.api.task import KIND
from agentstop.cluster.cache import Cache
from agentstop.lifecycle.decide import decide
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.registry import kind_of
from benchmarks.contenders import BARE, CONTAINER, OURS, RAW, Contender, pod_manifest, pods_path, tasks_path
from benchmarks.idle import WARM_UP, prepare, take_turns
from benchmarks.kubelet import now, running_status
from benchmarks.operator_process import operator
from benchmarks.results import Scale
from benchmarks.stage import Stage, for_all

SETTLE_SECONDS: Final = 10.0
"""Until the API server is done with what the operator's start and the making of pods have left behind in it."""


async def scale(place: Stage, counts: list[int], stops: int, log: Path, say: Callable[[str], None]) -> list[Scale]:
    """Measure an operator's start and its idle stops with these numbers of running tasks, in rising order.

    The tasks and pods are there before the operator is, with all of their status.
    """
    results: list[Scale] = []
    made = 0
    first = 0
    for count in counts:
        wanted = [f"{OURS.letter}s{number:05d}" for number in range(made, count + first)]
        made = max(made, count + first)
        say(f"scale: making tasks and pods until there are {count} of each")
        await for_all(wanted, lambda name: make_running(place, OURS, name))
        if not results:
            await place.watch()
        say(f"scale: starting an operator beside {count} tasks")
        async with operator(place.namespace, log) as process:
            resident, peak, cpu = process.memory_mib(), process.peak_mib(), process.cpu_seconds()
            each = min(stops, count // 2) + WARM_UP
            raw = (await prepare(place, [BARE], f"s{count}x", each))[RAW]
            await asyncio.sleep(SETTLE_SECONDS)
            ours = [f"{OURS.letter}s{number:05d}" for number in range(first, first + each)]
            names = {OURS.name: ours, RAW: raw}
            await take_turns(place, [OURS, BARE], {name: some[:WARM_UP] for name, some in names.items()})
            effect, end = await take_turns(place, [OURS, BARE], {name: some[WARM_UP:] for name, some in names.items()})
            first += each
            results.append(
                Scale(
                    count=count,
                    ready_seconds=process.ready_seconds,
                    resident_mib=resident,
                    peak_mib=peak,
                    cpu_seconds=cpu,
                    effect=effect[OURS.name],
                    end=end[OURS.name],
                    raw=effect[RAW],
                )
            )
    return results


async def make_running(place: Stage, contender: Contender, name: str) -> None:
    """Make a task and its running pod, each with the status that the operator itself would have given it."""
    api, namespace = place.api, place.namespace
    task = await api.call("POST", tasks_path(namespace), contender.manifest(name))
    metadata: dict[str, Any] = {
        "name": name,
        "labels": {TASK_LABEL: name},
        "ownerReferences": [
            {"apiVersion": API_VERSION, "kind": KIND, "name": name, "uid": task["metadata"]["uid"], "controller": True}
        ],
    }
    await api.call("POST", pods_path(namespace), pod_manifest(name) | {"metadata": metadata})
    status = {"status": running_status(CONTAINER, now())}
    pod = await api.patch(f"{pods_path(namespace)}/{name}/status", status)
    await api.patch(f"{tasks_path(namespace)}/{name}/status", {"status": _status(task, pod)})


def _status(task: dict[str, Any], pod: dict[str, Any]) -> dict[str, Any]:
    """Return what the operator would write, by its own decision."""
    moment = datetime.now(UTC)
    cache = Cache()
    key = cache.tasks.put(task, moment)
    assert key is not None
    cache.objects.see(ObjectRef("Pod", key.namespace, key.name), pod, moment)
    record = cache.tasks.get(key)
    assert record is not None
    kind = kind_of(record)
    assert kind is not None
    return decide(record, kind.observe(record, cache.lister, moment), moment).status.wire()
