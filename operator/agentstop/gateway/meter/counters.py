"""The meter's metrics. Nothing that a sender says is a label."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge


class Counters:
    """Counts what the meter does."""

    def __init__(self, registry: CollectorRegistry, unwritten: Callable[[], float]) -> None:
        """`unwritten` returns how many tasks wait to be written."""
        self._points = Counter(
            "agentstop_meter_points",
            "Points, spans and reports, by what became of them: taken, refused, or limited, to be sent again.",
            ["signal", "outcome"],
            registry=registry,
        )
        self._unpriced = Counter(
            "agentstop_meter_unpriced_points",
            "Points and spans of models that the file of prices does not have; they cost nothing.",
            registry=registry,
        )
        self._writes = Counter(
            "agentstop_meter_writes",
            "Writes of usages, by outcome: ok, failed, to be tried again, or dropped, which was not counted.",
            ["outcome"],
            registry=registry,
        )
        gauge = Gauge("agentstop_meter_unwritten_tasks", "Tasks that wait for a write of theirs.", registry=registry)
        gauge.set_function(unwritten)

    def points(self, signal: str, outcome: str, number: int) -> None:
        """Take in what became of points."""
        if number:
            self._points.labels(signal, outcome).inc(number)

    def unpriced(self, number: int) -> None:
        """Take in points of models without a price."""
        if number:
            self._unpriced.inc(number)

    def wrote(self, outcome: str) -> None:
        """Take in what became of a write."""
        self._writes.labels(outcome).inc()
