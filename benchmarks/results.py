"""What was measured, as data."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

RESAMPLES: Final = 1000


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def ratio_range(ours: Sequence[float], theirs: Sequence[float], share: float) -> tuple[float, float]:
    """Return the range that the ratio of two percentiles lies in with 95 percent, judged by resampling."""
    dice = random.Random(0)
    ratios = sorted(
        percentile(dice.choices(ours, k=len(ours)), share) / percentile(dice.choices(theirs, k=len(theirs)), share)
        for _ in range(RESAMPLES)
    )
    return percentile(ratios, 0.025), percentile(ratios, 0.975)


@dataclass(frozen=True)
class Latencies:
    """Seconds from the patch to a stage, one for every stop."""

    seconds: list[float]

    def percentile(self, share: float) -> float:
        """Return the seconds that `share` (0 to 1) of the stops do not exceed."""
        return percentile(self.seconds, share)

    @property
    def p50_ms(self) -> float:
        """The median, in milliseconds."""
        return self.percentile(0.50) * 1000

    @property
    def p99_ms(self) -> float:
        """The 99th percentile, in milliseconds."""
        return self.percentile(0.99) * 1000

    def wire(self) -> dict[str, float]:
        """Return the summary, in milliseconds."""
        return {
            "count": len(self.seconds),
            "p50": round(self.p50_ms, 3),
            "p99": round(self.p99_ms, 3),
            "max": round(max(self.seconds) * 1000, 3),
        }


ByContender = dict[str, Latencies]


@dataclass(frozen=True)
class Idle:
    """Stops one at a time."""

    effect: ByContender
    """Until the API server accepted the change that ends the pod."""
    end: ByContender
    """Until the contender says that it is over."""


@dataclass(frozen=True)
class JobPath:
    """Jobs that are stopped one at a time, through their tasks and by a plain patch."""

    nodes: str
    """Who ran the pods."""
    effect: ByContender
    """Until the API server accepted the deletion of the last pod."""
    gone: ByContender
    """Until the last pod was gone."""
    end: ByContender
    """Until the contender says that it is over."""


@dataclass(frozen=True)
class Family:
    """Families of tasks that are stopped by one patch, and as many tasks by one patch each."""

    count: int
    """So many tasks has a family."""
    effect: ByContender
    """Until the API server accepted the change that ends the last pod."""
    end: ByContender
    """Until the root is Stopped, and with it all; or until the last of them is, where they are no family."""


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
class Orders:
    """One order over many running tasks, and the same patches of pods sent by hand, while new tasks arrive."""

    count: int
    namespaces: int
    halt: Latencies
    """By the orders' own word, until the last process was proven gone; one for every round."""
    signal: ByContender
    """Until the API server accepted the change that ends the last pod; one for every round."""
    arrived_per_second: float
    """Tasks that were made meanwhile, in the round with the fewest."""
    operator_share: float
    """Of a processor, that the operator used until then, in the round with the most."""


@dataclass(frozen=True)
class Crowd:
    """Single stops beside an order over many tasks."""

    count: int
    """So many tasks the order stops."""
    seconds: float
    """Until the API server accepted the change that ends the last of their pods."""
    quiet: ByContender
    """Single stops until the effect is accepted, with nothing else going on."""
    busy: ByContender
    """The same during the mass stop."""


BARE_PYTHON: Final = "python -c pass"
STOP_NAME: Final = "agentstop stop NAME"
STOP_REQUEST: Final = "agentstop stop NAME, first request"
COMPLETE_VERB: Final = "completion of a verb"
COMPLETE_NAME: Final = "completion of a task's name"


@dataclass(frozen=True)
class Startup:
    """Starts of the plugin's programs, until they end or make their first request."""

    seconds: ByContender


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


@dataclass(frozen=True)
class Gateway:
    """Stops through the gateway, and the same patches sent without it."""

    single: ByContender
    """One at a time, until the answer."""
    count: int
    in_flight: int
    per_second: dict[str, list[float]]
    """Stops a second with so many in flight; one for every round."""
    streams: int
    without_streams_mib: float
    with_streams_mib: float
    """Resident memory with so many streams of events open."""
    tasks: int
    ready_seconds: float
    """Until it was ready beside so many tasks."""
    resident_mib: float
    """Resident memory then."""


