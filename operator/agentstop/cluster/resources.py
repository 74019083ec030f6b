"""Where each kind of object lives in the API, and how its record is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentstop.api.meta import GROUP, VERSION
from agentstop.api.task import KIND, PLURAL
from agentstop.workloads.node import NodeSeen, read_node
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.podseen import PodSeen, read_pod

TASKS: Final = f"/apis/{GROUP}/{VERSION}"


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object whose records are kept."""

    prefix: str
    plural: str
    read: Callable[[Mapping[str, Any]], PodSeen | NodeSeen]


RESOURCES: Final[Mapping[str, Resource]] = {
    "Pod": Resource("/api/v1", "pods", read_pod),
    "Node": Resource("/api/v1", "nodes", read_node),
}

_PLACES: Final = {kind: (resource.prefix, resource.plural) for kind, resource in RESOURCES.items()} | {
    KIND: (TASKS, PLURAL)
}


def collection(kind: str, namespace: str = "") -> str:
    """Return the path of all objects of a kind, in one namespace or (empty) in all of them."""
    prefix, plural = _PLACES[kind]
    return f"{prefix}/namespaces/{namespace}/{plural}" if namespace else f"{prefix}/{plural}"


def path(ref: ObjectRef) -> str:
    """Return the path of one object."""
    return f"{collection(ref.kind, ref.namespace)}/{ref.name}"
