"""The record of a workload that makes pods of its own: Jobs, sandboxes, and whatever can be scaled."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from agentstop.api.meta import parse_number, parse_time
from agentstop.lifecycle.observation import Ending, Reason
from agentstop.workloads.lightening import IS_HEAVY
from agentstop.workloads.pods.record import STOP_MANAGER, Controller, read_controller

JOB_SELECTOR_LABEL: Final = "batch.kubernetes.io/controller-uid"
JOB_CONTROLLER: Final = "kubernetes.io/job-controller"
SANDBOX_LABEL: Final = "agents.x-k8s.io/sandbox-name-hash"
EXPIRED: Final = "SandboxExpired"
CLAIMED_ANNOTATION: Final = "agents.x-k8s.io/sandbox-name"


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
    return OwnerRecord(**_identity(raw))


def read_job(raw: Mapping[str, Any]) -> OwnerRecord:
    """Return the record of a Job.

    Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#suspending-a-job
    """
    metadata, spec, status = raw["metadata"], raw.get("spec", {}), raw.get("status") or {}
    conditions = _conditions(status)
    manager = spec.get("managedBy")
    running = parse_number(status.get("active")) + parse_number(status.get("terminating"))
    ending = _job_ending(metadata["name"], status, conditions)
    return OwnerRecord(
        **_identity(raw),
        halted=bool(spec.get("suspend")) or ending is not None,
        settled=not running if _decided(conditions) else not status.get("active") and _holds(conditions, "Suspended"),
        settled_at=parse_time(conditions.get("Suspended", {}).get("lastTransitionTime")) if ending is None else None,
        selector=job_selector(metadata["uid"]),
        running=running,
        manager=manager if manager != JOB_CONTROLLER else None,
        marked_at=_marked_at(metadata, "suspend"),
        ending=ending,
    )


def _decided(conditions: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether it is certain how a Job ends: it makes no pod any more, suspended or not.

    One that is suspended in that moment may never say that it has ended.
    Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#termination-of-job-pods
    """
    return any(_holds(conditions, each) for each in ("Complete", "Failed", "SuccessCriteriaMet", "FailureTarget"))


def _job_ending(name: str, status: Mapping[str, Any], conditions: Mapping[str, Mapping[str, Any]]) -> Ending | None:
    for kind in ("Complete", "Failed"):
        if not _holds(conditions, kind):
            continue
        condition = conditions[kind]
        at = parse_time(status.get("completionTime") or condition.get("lastTransitionTime"))
        if kind == "Complete":
            return Ending(succeeded=True, word=Reason("Completed", f"Job {name} is complete"), at=at)
        reason = condition.get("reason") or "JobFailed"
        return Ending(succeeded=False, word=Reason(reason, condition.get("message") or f"Job {name} failed"), at=at)
    return None


def read_sandbox(raw: Mapping[str, Any]) -> OwnerRecord:
    """Return the record of a Sandbox (agents.x-k8s.io/v1beta1).

    Source: https://agent-sandbox.sigs.k8s.io/docs/api/
    """
    metadata, spec, status = raw["metadata"], raw.get("spec", {}), raw.get("status") or {}
    conditions = _conditions(status)
    suspended = conditions.get("Suspended", {})
    current = _is_current(suspended, metadata)
    ready = conditions.get("Ready", {})
    halted = spec.get("operatingMode") == "Suspended"
    marked_at = _marked_at(metadata, "operatingMode")
    # An expired one makes no pod whatever its spec says, so it never says of a suspension that it took place.
    expired = ready.get("reason") == EXPIRED and _is_current(ready, metadata)
    ending = _sandbox_ending(metadata["name"], conditions)
    if halted and ending is not None and (marked_at is None or ending.at is None or ending.at >= marked_at):
        ending = None  # a pod that ends because its Sandbox is suspended makes it finished for a moment
    return OwnerRecord(
        **_identity(raw),
        halted=halted,
        settled=expired or (current and suspended.get("status") == "True"),
        unsettled=_sandbox_trouble(metadata["name"], suspended, ready),
        selector=status.get("selector") or sandbox_selector(metadata["name"]),
        marked_at=marked_at,
        ending=ending,
        remakes=ready.get("reason") != EXPIRED,
    )


