"""The built-in kinds that are served. A new one is one line in ``BUILTIN``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .crds import CrdStrategy
from .events import event_columns, from_core, to_core
from .jobs import CronJobStrategy, JobStrategy
from .pod_table import POD_COLUMNS
from .pods import PodStrategy
from .resources import BuiltinStrategy, Column, Resource, ScaleFields
from .selectors import by_path
from .simple_kinds import EventStrategy, LeaseStrategy, NamespaceStrategy, NodeStrategy, SecretStrategy
from .tables import AGE_COLUMN
from .workload_tables import (
    CRON_JOB_COLUMNS,
    DEPLOYMENT_COLUMNS,
    JOB_COLUMNS,
    REPLICA_SET_COLUMNS,
    STATEFUL_SET_COLUMNS,
)
from .workloads import DeploymentStrategy, ReplicaSetStrategy, StatefulSetStrategy

_EVENT_FIELDS: Final = {
    **{f"involvedObject.{name}": by_path(f"involvedObject.{name}") for name in ("kind", "namespace", "name", "uid")},
    **{f"involvedObject.{name}": by_path(f"involvedObject.{name}") for name in ("apiVersion", "resourceVersion")},
    **{name: by_path(name) for name in ("reason", "type", "reportingComponent")},
    "involvedObject.fieldPath": by_path("involvedObject.fieldPath"),
    "source": by_path("source.component"),
}


def _ready(obj: Mapping[str, Any]) -> str:
    conditions = {item["type"]: item["status"] for item in (obj.get("status") or {}).get("conditions") or ()}
    words = [{"True": "Ready", "False": "NotReady"}.get(conditions.get("Ready", ""), "Unknown")]
    if (obj.get("spec") or {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(obj: Mapping[str, Any]) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = obj["metadata"].get("labels") or {}
    return ",".join(sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))) or "<none>"


def _node_info(name: str) -> Any:
    return lambda obj: (((obj.get("status") or {}).get("nodeInfo") or {}).get(name)) or "<unknown>"


def _node_address(kind: str) -> Any:
    def read(obj: Mapping[str, Any]) -> str:
        addresses = (obj.get("status") or {}).get("addresses") or ()
        return next((str(item["address"]) for item in addresses if item.get("type") == kind), "<none>")

    return read


_NODE_COLUMNS: Final = (
    Column("Status", _ready),
    Column("Roles", _roles),
    AGE_COLUMN,
    Column("Version", lambda obj: ((obj.get("status") or {}).get("nodeInfo") or {}).get("kubeletVersion", "")),
    Column("Internal-IP", _node_address("InternalIP"), priority=1),
    Column("External-IP", _node_address("ExternalIP"), priority=1),
    Column("OS-Image", _node_info("osImage"), priority=1),
    Column("Kernel-Version", _node_info("kernelVersion"), priority=1),
    Column("Container-Runtime", _node_info("containerRuntimeVersion"), priority=1),
)
_LEASE_HOLDER: Final = Column("Holder", lambda obj: (obj.get("spec") or {}).get("holderIdentity", ""))
_PHASE: Final = Column("Status", lambda obj: (obj.get("status") or {}).get("phase", ""))
_DATA: Final = Column("Data", lambda obj: len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), "integer")
_TYPE: Final = Column("Type", lambda obj: obj.get("type", "Opaque"))
_SECRETS: Final = Column("Secrets", lambda obj: len(obj.get("secrets") or ()), "integer")
_CREATED_AT: Final = Column("Created At", lambda obj: obj["metadata"].get("creationTimestamp"))
_POD_FIELDS: Final = {
    path: by_path(path)
    for path in (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    )
}

BUILTIN: Final[tuple[Resource, ...]] = (
    Resource(
        "",
        "v1",
        "Namespace",
        "namespaces",
        NamespaceStrategy(),
        namespaced=False,
        short_names=("ns",),
        subresources=("status", "finalize"),
        columns=(_PHASE, AGE_COLUMN),
        selectable={"status.phase": by_path("status.phase")},
    ),
    Resource(
        "",
        "v1",
        "Pod",
        "pods",
        PodStrategy(),
        short_names=("po",),
        categories=("all",),
        subresources=("status", "log", "binding", "ephemeralcontainers", "eviction"),
        columns=POD_COLUMNS,
        selectable=_POD_FIELDS,
    ),
    Resource(
        "",
        "v1",
        "Node",
        "nodes",
        NodeStrategy("V1Node", has_status=True),
        namespaced=False,
        short_names=("no",),
        subresources=("status",),
        columns=_NODE_COLUMNS,
        selectable={"spec.unschedulable": by_path("spec.unschedulable")},
    ),
    Resource(
        "",
        "v1",
        "Event",
        "events",
        EventStrategy("CoreV1Event"),
        short_names=("ev",),
        columns=event_columns("involvedObject"),
        name_column=False,
        selectable=_EVENT_FIELDS,
    ),
    Resource(
        "events.k8s.io",
        "v1",
        "Event",
        "events",
        EventStrategy("EventsV1Event"),
        short_names=("ev",),
        columns=event_columns("regarding"),
        name_column=False,
        selectable=_EVENT_FIELDS,
        storage_name="events",
        to_storage=to_core,
        from_storage=from_core,
    ),
    Resource(
        "",
        "v1",
        "ConfigMap",
        "configmaps",
        BuiltinStrategy("V1ConfigMap"),
        short_names=("cm",),
        columns=(_DATA, AGE_COLUMN),
    ),
    Resource(
        "",
        "v1",
        "Secret",
        "secrets",
        SecretStrategy("V1Secret"),
        columns=(_TYPE, _DATA, AGE_COLUMN),
        selectable={"type": by_path("type")},
    ),
    Resource(
        "",
        "v1",
        "ServiceAccount",
        "serviceaccounts",
        BuiltinStrategy("V1ServiceAccount"),
        short_names=("sa",),
        columns=(_SECRETS, AGE_COLUMN),
    ),
    Resource(
        "coordination.k8s.io", "v1", "Lease", "leases", LeaseStrategy("V1Lease"), columns=(_LEASE_HOLDER, AGE_COLUMN)
    ),
    Resource(
        "apps",
        "v1",
        "Deployment",
        "deployments",
        DeploymentStrategy(),
        short_names=("deploy",),
        categories=("all",),
        subresources=("scale", "status"),
        columns=DEPLOYMENT_COLUMNS,
        scale=ScaleFields(),
    ),
    Resource(
        "apps",
        "v1",
        "ReplicaSet",
        "replicasets",
        ReplicaSetStrategy(),
        short_names=("rs",),
        categories=("all",),
        subresources=("scale", "status"),
        columns=REPLICA_SET_COLUMNS,
        selectable={"status.replicas": by_path("status.replicas")},
        scale=ScaleFields(),
    ),
    Resource(
        "apps",
        "v1",
        "StatefulSet",
        "statefulsets",
        StatefulSetStrategy(),
        short_names=("sts",),
        categories=("all",),
        subresources=("scale", "status"),
        columns=STATEFUL_SET_COLUMNS,
        scale=ScaleFields(),
    ),
    Resource(
        "batch",
        "v1",
        "Job",
        "jobs",
        JobStrategy(),
        categories=("all",),
        subresources=("status",),
        columns=JOB_COLUMNS,
        selectable={"status.successful": lambda obj: str((obj.get("status") or {}).get("succeeded", 0))},
    ),
    Resource(
        "batch",
        "v1",
        "CronJob",
        "cronjobs",
        CronJobStrategy(),
        short_names=("cj",),
        categories=("all",),
        subresources=("status",),
        columns=CRON_JOB_COLUMNS,
    ),
    Resource(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        CrdStrategy(),
        namespaced=False,
        short_names=("crd", "crds"),
        categories=("api-extensions",),
        subresources=("status",),
        columns=(_CREATED_AT,),
    ),
)

REVIEWS: Final[Mapping[tuple[str, str], str]] = {
    ("authorization.k8s.io", "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    ("authorization.k8s.io", "subjectaccessreviews"): "SubjectAccessReview",
    ("authentication.k8s.io", "selfsubjectreviews"): "SelfSubjectReview",
}
"""Kinds that are answered and never stored, by group and plural name."""
