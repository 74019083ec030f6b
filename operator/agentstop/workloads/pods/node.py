"""Nodes: whether one answers, is fenced, or is gone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from agentstop.api.meta import parse_time
from agentstop.workloads.objects import Lister

OUT_OF_SERVICE_TAINT: Final = "node.kubernetes.io/out-of-service"
"""Taint by which an administrator declares that a node is shut down and its pods may be taken for gone.

Source: https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#non-graceful-node-shutdown
"""

SETTLING: Final = timedelta(seconds=10)
"""How long a kubelet that is back may take to end what should no longer run: it looks for orphans every 2 s."""


SILENCE: Final = timedelta(seconds=50)
"""For so long the control plane calls a node ready that does not answer any more.

Source: https://kubernetes.io/docs/reference/node/node-status/ (--node-monitor-grace-period)
"""


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """What matters of a node."""

    name: str
    uid: str
    ready: bool
    ready_since: datetime | None
    out_of_service: bool
    boot_id: str | None
    """Changes with every boot of the machine, and no process outlives one."""
    heartbeat_at: datetime | None
    """When its kubelet reported last, as far as its object says."""

    def has_ended(self, due: datetime, read_at: datetime) -> bool:
        """Whether what the kubelet had to end by `due` is over for certain, by this reading of the node.

        A kubelet that was told, or was back, for long enough by the last moment at which it certainly lived.
        """
        lived_at = max(read_at - SILENCE, self.heartbeat_at or read_at - SILENCE)
        return self.ready and max(due, self.ready_since or due) + SETTLING <= lived_at


def read_node(raw: Mapping[str, Any]) -> NodeRecord:
    """Return the record of a node from the API server's object."""
    conditions = raw.get("status", {}).get("conditions") or ()
    ready: Mapping[str, Any] = next((condition for condition in conditions if condition["type"] == "Ready"), {})
    taints = raw.get("spec", {}).get("taints") or ()
    return NodeRecord(
        name=raw["metadata"]["name"],
        uid=raw["metadata"].get("uid", ""),
        ready=ready.get("status") == "True",
        ready_since=parse_time(ready.get("lastTransitionTime")),
        heartbeat_at=parse_time(ready.get("lastHeartbeatTime")),
        boot_id=(raw.get("status", {}).get("nodeInfo") or {}).get("bootID"),
        out_of_service=any(taint.get("key") == OUT_OF_SERVICE_TAINT for taint in taints),
    )


def is_deleted(node: str | None, lister: Lister) -> bool:
    """Whether there is no Node of this name any more, by the last look."""
    entry = lister.node(node) if node is not None else None
    return entry is not None and entry.absent


def is_out_of_service(node: str | None, lister: Lister) -> bool:
    """Whether the Node of this name was declared out of service, by the last look."""
    entry = lister.node(node) if node is not None else None
    return entry is not None and isinstance(entry.seen, NodeRecord) and entry.seen.out_of_service
