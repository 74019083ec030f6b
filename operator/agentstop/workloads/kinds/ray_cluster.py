"""RayClusters of KubeRay: they are suspended."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from agentstop.api.meta import parse_time
from agentstop.lifecycle.observation import Reason
from agentstop.workloads.controlled.kind import Controlled
from agentstop.workloads.controlled.kind_spec import KindSpec, made_by_another
from agentstop.workloads.controlled.record import OwnerRecord, conditions_of, holds, identity, stop_accepted_at
from agentstop.workloads.objects import ObjectRef

RAY_API: Final = "ray.io/v1"
RAY_LABEL: Final = "ray.io/cluster"
KUBERAY: Final = "ray.io/kuberay-operator"
SUSPENDED: Final = "RayClusterSuspended"
MAX_LABEL_VALUE: Final = 63


def read_ray_cluster(raw: Mapping[str, Any]) -> OwnerRecord:
    """Return the record of a RayCluster (ray.io/v1). It has no end of its own.

    Source: https://github.com/ray-project/kuberay/blob/v1.7.0/ray-operator/apis/ray/v1/raycluster_types.go
    """
    metadata, spec, status = raw["metadata"], raw.get("spec", {}), raw.get("status") or {}
    manager = spec.get("managedBy")
    settled, settled_at = _suspended(metadata, status)
    return OwnerRecord(
        **identity(raw),
        halted=bool(spec.get("suspend")),
        settled=settled,
        settled_at=settled_at,
        selector=ray_selector(metadata["name"]) if len(metadata["name"]) <= MAX_LABEL_VALUE else None,
        manager=manager if manager != KUBERAY else None,
        marked_at=stop_accepted_at(metadata, "suspend"),
    )


def _suspended(metadata: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[bool, datetime | None]:
    """Whether KubeRay has suspended it, and since when; it does not say for which generation.

    KubeRay writes down first that it is suspending, and then deletes all pods until it sees none, even if it is told to
    go on meanwhile. Only then is it suspended, and it makes no pod before that is taken back, for which the spec must
    say false: to take the field away is not enough. It writes its status on the version that it has read, so that none
    of this is overtaken by a change of the spec. A pod that it made a moment ago it may not have seen.
    Source: https://github.com/ray-project/kuberay/blob/v1.7.0/ray-operator/controllers/ray/raycluster_controller.go

    Before 1.3, and without its feature gate RayClusterStatusConditions, there is the state alone. After a resume that
    stays as it was until all pods run. 1.1 does not say since when it is so: it counts as said long ago.
    Source: https://github.com/ray-project/kuberay/pull/1741
    """
    conditions = conditions_of(status)
    if SUSPENDED in conditions:
        return holds(conditions, SUSPENDED), parse_time(conditions[SUSPENDED].get("lastTransitionTime"))
    since = (status.get("stateTransitionTimes") or {}).get("suspended") or metadata.get("creationTimestamp")
    return status.get("state") == "suspended", parse_time(since)


def ray_selector(name: str) -> str:
    """Return the label selector of the pods of the RayCluster of this name; no template can change that label."""
    return f"{RAY_LABEL}={name}"


def _not_here(ref: ObjectRef, owner: OwnerRecord) -> Reason | None:
    """Say why it cannot be stopped by itself, or in this cluster."""
    name = f"{ref.kind} {ref.name}"
    if owner.controller is not None:
        other = f"{owner.controller.kind} {owner.controller.name}"
        message = f"{name} is controlled by {other}, which may resume it or make another in its place; suspend {other}"
        return Reason("WorkloadHasController", message)
    if owner.manager is not None:
        # Its definition knows no manager but KubeRay and Kueue's, which runs a copy and brings that one's status back.
        # Source: https://kueue.sigs.k8s.io/docs/concepts/multikueue/
        message = f"{name} is run by {owner.manager} in another cluster, where nothing can be proven from here"
        return Reason("UnsupportedWorkload", f"{message}; make the task there")
    if owner.selector is None:
        message = f"KubeRay makes no pods for {name}: its name does not fit into their label {RAY_LABEL}"
        return Reason("UnsupportedWorkload", message)
    return None


RAY_CLUSTER: Final = Controlled(
    KindSpec(
        read=read_ray_cluster,
        halt={"spec": {"suspend": True}},
        resume=lambda _: {"spec": {"suspend": False}},
        deed="suspended",
        goes_on=made_by_another,
        refuses=_not_here,
    )
)
