"""Metrics for Prometheus. Their cost grows with namespaces and phases, never with tasks."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agentstop import __version__
from agentstop.api.task import Phase

SIGNAL_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
DURATION_BUCKETS: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)


class _State(Collector):
    """What is read off the caches when somebody asks."""

    def __init__(
        self,
        phases: Mapping[tuple[str, Phase], int],
        depth: Callable[[], int],
        stalled: Callable[[], Iterable[tuple[str, int]]],
    ) -> None:
        self._phases = phases
        self._depth = depth
        self._stalled = stalled

    def collect(self) -> Iterator[Metric]:
        """Yield the state as it is now."""
        tasks = GaugeMetricFamily("agentstop_tasks", "Tasks by phase.", labels=["namespace", "phase"])
        for (namespace, phase), count in list(self._phases.items()):
            tasks.add_metric([namespace, phase], count)
        yield tasks
        yield GaugeMetricFamily("agentstop_queue_depth", "Tasks that wait to be worked on.", value=self._depth())
        stalled = GaugeMetricFamily("agentstop_stops_stalled", "Stops that something holds up.", labels=["reason"])
        for reason, count in self._stalled():
            stalled.add_metric([reason], count)
        yield stalled


class Metrics:
    """The operator's metrics, in a registry of their own."""

    def __init__(
        self,
        phases: Mapping[tuple[str, Phase], int],
        depth: Callable[[], int],
        stalled: Callable[[], Iterable[tuple[str, int]]],
    ) -> None:
        self.registry = CollectorRegistry()
        self.stop_requests = Counter(
            "agentstop_stop_requests", "Stops that were accepted.", ["source"], registry=self.registry
        )
        self.stop_signal = Histogram(
            "agentstop_stop_signal_seconds",
            "Seconds from the acceptance of a stop until the API server accepted the change that ends the workload.",
            ["source"],
            buckets=SIGNAL_BUCKETS,
            registry=self.registry,
        )
        self.stop_duration = Histogram(
            "agentstop_stop_duration_seconds",
            "Seconds from the acceptance of a stop to the proof that no process is left.",
            ["source", "verdict"],
            buckets=DURATION_BUCKETS,
            registry=self.registry,
        )
        self.reconciles = Counter(
            "agentstop_reconcile", "Decisions on tasks, by how they went.", ["result"], registry=self.registry
        )
        self.last_event = Gauge(
            "agentstop_watch_last_event_timestamp_seconds",
            "Unix time of the newest event of a watch.",
            ["kind"],
            registry=self.registry,
        )
        self.leader = Gauge("agentstop_leader", "1 where this replica acts, 0 on standby.", registry=self.registry)
        self.leader.set(1)
        info = Gauge("agentstop_build_info", "1, with the version as a label.", ["version"], registry=self.registry)
        info.labels(__version__).set(1)
        self.registry.register(_State(phases, depth, stalled))
