"""What was measured, as data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class Latencies:
    """Seconds from the patch to a stage, one for every stop."""

    seconds: list[float]

    @property
    def p50_ms(self) -> float:
        """The median, in milliseconds."""
        return percentile(self.seconds, 0.50) * 1000

    @property
    def p99_ms(self) -> float:
        """The 99th percentile, in milliseconds."""
        return percentile(self.seconds, 0.99) * 1000

    def wire(self) -> dict[str, float]:
        """Return the summary, in milliseconds."""
        return {
            "count": len(self.seconds),
            "p50": round(self.p50_ms, 3),
            "p99": round(self.p99_ms, 3),
            "max": round(max(self.seconds) * 1000, 3),
        }


@dataclass
class Idle:
    """Stops one at a time, by contender."""

    effect: dict[str, Latencies]
    """Until the API server accepted the change that ends the pod."""
    end: dict[str, Latencies]
    """Until the contender says that it is over."""


@dataclass(frozen=True)
class MassStop:
    """Many stops at once."""

    count: int
    seconds: float
    """From the first patch until the last effect was seen."""
    effect: Latencies
    end_seconds: float
    """From the first patch until the last one was said to be over."""

    @property
    def per_second(self) -> float:
        """Effects per second."""
        return self.count / self.seconds


@dataclass(frozen=True)
class Scale:
    """An operator that is started where many tasks run already."""

    count: int
    ready_seconds: float
    resident_mib: float
    peak_mib: float
    cpu_seconds: float
    """Processor time until it was ready."""
    effect: Latencies
    end: Latencies
    raw: Latencies


@dataclass
class Results:
    """All of one run."""

    server: str
    note: str
    load: list[float] = field(default_factory=list)
    """The machine's load average (1 minute) after each part: what else ran beside the measurement shows here."""
    idle: Idle | None = None
    mass: dict[str, MassStop] = field(default_factory=dict)
    scale: list[Scale] = field(default_factory=list)
