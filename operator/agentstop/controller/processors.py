"""Whether the pods of a task use a processor, by metrics.k8s.io; asked once where a task seems to be idle."""

import asyncio
import logging
import time
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from kubernetes.utils.quantity import parse_quantity

from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.lifecycle.facts import CPUUse
from agentstop.lifecycle.idle import cpu_use_of
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
"""So long all of it takes at most: a stop that somebody asks for meanwhile waits for it, and metrics may hang."""

MAX_CORES: Final = Decimal(10**6)
"""As many processors nobody has: so much counts where more is said."""


async def look(gateway: Gateway, tasks: Iterable[Task], seconds: float = LOOK_SECONDS) -> CPUUse:
    """Return what the processors say of tasks that seem to be idle together: one that works is enough."""
    deadline = time.monotonic() + seconds
    try:
        await gateway.call("GET", METRICS, timeout=seconds)
    except ApiError as error:
        return CPUUse.NOT_SERVED if error.code in {403, 404} else CPUUse.UNKNOWN
    found: set[CPUUse] = set()
    asked = [(task, names) for task in tasks if (names := _running(task))]
    for first in range(0, len(asked), AT_ONCE):
        some = [_cpu_use(gateway, task, names, deadline) for task, names in asked[first : first + AT_ONCE]]
        found.update(await asyncio.gather(*some) if len(some) > 1 else [await some[0]])
        if CPUUse.BUSY in found:
            return CPUUse.BUSY
    return CPUUse.QUIET if found == {CPUUse.QUIET} else CPUUse.UNKNOWN


def _running(task: Task) -> list[str]:
    pods = task.status.workload.pods if task.status.workload is not None else ()
    return [each.name for each in pods if each.phase not in {"Pending", "Succeeded", "Failed"}][:MOST_PODS]


async def _cpu_use(gateway: Gateway, task: Task, names: Iterable[str], deadline: float) -> CPUUse:
    """Return what the processors say of one task. What cannot be read may be the pod that works."""
    used, failed = None, False
    for name in names:
        left = deadline - time.monotonic()
        if left <= 0:
            return CPUUse.UNKNOWN
        try:
            answer = await gateway.call("GET", f"{METRICS}/namespaces/{task.namespace}/pods/{name}", timeout=left)
        except ApiError as error:
            log.debug("what pod %s/%s uses is not known: %s", task.namespace, name, error)
            failed = failed or not error.absent
            continue
        used = (used or 0) + sum(map(millicores, answer.get("containers") or ()))
    cpu = cpu_use_of(used) if used is not None else CPUUse.UNKNOWN
    return CPUUse.UNKNOWN if failed and cpu is CPUUse.QUIET else cpu


def millicores(container: Any) -> int:
    """Return how much of a processor a container uses, in thousandths; 0 where it does not say so in a way we know."""
    usage = container.get("usage") if isinstance(container, dict) else None
    try:
        cores: Decimal = parse_quantity(str(usage.get("cpu") if isinstance(usage, dict) else None))
    except ValueError:
        return 0
    return round(min(cores, MAX_CORES) * 1000) if cores.is_finite() and cores > 0 else 0
