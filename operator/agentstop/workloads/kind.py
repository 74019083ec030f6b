"""What every kind of workload has to say for itself."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from agentstop.lifecycle.effects import WorkloadEffect
from agentstop.lifecycle.observation import Observation, Task
from agentstop.workloads.controlled.record import OwnerRecord
from agentstop.workloads.objects import Lister, WatchTarget
from agentstop.workloads.pods.record import PodRecord
from agentstop.workloads.requests import Get, LiveRead, Request


class WorkloadKind(Protocol):
    """One kind of workload. All of it is pure: from what is known to what it means, and to what has to be sent."""

    @property
    def read(self) -> Callable[[Mapping[str, Any]], PodRecord | OwnerRecord]:
        """What reads the record of such an object."""

    def watches(self, task: Task, lister: Lister) -> tuple[WatchTarget, ...]:
        """Return what has to be followed for the task, because no label of ours leads to it."""

    def last_reads(self, task: Task, lister: Lister) -> tuple[Get, ...]:
        """Return what has to be looked at once more before it is said that nothing of the task runs."""

    def required_reads(self, task: Task, lister: Lister, now: datetime) -> tuple[LiveRead, ...]:
        """Return what has to be read live before anything can be decided."""

    def observe(self, task: Task, lister: Lister, now: datetime) -> Observation:
        """Return what is seen of the task's workload."""

    def plan_requests(self, task: Task, effect: WorkloadEffect, lister: Lister, now: datetime) -> tuple[Request, ...]:
        """Return the requests that an effect takes, as things are; none where it has taken place already."""
