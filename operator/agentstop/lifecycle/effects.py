"""What a decision asks for. Every effect may be asked for again without harm."""

from dataclasses import dataclass
from datetime import datetime

from agentstop.api.task import PodPolicy


@dataclass(frozen=True, slots=True)
class Start:
    """Make the workload from the task's template, or have one that was paused run again."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """End the workload: SIGTERM, the grace period, SIGKILL. What was asked to go and is frozen is thawed for it."""

    grace_seconds: int | None
    """The grace period that was asked for, in seconds; None for the workload's own."""
    policy: PodPolicy
    """What to do with the pod object now: Keep or Delete."""
    kill_at: datetime | None
    """When the grace period that is running ends; None before anything was signaled."""
    pause: bool = False
    """Whether the workload is to come back later: then what is ended bears no mark of a stop."""
    schedule: bool = False
    """Whether what makes such workloads at its times is to make no more."""
    by_nodes: bool = False
    """Whether the components on the nodes are to kill what is left of it: its time is over."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """Have the kernels of its nodes hold the processes of the workload where they are."""


@dataclass(frozen=True, slots=True)
class Thaw:
    """Have all that is frozen of the workload go on."""


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Put our finalizer on the object, so that its deletion waits for what hangs on it.

    For a task that is the end of an adopted workload, for an order a task that has no record of its stop yet.
    """


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Take our finalizer off the object."""


@dataclass(frozen=True, slots=True)
class DeleteObject:
    """Delete the object: its time to live is over."""


@dataclass(frozen=True, slots=True)
class PauseTask:
    """Set `paused` on the task: a limit of its budget asks for that, and a person takes it back."""


WorkloadEffect = Start | Terminate | Freeze | Thaw
ObjectEffect = AddFinalizer | RemoveFinalizer | DeleteObject | PauseTask
