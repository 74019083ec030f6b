"""Metrics for Prometheus. Their cost grows with namespaces and phases, never with tasks.

Series of stops are there from the start with 0: Prometheus sees an increase only between two values, and the first
stop of its kind would not be one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agentstop import __version__
from agentstop.api.task import Phase, StopSource, Verdict
from agentstop.controller.spending import Beyond
from agentstop.controller.stalls import Stall
from agentstop.controller.watch_health import KINDS, WatchHealth
from agentstop.timings import TIMINGS, Timings

SIGNAL_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
"""In seconds. 1 is a bound of its own, so that an alert on it is exact."""

DURATION_BUCKETS: Final = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
"""In seconds: grace periods are 30 seconds by default, and an hour is long."""

UNWRITABLE: Final = ("TaskTooLarge", "StatusNotWritable")
RESULTS: Final = ("success", "retry", "error")


class _State(Collector):
    """What is read off the caches when somebody asks."""

    def __init__(
        self,
        phases: Mapping[tuple[str, Phase], int],
        depth: Callable[[], int],
        stalled: Callable[[], Iterable[Stall]],
        overspent: Callable[[], Iterable[Beyond]],
        watch_health: WatchHealth,
    ) -> None:
        self._phases = phases
        self._depth = depth
        self._stalled = stalled
        self._overspent = overspent
        self._watch_health = watch_health

    def collect(self) -> Iterator[Metric]:
        """Yield the state as it is now."""
        tasks = GaugeMetricFamily("agentstop_tasks", "Tasks by phase.", labels=["namespace", "phase"])
        phases = list(self._phases.items())
        used = {namespace for (namespace, _), count in phases if count}  # namespaces come and go
        for (namespace, phase), count in phases:
            if namespace in used:
                tasks.add_metric([namespace, phase], count)
        yield tasks
        yield GaugeMetricFamily("agentstop_queue_depth", "Tasks that wait to be worked on.", value=self._depth())
        stalled = GaugeMetricFamily("agentstop_stops_stalled", "Stops that something holds up.", labels=["reason"])
        since = GaugeMetricFamily(
            "agentstop_stops_stalled_since_timestamp_seconds",
            "Unix time since when the oldest of the stops that something holds up is stalled.",
            labels=["reason"],
        )
        for stall in self._stalled():
            stalled.add_metric([stall.reason], stall.count)
            if stall.since is not None:
                since.add_metric([stall.reason], stall.since.timestamp())
        yield stalled
        yield since
        yield from self._budgets()
        contact = GaugeMetricFamily(
            "agentstop_watch_last_contact_timestamp_seconds",
            "Unix time when the API server last answered a watch that has been silent for longest.",
            labels=["kind"],
        )
        for kind, at in self._watch_health.oldest():
            contact.add_metric([kind], at)
        yield contact
        skipped = CounterMetricFamily(
            "agentstop_watch_skipped",
            "Objects that a list or a watch brought and that could not be read.",
            labels=["kind"],
        )
        for kind in KINDS.values():
            skipped.add_metric([kind], self._watch_health.skips[kind])
        yield skipped

    def _budgets(self) -> Iterator[Metric]:
        beyond = GaugeMetricFamily(
            "agentstop_budgets_exceeded",
            "Tasks beyond their budgets that have not ended and are not paused, by what the budget asks for.",
            labels=["action"],
        )
        since = GaugeMetricFamily(
            "agentstop_budgets_exceeded_since_timestamp_seconds",
            "Unix time since when the first of them is beyond its budget.",
            labels=["action"],
        )
        for each in self._overspent():
            beyond.add_metric([each.action], each.count)
            if each.since is not None:
                since.add_metric([each.action], each.since.timestamp())
        yield beyond
        yield since


class Metrics:
    """The operator's metrics, in a registry of their own."""

    def __init__(
        self,
        phases: Mapping[tuple[str, Phase], int],
        depth: Callable[[], int],
        stalled: Callable[[], Iterable[Stall]],
        timings: Timings = TIMINGS,
        overspent: Callable[[], Iterable[Beyond]] = tuple,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.watch_health = WatchHealth(timings=timings)
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
        self.orphans = Gauge("agentstop_orphaned_pods", "Pods of no task that are being ended.", registry=self.registry)
        self.orphans_ended = Counter(
            "agentstop_orphaned_pods_ended",
            "Pods that were ended since no task stood for them.",
            registry=self.registry,
        )
        self.unwritable = Counter(
            "agentstop_status_unwritable",
            "Tasks whose status the API server does not take, by the reason.",
            ["reason"],
            registry=self.registry,
        )
        self.task_cost = Counter(
            "agentstop_task_cost",
            "What tasks have cost, as it was reported.",
            ["namespace", "agent", "currency"],
            registry=self.registry,
        )
        self.task_tokens = Counter(
            "agentstop_task_tokens",
            "Tokens that tasks have used, as it was reported.",
            ["namespace", "agent"],
            registry=self.registry,
        )
        self.task_turns = Counter(
            "agentstop_task_turns",
            "How many times tasks have asked a model, as it was reported.",
            ["namespace", "agent"],
            registry=self.registry,
        )
        self.last_event = Gauge(
            "agentstop_watch_last_event_timestamp_seconds",
            "Unix time of the newest event of a watch.",
            ["kind"],
            registry=self.registry,
        )
        self.leader = Gauge(
            "agentstop_leader",
            "1 if this process acts, 0 if it stands by; always 1 without an election.",
            registry=self.registry,
        )
        self.leader.set(1)
        info = Gauge("agentstop_build_info", "1, with the version as a label.", ["version"], registry=self.registry)
        info.labels(__version__).set(1)
        self._begin_with_zero()
        self.registry.register(_State(phases, depth, stalled, overspent, self.watch_health))

    def _begin_with_zero(self) -> None:
        for source in StopSource:
            self.stop_requests.labels(source)
            self.stop_signal.labels(source)
            for verdict in Verdict:
                self.stop_duration.labels(source, verdict)
        for reason in UNWRITABLE:
            self.unwritable.labels(reason)
        for result in RESULTS:
            self.reconciles.labels(result)

    def heard(self, kind: str) -> None:
        """Take in that a watch brought something of this kind."""
        self.last_event.labels(kind).set_to_current_time()
