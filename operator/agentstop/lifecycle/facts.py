"""What is known of a task besides its workload and its relatives, by which it may be stopped without anybody's word."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Final

from agentstop.api.budget import Budget
from agentstop.lifecycle.observation import Reason
from agentstop.lifecycle.tether import Lease
from agentstop.lifecycle.usage import Usage


class CPUUse(Enum):
    """What the processors say of a task that seems to be idle: whether it uses them."""

    UNASKED = auto()
    NOT_SERVED = auto()
    """Nobody measures them in this cluster."""
    UNKNOWN = auto()
    """They are measured, and what they say could not be had."""
    QUIET = auto()
    BUSY = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was counted of a task and what else bears on its budget, and what keeps its tether."""

    usage: Usage | None = None
    """What was reported of the task; None where nothing was."""
    family_usage: Usage | None = None
    """What was reported of it and of all that descends from it; None where nothing was, or it does not count."""
    foreign: bool = False
    """Whether the TaskUsage of its name is not its own: it was there before, or belongs to a former task."""
    unknown: bool = False
    """Whether it is not known yet what was reported."""
    problem: Reason | None = None
    """Why what was reported, or the namespace's budget, does not count."""
    default_budget: Budget | None = None
    """The namespace's budget for tasks that have none."""
    cpu: CPUUse = CPUUse.UNASKED
    containers_changed_at: datetime | None = None
    """When a container of what descends from it was last started or has ended; only where its family's usage counts."""
    busy_at: datetime | None = None
    """When its pods were last seen to use a processor."""
    lease: Lease | None = None
    """What was read of the Lease of its tether; None before it was read, and for a task that has none."""


NO_FACTS: Final = Facts()
"""Nothing was counted."""
