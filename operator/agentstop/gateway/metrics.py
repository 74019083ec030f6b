"""The gateway's metrics. Nothing that a caller sends is a label, but the code that it is answered with."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agentstop import __version__
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.streams import Streams

NO_DIALECT: Final = "none"
"""Label of a request that no dialect is there for."""

BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""In seconds. Most requests are answered from what is known; a request to the API server may take up to 8."""


class _State(Collector):
    def __init__(self, index: TaskIndex, streams: Streams) -> None:
        self._index = index
        self._streams = streams

    def collect(self) -> Iterator[Metric]:
        """Yield the state as it is now."""
        yield GaugeMetricFamily("agentstop_gateway_tasks", "Tasks that are known.", value=len(self._index))
        yield GaugeMetricFamily(
            "agentstop_gateway_index_age_seconds",
            "Seconds since the API server last gave the quietest watch of tasks a sign of life.",
            value=self._index.age,
        )
        yield GaugeMetricFamily(
            "agentstop_gateway_streams", "Event streams that are open.", value=self._streams.open_ones
        )


class Metrics:
    """The gateway's metrics, in a registry of their own."""

    def __init__(self, index: TaskIndex, streams: Streams) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "agentstop_gateway_requests", "Requests, by dialect and code.", ["dialect", "code"], registry=self.registry
        )
        self._latency = Histogram(
            "agentstop_gateway_request_duration_seconds",
            "Seconds from a request to its answer, without the wait for the proof of a stop; no streams.",
            ["dialect"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        info = Gauge("agentstop_build_info", "1, with the version as a label.", ["version"], registry=self.registry)
        info.labels(__version__).set(1)
        self.registry.register(_State(index, streams))

    def answered(self, dialect: str, code: int, seconds: float | None) -> None:
        """Take in an answer, after so many seconds; None for a stream, which lasts as its client likes."""
        self._requests.labels(dialect, str(code)).inc()
        if seconds is not None:
            self._latency.labels(dialect).observe(max(seconds, 0.0))
