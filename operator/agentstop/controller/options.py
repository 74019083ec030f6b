"""How the operator is to run."""

from dataclasses import dataclass

from agentstop.cluster.election import LeaderElectionConfig
from agentstop.lifecycle.decision import LIMITS, Limits
from agentstop.timings import TIMINGS, Timings


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the operator is to run."""

    namespaces: tuple[str, ...] = ()
    """Namespaces to serve; none are all."""
    host: str = "127.0.0.1"
    """Address that the probes and metrics listen on."""
    health_port: int | None = None
    metrics_port: int | None = None
    trust_requested_by: bool = False
    """Whether admission alone can have written who asked for a stop; believed of anybody, it could be a lie."""
    limits: Limits = LIMITS
    fence: str | None = None
    """Name of the Fence to keep; None where no admission policy reads one."""
    timings: Timings = TIMINGS
    """How long it waits, and how often it looks."""
    seat: LeaderElectionConfig | None = None
    """What is to be held in order to act, where there are several replicas; None for one that acts alone."""
