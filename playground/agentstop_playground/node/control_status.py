"""What a node says of a pod in the status of its PodControl. Pure."""

from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from agentstop_playground.api_client import Object

SEEN = ("state", "since", "processes", "empty", "bootID")
"""Fields that say what was seen of a pod."""

UNDER_WAY = frozenset({"Freezing", "Thawing", "Killing"})
DONE = frozenset({"Frozen", "Running", "Empty"})


@dataclass(frozen=True)
class Found:
    """What came of one look at a pod."""

    reason: str
    """Reason of the condition Ready."""
    message: str
    state: str | None = None
    """What its processes are in; None where that is not known."""
    processes: int | None = None


def status_of(before: Object, generation: int, found: Found, boot_id: str, at: datetime) -> Object:
    """The status after what was found. That a pod is empty stays said once it was."""
    said = before if before.get("empty") else _seen(before, found, boot_id, at)
    done = str(found.reason in DONE)
    former: Object = next(iter(before.get("conditions") or ()), {})
    ready = {
        "type": "Ready",
        "status": done,
        "reason": found.reason,
        "message": found.message,
        "lastTransitionTime": former["lastTransitionTime"] if former.get("status") == done else _written(at),
    }
    return {
        "observedGeneration": generation,
        **{name: said[name] for name in SEEN if said.get(name) is not None},
        "conditions": [ready],
    }


def _seen(before: Object, found: Found, boot_id: str, at: datetime) -> Object:
    if found.state is None:
        return {}
    same = before.get("state") == found.state
    processes = found.processes
    if same and found.reason == "Frozen":
        # They are counted once: what a hook starts meanwhile is no news.
        processes = before.get("processes", processes)
    return {
        "state": found.state,
        "since": (before.get("since") if same else None) or _written(at),
        "processes": processes,
        "empty": True if found.reason == "Empty" else None,
        "bootID": boot_id,
    }


def _written(at: datetime) -> str:
    """A time as ``metav1.MicroTime``."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def is_on_record(task: Object, pod: str) -> bool:
    """Whether the status of an AgentTask names the pod with this UID."""
    workload: dict[str, Any] = (task.get("status") or {}).get("workload") or {}
    if any(each.get("uid") == pod for each in workload.get("pods") or ()):
        return True
    try:
        short = urlsafe_b64encode(UUID(pod).bytes).decode().rstrip("=")
    except ValueError:
        return False
    return any(short in (each.get("uids") or ()) for each in workload.get("otherPods") or ())
