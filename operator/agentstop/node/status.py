"""What the status of a PodControl says, from what was found. Pure, and without the models: these take memory."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from agentstop.node.killing import EMPTY, Look, Outcome

Status = dict[str, Any]

READY: Final = "Ready"
MOST_WORDS: Final = 1024
"""Characters of a message."""


class Refusal(NamedTuple):
    """Why nothing is done to a pod."""

    reason: str
    message: str


def status_of(before: Mapping[str, Any], generation: int, found: Look | Refusal, boot_id: str, at: datetime) -> Status:
    """Return the status after what was found at a moment. That nothing is left stays said once it was."""
    if isinstance(found, Look) and found.outcome is Outcome.NO_CGROUP and before.get("empty"):
        found = EMPTY  # its kubelet has removed what was left of it
    if isinstance(found, Refusal):
        seen: Status = {}
        ready, reason, message = "False", found.reason, found.message
    else:
        seen = _seen(before, found, boot_id, at)
        ready, reason, message = ("True" if seen.get("empty") else "False"), str(found.outcome), found.message
    said = {"observedGeneration": generation} | (seen or _kept(before))
    return said | {"conditions": [_condition(before, ready, reason, message[:MOST_WORDS], at)]}


def _seen(before: Mapping[str, Any], look: Look, boot_id: str, at: datetime) -> Status:
    if look.outcome not in {Outcome.EMPTY, Outcome.HYBRID, Outcome.KILLING} or before.get("empty"):
        return _kept(before)
    state = "Running" if look.outcome is Outcome.KILLING else "Killed"
    since = before.get("since") if before.get("state") == state else None
    seen = {"state": state, "since": since or written(at), "processes": look.processes, "bootID": boot_id}
    return seen | ({"empty": True} if look.outcome is Outcome.EMPTY else {})


def _kept(before: Mapping[str, Any]) -> Status:
    return {name: before[name] for name in ("state", "since", "processes", "empty", "bootID") if name in before}


def _condition(before: Mapping[str, Any], ready: str, reason: str, message: str, at: datetime) -> Status:
    former = next((each for each in before.get("conditions") or () if each.get("type") == READY), None)
    kept = former is not None and former.get("status") == ready
    since = former["lastTransitionTime"] if former is not None and kept else written(at)
    return {"type": READY, "status": ready, "reason": reason, "message": message, "lastTransitionTime": since}


def written(at: datetime) -> str:
    """Write a moment as Kubernetes' MicroTime does."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
