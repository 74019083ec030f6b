"""Requests to the API server, as data: workload modules say what to send, the gateway sends it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from agentstop.workloads.objects import ObjectRef


@dataclass(frozen=True, slots=True)
class Look:
    """Read the object live, because what is cached cannot prove what has to be known."""

    verb: ClassVar[str] = "get"
    ref: ObjectRef


@dataclass(frozen=True, slots=True)
class Create:
    """Create the object."""

    verb: ClassVar[str] = "create"
    ref: ObjectRef
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Patch:
    """Merge this into the object, if it still has this UID."""

    verb: ClassVar[str] = "patch"
    ref: ObjectRef
    uid: str
    body: Mapping[str, Any]
    ends_processes: bool = False
    """Whether this is the change that ends the object's processes."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object, if it still has this UID."""

    verb: ClassVar[str] = "delete"
    ref: ObjectRef
    uid: str
    grace_seconds: int | None = None
    """Grace period in seconds, at least 1; None for the object's own."""
    ends_processes: bool = True


Request = Look | Create | Patch | Delete
