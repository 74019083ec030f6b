"""Where each kind of object lives in the API, and how its record is read."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from agentstop.api.fence import FENCE_KIND, FENCE_PLURAL
from agentstop.api.meta import API_VERSION, GROUP, VERSION
from agentstop.api.order import CLUSTER_ORDER_KIND, CLUSTER_ORDER_PLURAL, ORDER_KIND, ORDER_PLURAL
from agentstop.api.pod_control import CONTROL_KIND, CONTROL_PLURAL
from agentstop.api.task import KIND, PLURAL
from agentstop.api.usage import USAGE_KIND, USAGE_PLURAL
from agentstop.words.leases import LEASES_PLURAL, LEASES_ROOT
from agentstop.workloads.controlled.record import OwnerRecord
from agentstop.workloads.kinds.scalable import SCALED
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.pods.node import NodeRecord, read_node
from agentstop.workloads.pods.reading import read_pod
from agentstop.workloads.pods.record import PodRecord
from agentstop.workloads.registry import kind_called
from agentstop.workloads.unreadable import told, unreadable

log = logging.getLogger(__name__)

TASKS: Final = f"/apis/{GROUP}/{VERSION}"

Reader = Callable[[Mapping[str, Any]], PodRecord | NodeRecord | OwnerRecord]


class APIResource(NamedTuple):
    """Where a kind of object lives in the API."""

    prefix: str
    plural: str
    scales: bool = False
    """Whether it has a scale subresource."""
    strategic: bool = False
    """Whether it takes strategic merge patches, as no custom kind does.

    The API server applies these with less work, since it need not write the whole object as JSON and read it again; to
    what we set, both kinds of merge patch mean the same.
    Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply
    """

    def collection(self, namespace: str = "") -> str:
        """Return the path of all objects of the kind, in one namespace or (empty) in all of them."""
        return f"{self.prefix}/namespaces/{namespace}/{self.plural}" if namespace else f"{self.prefix}/{self.plural}"


LEASES: Final = APIResource(LEASES_ROOT, LEASES_PLURAL)
LEASE_VERSION: Final = "coordination.k8s.io/v1"

PLACES: Final[Mapping[tuple[str, str], APIResource]] = {
    ("v1", "Pod"): APIResource("/api/v1", "pods", strategic=True),
    ("batch/v1", "Job"): APIResource("/apis/batch/v1", "jobs", strategic=True),
    (API_VERSION, KIND): APIResource(TASKS, PLURAL),
    (API_VERSION, CONTROL_KIND): APIResource(TASKS, CONTROL_PLURAL),
    (LEASE_VERSION, "Lease"): LEASES,
}
"""Kinds that every cluster we serve has. Where others live has to be asked of the API server."""

ORDERS: Final[Mapping[str, APIResource]] = {
    ORDER_KIND: APIResource(TASKS, ORDER_PLURAL),
    CLUSTER_ORDER_KIND: APIResource(TASKS, CLUSTER_ORDER_PLURAL),
}
"""Kinds of orders. None of them is a workload."""

USAGES: Final = APIResource(TASKS, USAGE_PLURAL)
"""What was counted of tasks. No workload either."""


_PLURALS: Final[Mapping[str, str]] = {
    ORDER_KIND: ORDER_PLURAL,
    CLUSTER_ORDER_KIND: CLUSTER_ORDER_PLURAL,
    USAGE_KIND: USAGE_PLURAL,
    FENCE_KIND: FENCE_PLURAL,
}


def reader_of(ref: ObjectRef) -> Reader:
    """Return what reads the record of an object; what no module stands for is read by its scale."""
    if is_node(ref):
        return read_node
    return kind_called(ref.api_version, ref.kind).read


def read_record(reader: Reader, raw: Mapping[str, Any]) -> PodRecord | NodeRecord | OwnerRecord:
    """Return the record of an object; where nothing can be made of it, one by which it can be ended all the same."""
    try:
        return reader(raw)
    except Exception as error:  # noqa: BLE001  (whoever writes an object may put anything into it)
        metadata = raw["metadata"]
        log.error("%s/%s cannot be read: %s", metadata.get("namespace", ""), metadata["name"], told(error))
        return unreadable(reader, raw, error)


def pod_of(raw: Mapping[str, Any]) -> PodRecord:
    """Return the record of a pod; of one of which nothing can be made, enough to end it."""
    seen = read_record(read_pod, raw)
    assert isinstance(seen, PodRecord)  # noqa: S101  (this tells the type checker what the reader of pods returns)
    return seen


def by_scale(ref: ObjectRef) -> bool:
    """Whether an object is known by its scale subresource alone."""
    return not is_node(ref) and kind_called(ref.api_version, ref.kind) is SCALED


def is_node(ref: ObjectRef) -> bool:
    """Whether it is a node, the one kind of object that we look at outside of namespaces."""
    return not ref.namespace and ref.kind == "Node"


def task_ref(namespace: str, name: str) -> ObjectRef:
    """Return a task as an object."""
    return ObjectRef(KIND, namespace, name, API_VERSION)


def lease_ref(namespace: str, name: str) -> ObjectRef:
    """Return a Lease as an object."""
    return ObjectRef("Lease", namespace, name, LEASE_VERSION)


def own_path(ref: ObjectRef) -> str:
    """Return the path of an object of ours."""
    place = APIResource(TASKS, _PLURALS.get(ref.kind, PLURAL))
    return f"{place.collection(ref.namespace)}/{ref.name}"


def collection(ref: ObjectRef) -> str:
    """Return the path of all objects of the kind in the object's namespace (empty: in all)."""
    return PLACES[ref.api_version, ref.kind].collection(ref.namespace)


def path(ref: ObjectRef) -> str:
    """Return the path of an object of a kind that every cluster has."""
    return f"/api/v1/nodes/{ref.name}" if is_node(ref) else f"{collection(ref)}/{ref.name}"
