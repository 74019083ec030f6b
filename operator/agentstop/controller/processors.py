"""Whether the pods of a task use a processor, by metrics.k8s.io; asked once where a task seems to be idle."""

import logging
import re
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

_QUANTITY: Final = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)(n|u|m||k)")
_MILLICORES: Final = {
    "n": Decimal("0.000001"),
    "u": Decimal("0.001"),
    "m": Decimal(1),
    "": Decimal(1000),
    "k": Decimal(10**6),
}


async def look(gateway: Gateway, tasks: Iterable[Task]) -> Life:
    """Return what the processors say of tasks that seem to be idle together."""
    try:
        await gateway.call("GET", METRICS)
    except ApiError as error:
        return Life.NOT_SERVED if error.code in {403, 404} else Life.UNKNOWN
    measured = [await _measure(gateway, each) for each in tasks]
    found = [each for each in measured if each is not None]
    return life_of(sum(found)) if found else Life.UNKNOWN


async def _measure(gateway: Gateway, task: Task) -> int | None:
    """Return how many thousandths of a processor the pods of a task use; None where nobody has measured them."""
    pods = task.status.workload.pods if task.status.workload is not None else ()
    used = None
    for name in [each.name for each in pods if each.phase not in {"Succeeded", "Failed"}][:MOST_PODS]:
        try:
            answer = await gateway.call("GET", f"{METRICS}/namespaces/{task.namespace}/pods/{name}")
        except ApiError as error:
            log.debug("what pod %s/%s uses is not known: %s", task.namespace, name, error)
            continue
        used = (used or 0) + sum(map(millicores, answer.get("containers") or ()))
    return used


def millicores(container: Any) -> int:
    """Return how much of a processor a container uses, in thousandths; 0 where it does not say so in a way we know."""
    usage = container.get("usage") if isinstance(container, dict) else None
    match = _QUANTITY.fullmatch(str(usage.get("cpu"))) if isinstance(usage, dict) else None
    return round(Decimal(match[1]) * _MILLICORES[match[2]]) if match is not None else 0
