"""What every kind of workload has to say for itself."""

from datetime import datetime
from typing import Protocol

from agentstop.lifecycle.effects import WorkloadEffect
from agentstop.lifecycle.observation import Observation, Task
from agentstop.workloads.objects import Surroundings, Watch
from agentstop.workloads.requests import LiveLook, Request


class WorkloadKind(Protocol):
    """One kind of workload. All of it is pure: from what is known to what it means, and to what has to be sent."""

    def watches(self, task: Task, around: Surroundings) -> tuple[Watch, ...]:
        """Return what has to be followed for the task, because no label of ours leads to it."""

    def looks(self, task: Task, around: Surroundings, now: datetime) -> tuple[LiveLook, ...]:
        """Return what has to be read live before anything can be decided."""

    def observe(self, task: Task, around: Surroundings, now: datetime) -> Observation:
        """Return what is seen of the task's workload."""

    def carry_out(self, task: Task, effect: WorkloadEffect, around: Surroundings, now: datetime) -> tuple[Request, ...]:
        """Return the requests that an effect takes, as things are; none where it has taken place already."""