def _sandbox_trouble(name: str, suspended: Mapping[str, Any], ready: Mapping[str, Any]) -> Reason | None:
    if suspended.get("reason") == "PodNotOwned":
        message = f"A pod with the name of Sandbox {name} is not controlled by it, so it is left alone: {{}}"
        return Reason("PodNotOwned", message.format(suspended.get("message") or "see its owner references"))
    if ready.get("reason") == "MultiplePods":
        return Reason("MultiplePods", f"Sandbox {name} has several pods, and its controller ends none of them")
    return None


def _sandbox_ending(name: str, conditions: Mapping[str, Mapping[str, Any]]) -> Ending | None:
    if _holds(conditions, "Finished"):
        finished = conditions["Finished"]
        at = parse_time(finished.get("lastTransitionTime"))
        if finished.get("reason") == "PodSucceeded":
            return Ending(succeeded=True, word=Reason("Completed", f"The pod of Sandbox {name} succeeded"), at=at)
        return Ending(succeeded=False, word=Reason("SandboxFailed", f"The pod of Sandbox {name} failed"), at=at)
    ready = conditions.get("Ready", {})
    if ready.get("reason") == EXPIRED:
        at = parse_time(ready.get("lastTransitionTime"))
        return Ending(succeeded=False, word=Reason(EXPIRED, f"Sandbox {name} reached its shutdown time"), at=at)
    return None


def read_claim(raw: Mapping[str, Any]) -> OwnerRecord:
    """Return the record of a SandboxClaim (extensions.agents.x-k8s.io/v1beta1): it runs nothing itself."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    assigned = (metadata.get("annotations") or {}).get(CLAIMED_ANNOTATION)
    bound_to = (status.get("sandbox") or {}).get("name") or assigned or metadata["name"]
    return OwnerRecord(**_identity(raw), bound_to=bound_to)


def read_scaled(raw: Mapping[str, Any]) -> OwnerRecord:
    """Return the record of an object that can be scaled; the answer of its scale subresource stands under `scale`.

    Source: https://kubernetes.io/docs/reference/kubernetes-api/autoscaling-resources/scale-v1/
    """
    metadata, scale = raw["metadata"], raw.get("scale") or {}
    replicas = parse_number(scale.get("spec", {}).get("replicas"))
    running = parse_number((scale.get("status") or {}).get("replicas"))
    status = raw.get("status") or {}
    current = status.get("observedGeneration") is None or _is_current(status, metadata)
    return OwnerRecord(
        **_identity(raw),
        halted=replicas == 0,
        settled=current and running == 0,
        selector=(scale.get("status") or {}).get("selector") or None,
        replicas=replicas,
        running=running,
        marked_at=_marked_at(metadata, "replicas"),
    )


def job_selector(uid: str) -> str:
    """Return the label selector of the pods of the Job with this UID."""
    return f"{JOB_SELECTOR_LABEL}={uid}"


def sandbox_selector(name: str) -> str:
    """Return the label selector of the pods of the Sandbox of this name."""
    return f"{SANDBOX_LABEL}={_fnv1a(name):08x}"


def _fnv1a(text: str) -> int:
    """Return the 32-bit FNV-1a hash, by which agent-sandbox labels pods."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def _identity(raw: Mapping[str, Any]) -> dict[str, Any]:
    metadata = raw["metadata"]
    return {
        "uid": metadata["uid"],
        "resource_version": metadata["resourceVersion"],
        "generation": parse_number(metadata.get("generation")),
        "controller": read_controller(metadata.get("ownerReferences") or ()),
        "deleting": "deletionTimestamp" in metadata,
        "heavy": IS_HEAVY in raw,
    }


def _conditions(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {each.get("type", ""): each for each in status.get("conditions") or ()}


def _is_current(said: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    """Whether what a controller says is about the newest generation."""
    return parse_number(said.get("observedGeneration")) >= parse_number(metadata.get("generation"))


def _holds(conditions: Mapping[str, Mapping[str, Any]], kind: str) -> bool:
    return conditions.get(kind, {}).get("status") == "True"


def _marked_at(metadata: Mapping[str, Any], field: str) -> datetime | None:
    """Return when our stop was accepted, if the field is still as it left it."""
    managers: Iterable[Mapping[str, Any]] = metadata.get("managedFields") or ()
    for entry in managers:
        owned = (entry.get("fieldsV1") or {}).get("f:spec") or {}
        if entry.get("manager") == STOP_MANAGER and f"f:{field}" in owned:
            return parse_time(entry.get("time"))
    return None
