"""What is particular to a kind of workload whose pods a controller makes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentstop.api.workload_status import WorkloadStatus
from agentstop.lifecycle.observation import Reason
from agentstop.workloads.controlled.record import OwnerRecord
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.pods.record import Controller


@dataclass(frozen=True, slots=True)
class KindSpec:
    """What is particular to a kind of controlled workload."""

    read: Callable[[Mapping[str, Any]], OwnerRecord]
    """Reads the record of such an object."""
    halt: Mapping[str, Any]
    """What is merged into it to end its pods."""
    resume: Callable[[WorkloadStatus | None], Mapping[str, Any]]
    """What is merged into it to have them made again, from what is on record of it."""
    deed: str
    """What was done to it, for people: suspended, scaled to 0."""
    scale: bool = False
    """Whether that goes to its scale subresource."""
    goes_on: Callable[[ObjectRef, Controller], Reason | None] = lambda _ref, _controller: None
    """Says what goes on though it is stopped, where it has a controller of its own that is no CronJob."""
    refuses: Callable[[ObjectRef, OwnerRecord], Reason | None] = lambda _ref, _owner: None
    """Says why it cannot be the workload of a task, if it can't."""


def made_by_another(ref: ObjectRef, controller: Controller) -> Reason:
    """Say what may make another workload like this one; for `goes_on` of a KindSpec."""
    other = f"{controller.kind} {controller.name}"
    message = f"{ref.kind} {ref.name} is controlled by {other}, which may make another one; stop {other} as well"
    return Reason("WorkloadTakenOver", message)
