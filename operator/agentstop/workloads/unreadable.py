"""What stands in for the record of an object that cannot be read, for whatever is in it: enough to end it by."""

from collections.abc import Mapping
from typing import Any, Final

from agentstop.api.meta import TASK_LABEL
from agentstop.lifecycle.observation import Reason
from agentstop.workloads.controlled.record import OwnerRecord
from agentstop.workloads.pods.node import NodeRecord, read_node
from agentstop.workloads.pods.reading import read_controller, read_pod
from agentstop.workloads.pods.record import PodRecord

MAX_TEXT: Final = 200


def told(error: Exception) -> str:
    """Return what an error says, in one bounded line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:MAX_TEXT]


def unreadable(reader: object, raw: Mapping[str, Any], error: Exception) -> PodRecord | NodeRecord | OwnerRecord:
    """Return the record that stands in for what a reader could not make of an object; it proves nothing."""
    metadata = raw["metadata"]
    if reader is read_node:
        return NodeRecord(
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            ready=False,
            ready_since=None,
            out_of_service=False,
            boot_id=None,
            heartbeat_at=None,
        )
    identity: dict[str, Any] = {
        "uid": metadata["uid"],
        "resource_version": metadata["resourceVersion"],
        "controller": read_controller(metadata.get("ownerReferences") or ()),
    }
    if reader is not read_pod:
        word = Reason("WorkloadUnreadable", f"Nothing can be made of {metadata['name']}: {told(error)}")
        return OwnerRecord(**identity, generation=0, unsettled=word)
    node = (raw.get("spec") or {}).get("nodeName")
    return PodRecord(
        **identity,
        namespace=metadata["namespace"],
        name=metadata["name"],
        task=(metadata.get("labels") or {}).get(TASK_LABEL),
        node=node,
        phase="Unknown",
        reason=None,
        message=None,
        unscheduled=None,
        disruption=None,
        taken_at=None,
        grace_seconds=30,
        deadline_seconds=None,
        marked_at=None,
        deletion_at=None,
        deletion_grace_seconds=0,
        soonest_kill=None,
        deletion_killed_by=None,
        deletion_requested_at=None,
        finalizers=(),
        containers=(),
        unreadable=told(error),
    )
