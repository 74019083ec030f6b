"""The record of a workload that makes pods of its own: Jobs, sandboxes, and whatever can be scaled."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentstop.api.meta import parse_number, parse_time
from agentstop.lifecycle.observation import Ending, Reason
from agentstop.workloads.lightening import IS_HEAVY
from agentstop.workloads.pods.reading import read_controller
from agentstop.workloads.pods.record import STOP_MANAGER, Controller


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerRecord:
    """What matters of a workload that makes pods of its own."""

    uid: str
    resource_version: str
    generation: int
    controller: Controller | None
    deleting: bool = False
    halted: bool = False
    """Whether its spec asks for no pods."""
    settled: bool = False
    """Whether its controller says of this generation that it has done what the spec asks for."""
    settled_at: datetime | None = None
    """Since when its controller says so, where it does not say for which generation."""
    unsettled: Reason | None = None
    """What its controller says that keeps it from that."""
    heavy: bool = False
    """Whether it is so large that its controller may not be able to say what it has done."""
    selector: str | None = None
    """Label selector that finds its pods."""
    replicas: int | None = None
    """How many pods its spec asks for, where it can be scaled."""
    running: int = 0
    """How many pods its controller counts."""
    manager: str | None = None
    """Who acts on it, where that is not Kubernetes itself."""
    marked_at: datetime | None = None
    """When our stop was accepted, to the second; from managedFields."""
    ending: Ending | None = None
    """How its work ended, as its controller says."""
    remakes: bool = False
    """Whether that is how its pod ended, in whose place it makes another once that is deleted."""
    bound_to: str | None = None
    """Name of the object that runs in its place."""


def read_owner(raw: Mapping[str, Any]) -> OwnerRecord:
    """Return the record of an object of which only its own controller matters."""
    return OwnerRecord(**identity(raw))


def identity(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an OwnerRecord that are read alike from objects of every kind."""
    metadata = raw["metadata"]
    return {
        "uid": metadata["uid"],
        "resource_version": metadata["resourceVersion"],
        "generation": parse_number(metadata.get("generation")),
        "controller": read_controller(metadata.get("ownerReferences") or ()),
        "deleting": "deletionTimestamp" in metadata,
        "heavy": IS_HEAVY in raw,
    }


def conditions_of(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the conditions in a status by their types."""
    return {each.get("type", ""): each for each in status.get("conditions") or ()}


def is_current(said: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    """Whether what a controller says is about the newest generation."""
    return parse_number(said.get("observedGeneration")) >= parse_number(metadata.get("generation"))


def holds(conditions: Mapping[str, Mapping[str, Any]], condition_type: str) -> bool:
    """Whether the condition of this type is True."""
    return conditions.get(condition_type, {}).get("status") == "True"


def stop_accepted_at(metadata: Mapping[str, Any], field: str) -> datetime | None:
    """Return when our stop was accepted, if the field is still as it left it."""
    managers: Iterable[Mapping[str, Any]] = metadata.get("managedFields") or ()
    for entry in managers:
        owned = (entry.get("fieldsV1") or {}).get("f:spec") or {}
        if entry.get("manager") == STOP_MANAGER and f"f:{field}" in owned:
            return parse_time(entry.get("time"))
    return None
