"""What operator and gateway really expose, once everything that has a number has happened."""

from dataclasses import dataclass
from functools import cache

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from agentstop.api.task import StopSource, Verdict
from agentstop.cluster.cache import Cache
from agentstop.controller.metrics import Metrics
from agentstop.controller.spending import Overspent
from agentstop.controller.stalls import Stalls
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.meter.counters import Counters
from agentstop.gateway.metrics import Metrics as GatewayMetrics
from agentstop.gateway.streams import Streams
from tests.unit.objects import NOW, raw_task, when

TARGET_LABELS = frozenset({"job", "instance", "pod", "namespace"})
"""Labels that Prometheus itself puts on everything."""


@dataclass(frozen=True)
class Family:
    """One metric."""

    name: str
    type: str
    labels: frozenset[str]
    samples: frozenset[str]
    """The names that can be asked for."""


def registered() -> Metrics:
    """Return metrics in which everything has happened once."""
    cache, stalls = Cache(), Stalls()
    cache.tasks.listen(stalls.changed)
    overspent = Overspent(cache.tasks, lambda _: None)
    metrics = Metrics(cache.tasks.phases, lambda: 0, lambda: stalls, overspent=lambda: overspent)
    metrics.watch_health.expect(())
    metrics.heard("Pod")
    held = {
        "type": "Stalled",
        "status": "True",
        "reason": "NodeUnreachable",
        "message": "",
        "lastTransitionTime": when(0),
    }
    exceeded = held | {"type": "BudgetExceeded", "reason": "CostExceeded"}
    cache.tasks.put(raw_task(None, {"phase": "Stopping", "conditions": [held, exceeded]}), NOW)
    metrics.task_cost.labels("ns", "a", "USD").inc()
    for counter in (metrics.task_tokens, metrics.task_turns):
        counter.labels("ns", "a").inc()
    metrics.stop_requests.labels(StopSource.USER).inc()
    metrics.stop_signal.labels(StopSource.USER).observe(0.1)
    metrics.stop_duration.labels(StopSource.USER, Verdict.GRACEFUL).observe(1.0)
    return metrics


def registered_of_gateway() -> GatewayMetrics:
    """Return the gateway's metrics, in which everything has happened once."""
    metrics = GatewayMetrics(TaskIndex(), Streams())
    metrics.answered("xpander", 200, 0.1)
    counters = Counters(metrics.registry, lambda: 0)
    counters.points("metrics", "taken", 1)
    counters.wrote("ok")
    return metrics


@cache
def families() -> dict[str, Family]:
    """Return all metrics of the operator by the names that the documentation gives them."""
    return _families(registered().registry)


@cache
def families_of_gateway() -> dict[str, Family]:
    """Return all metrics of the gateway."""
    return _families(registered_of_gateway().registry)


def _families(registry: CollectorRegistry) -> dict[str, Family]:
    found = {}
    text = generate_latest(registry).decode()
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        samples = {sample.name for sample in family.samples}
        found[name] = Family(name, family.type, frozenset(labels), frozenset(samples))
    return found


@cache
def samples() -> dict[str, frozenset[str]]:
    """Return the labels of every name that can be asked for."""
    return {
        sample: family.labels | ({"le"} if sample.endswith("_bucket") else set())
        for family in (*families().values(), *families_of_gateway().values())
        for sample in family.samples
    }