@dataclass(frozen=True)
class Load:
    """Requests at an even pace."""

    per_second: float
    answer: Latencies
    """Until the answer of each."""
    server_share: float | None
    """Of a processor, that the API server used; None where it does not tell."""
    operator_share: float
    """The same of the operator."""

    @property
    def server_ms(self) -> float | None:
        """Milliseconds of its processor that one request cost the API server."""
        return self.server_share / self.per_second * 1000 if self.server_share is not None else None


@dataclass(frozen=True)
class Reporting:
    """Tasks that report what they spend, and Leases that are renewed as often."""

    count: int
    every_seconds: float
    rounds: dict[str, list[Load]]
    """Both kinds of requests; one for every round."""
    effect: ByContender
    """Single stops beside it, from the report that passes a limit until the effect is accepted."""


@dataclass(frozen=True)
class Tethers:
    """Tasks that are each tethered to a Lease of their own."""

    count: int
    duration: int
    """So many seconds a Lease lasts without a renewal."""
    reads_per_renewal: float | None
    """Reads of Leases for each renewal; None where the API server does not tell."""
    reads_per_duration: float | None
    """Reads of each Lease in its time."""
    operator_share: float
    """Of a processor, that the operator used meanwhile."""
    late: Latencies
    """From when a Lease that is renewed no more has run out, until the effect is accepted."""


@dataclass(frozen=True)
class Taking:
    """Spans that were sent to the gateway's meter for a while."""

    taken_per_second: float
    refused_per_second: float
    """With 429, and when to come again."""
    answer: Latencies
    """Until the answer of each request that was taken."""
    gateway_share: float
    """Of a processor, that the gateway used meanwhile."""
    before_mib: float
    """Its resident memory before that."""
    peak_mib: float
    """The most that it ever was up to the end."""


@dataclass(frozen=True)
class Meter:
    """The gateway's meter. Each span that was taken stands in a usage in the end, once."""

    tasks: int
    spans: int
    """In one request."""
    per_second: int
    """So many spans were sent a second."""
    paced: Taking
    flood: Taking
    """Sent without a pause."""


@dataclass(frozen=True)
class Freeze:
    """Agents on one node that are frozen, by one order and by as many raw calls; one for every round."""

    count: int
    last: ByContender
    """Until the kernel said of the last that it is frozen."""
    said: Latencies
    """By the orders' own word, until it was known of all."""


@dataclass(frozen=True)
class Nodes:
    """Stops by an operator that may ask the nodes, and by one that does not."""

    effect: ByContender
    """Single stops, until the effect is accepted."""
    end: ByContender
    """Single stops, until it is said to be over."""
    mass: dict[str, list[MassStop]]
    """Mass stops; one for every round."""
    ready_seconds: dict[str, float]
    resident_mib: dict[str, float]
    """Of the operators, after all of that."""
    controls: int
    """How many times a node was asked for anything."""


@dataclass
class Results:
    """All of one run."""

    server: str
    note: str
    load: list[float] = field(default_factory=list)
    """The machine's load average (1 minute) after each part: what else ran beside the measurement shows here."""
    stolen: list[float] = field(default_factory=list)
    """Processor seconds of each part that a virtual machine's host kept for others: the tail of all latencies hangs on
    it, ours and theirs."""
    idle: Idle | None = None
    mass: dict[str, MassStop] = field(default_factory=dict)
    jobs: JobPath | None = None
    family: Family | None = None
    orders: Orders | None = None
    crowd: Crowd | None = None
    startup: Startup | None = None
    gateway: Gateway | None = None
    meter: Meter | None = None
    reporting: Reporting | None = None
    tethers: Tethers | None = None
    freeze: Freeze | None = None
    nodes: Nodes | None = None
    scale: list[Scale] = field(default_factory=list)
