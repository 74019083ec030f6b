"""What a decision asks for. Every effect may be asked for again without harm."""

from dataclasses import dataclass
from datetime import datetime

from agentstop.api.task import PodPolicy


@dataclass(frozen=True, slots=True)
class Start:
    """Make the workload from the task's template, or have one that was paused run again."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """End the workload: SIGTERM, the grace period, SIGKILL."""

    grace_seconds: int | None
    """The grace period that was asked for, in seconds; None for the workload's own."""
    policy: PodPolicy
    kill_at: datetime | None
    """When the grace period that is running ends; None before anything was signaled."""
    pause: bool = False
    """Whether the workload is to come back later: then what is ended bears no mark of a stop."""
    schedule: bool = False
    """Whether what makes such workloads at its times is to make no more."""


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Put our finalizer on the task, so that its deletion waits for the end of an adopted workload."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Take our finalizer off the task."""


@dataclass(frozen=True, slots=True)
class DeleteTask:
    """Delete the task object: its time to live is over."""


WorkloadEffect = Start | Terminate
TaskEffect = AddFinalizer | RemoveFinalizer | DeleteTask
