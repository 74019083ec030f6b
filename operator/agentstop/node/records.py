"""What of the API's objects matters to the component, and whether a pod is a task's by the task's own record."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID


class Control(NamedTuple):
    """A PodControl at one generation."""

    namespace: str
    name: str
    uid: str
    generation: int
    node: str
    pod_uid: str
    task: str
    state: str
    status: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def read_control(raw: Mapping[str, Any]) -> Control:
    """Return the record of a PodControl, whatever else it holds."""
    metadata, spec, status = raw["metadata"], raw.get("spec"), raw.get("status")
    spec = spec if isinstance(spec, dict) else {}
    return Control(
        namespace=str(metadata["namespace"]),
        name=str(metadata["name"]),
        uid=str(metadata["uid"]),
        generation=int(metadata.get("generation") or 0),
        node=str(spec.get("nodeName")),
        pod_uid=str(spec.get("podUID")),
        task=str(spec.get("taskName")),
        state=str(spec.get("state")),
        status=status if isinstance(status, dict) else {},
    )


def is_on_record(task: Mapping[str, Any], uid: str) -> bool:
    """Whether the status of an AgentTask has the pod of this UID on record. Only the operator can write that."""
    status = task.get("status")
    workload = status.get("workload") if isinstance(status, dict) else None
    if not isinstance(workload, dict):
        return False
    if any(isinstance(each, dict) and each.get("uid") == uid for each in workload.get("pods") or ()):
        return True
    short = urlsafe_b64encode(UUID(uid).bytes).decode().rstrip("=")
    others = (each for each in workload.get("otherPods") or () if isinstance(each, dict))
    return any(short in (each.get("uids") or ()) for each in others)
