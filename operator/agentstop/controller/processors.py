"""Whether the pods of a task use a processor, by metrics.k8s.io; asked once where a task seems to be idle."""

import asyncio
import logging
import re
import time
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.lifecycle.facts import Life
from agentstop.lifecycle.idle import life_of
from agentstop.lifecycle.observation import Task

log = logging.getLogger(__name__)

METRICS: Final = "/apis/metrics.k8s.io/v1beta1"
"""Where processors are measured.

Source: https://github.com/kubernetes/metrics/blob/v0.36.0/pkg/apis/metrics/v1beta1/types.go
"""

MOST_PODS: Final = 16
"""So many pods of a task are asked about: one that works is enough, and among so many one that should does."""

AT_ONCE: Final = 32
"""Of so many tasks of a family the processors are looked at side by side."""

LOOK_SECONDS: Final = 2.0
"""After so long no further ones are looked at: a stop that somebody asks for meanwhile waits for it."""

_QUANTITY: Final = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)(n|u|m||k)")
_MILLICORES: Final = {
    "n": Decimal("0.000001"),
    "u": Decimal("0.001"),
    "m": Decimal(1),
    "": Decimal(1000),
    "k": Decimal(10**6),
}


async def look(gateway: Gateway, tasks: Iterable[Task], seconds: float = LOOK_SECONDS) -> Life:
    """Return what the processors say of tasks that seem to be idle together: one that works is enough."""
    until = time.monotonic() + seconds
    try:
        await gateway.call("GET", METRICS)
    except ApiError as error:
        return Life.NOT_SERVED if error.code in {403, 404} else Life.UNKNOWN
    found: set[Life] = set()
    asked = [(task, names) for task in tasks if (names := _running(task))]
    for first in range(0, len(asked), AT_ONCE):
        if first and time.monotonic() >= until:
            return Life.UNKNOWN
        some = [_life(gateway, task, names) for task, names in asked[first : first + AT_ONCE]]
        found.update(await asyncio.gather(*some) if len(some) > 1 else [await some[0]])
        if Life.ALIVE in found:
            return Life.ALIVE
    return Life.QUIET if found == {Life.QUIET} else Life.UNKNOWN


def _running(task: Task) -> list[str]:
    pods = task.status.workload.pods if task.status.workload is not None else ()
    return [each.name for each in pods if each.phase not in {"Pending", "Succeeded", "Failed"}][:MOST_PODS]


async def _life(gateway: Gateway, task: Task, names: Iterable[str]) -> Life:
    """Return what the processors say of one task. What cannot be read may be the pod that works."""
    used, failed = None, False
    for name in names:
        try:
            answer = await gateway.call("GET", f"{METRICS}/namespaces/{task.namespace}/pods/{name}")
        except ApiError as error:
            log.debug("what pod %s/%s uses is not known: %s", task.namespace, name, error)
            failed = failed or not error.absent
            continue
        used = (used or 0) + sum(map(millicores, answer.get("containers") or ()))
    life = life_of(used) if used is not None else Life.UNKNOWN
    return Life.UNKNOWN if failed and life is Life.QUIET else life


def millicores(container: Any) -> int:
    """Return how much of a processor a container uses, in thousandths; 0 where it does not say so in a way we know."""
    usage = container.get("usage") if isinstance(container, dict) else None
    match = _QUANTITY.fullmatch(str(usage.get("cpu"))) if isinstance(usage, dict) else None
    return round(Decimal(match[1]) * _MILLICORES[match[2]]) if match is not None else 0
