"""Metrics of the component for Prometheus: never a task's name as a label."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""In seconds."""

REFUSALS: Final = ("NoPodUID", "OtherNode", "UnknownState", "TaskUnknown", "TaskNotFound", "NotTheTasks")


class Metrics:
    """The component's metrics, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.controls = Gauge(
            "agentstop_node_controls", "Pods of this node for which something is asked.", registry=self.registry
        )
        self.frozen = Gauge("agentstop_node_frozen", "Pods of this node that are frozen.", registry=self.registry)
        self.freeze_seconds = self._seconds(
            "freeze", "hearing that a pod is to be frozen until the kernel said that nothing of it runs"
        )
        self.thaw_seconds = self._seconds(
            "thaw", "hearing that a frozen pod is to go on until the kernel said that it is not frozen"
        )
        self.kill_seconds = self._seconds(
            "kill", "hearing that a pod is to be killed until the kernel said that nothing of it is left"
        )
        self.refused = Counter(
            "agentstop_node_refused", "Pods to which nothing was done, by why.", ["reason"], registry=self.registry
        )
        for reason in REFUSALS:
            self.refused.labels(reason)
        self.contact = Gauge(
            "agentstop_node_watch_last_contact_timestamp_seconds",
            "Unix time when the API server last answered the watch that has been silent for longest.",
            registry=self.registry,
        )

    def _seconds(self, what: str, between: str) -> Histogram:
        return Histogram(
            f"agentstop_node_{what}_seconds", f"Seconds from {between}.", buckets=BUCKETS, registry=self.registry
        )

    def took(self, before: str | None, after: str | None) -> Histogram | None:
        """Return what is counted where the processes of a pod went from one state into another, if anything."""
        if after == "Running":
            return self.thaw_seconds if before == "Frozen" else None
        return {"Frozen": self.freeze_seconds, "Killed": self.kill_seconds}.get(after or "")
