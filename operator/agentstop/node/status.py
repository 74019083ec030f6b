"""What the status of a PodControl says, from what was found. Pure, and without the models: these take memory."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from agentstop.node.keeper import EMPTY
from agentstop.node.looks import DONE, STATES, Look, Outcome

Status = dict[str, Any]

READY: Final = "Ready"
SEEN: Final = ("state", "since", "processes", "empty", "bootID")
"""Fields that say what was seen of a pod."""
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
        seen, done, reason = _kept(before, generation), False, found.reason
    else:
        seen, done, reason = _seen(before, generation, found, boot_id, at), found.outcome in DONE, str(found.outcome)
    ready = _condition(before, str(done), reason, found.message[:MOST_WORDS], at)
    return {"observedGeneration": generation, **seen, "conditions": [ready]}


def is_done(status: Mapping[str, Any], generation: int) -> bool:
    """Whether a status says that what this generation asks for is so."""
    return status.get("observedGeneration") == generation and _ready(status).get("status") == "True"


def _seen(before: Mapping[str, Any], generation: int, look: Look, boot_id: str, at: datetime) -> Status:
    state = STATES.get(look.outcome)
    if before.get("empty") or state is None:
        return _kept(before, generation, gone=look.outcome is Outcome.NO_CGROUP)
    since = before.get("since") if before.get("state") == state else None
    seen: Status = {"state": state, "since": since or written(at), "bootID": boot_id}
    if look.processes is not None:
        seen["processes"] = look.processes
    return seen | ({"empty": True} if look.outcome is Outcome.EMPTY else {})


def _kept(before: Mapping[str, Any], generation: int, *, gone: bool = False) -> Status:
    """Return what was seen last, where that is still true: what is killed stays so, and all else may have changed."""
    final = before.get("state") == "Killed" or bool(before.get("empty"))
    if not final and (gone or before.get("observedGeneration") != generation):
        return {}
    return {name: before[name] for name in SEEN if name in before}


def _ready(status: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((each for each in status.get("conditions") or () if each.get("type") == READY), {})


def _condition(before: Mapping[str, Any], ready: str, reason: str, message: str, at: datetime) -> Status:
    former = _ready(before)
    since = former["lastTransitionTime"] if former.get("status") == ready else written(at)
    return {"type": READY, "status": ready, "reason": reason, "message": message, "lastTransitionTime": since}


def written(at: datetime) -> str:
    """Write a moment as Kubernetes' MicroTime does."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
