"""One trace for each stop, from the request to the proof: its spans.

All that a trace is made of is in the task's status: ids follow from the task's UID and times are the record's. So no
state is kept, and whoever takes over after a crash goes on with the same trace.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from agentstop.api.task import AgentTaskStatus, Phase, StopStatus, Verdict
from agentstop.lifecycle.observation import Task

ROOT: Final = "stop"
"""Name of the span that holds the others."""

Attribute = str | int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of a stop that is over."""

    name: str
    began_at: datetime
    ended_at: datetime
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    failed: str | None = None
    """Why this part did not come to what it was for, if so."""


class Tracing:
    """Takes in how stops come on; this one does nothing with it."""

    def changed(self, task: Task, told: StopStatus | None, after: AgentTaskStatus) -> None:
        """Take in a task's new status; `task` is the task before, `told` its stop as it was told of before."""

    async def close(self) -> None:
        """Send what waits to be sent, for a moment."""


NO_TRACING: Final = Tracing()


def trace_id(uid: str) -> int:
    """Return the id of the trace of the stop of a task; a task is stopped once."""
    return _hashed(f"agentstop.dev/stop/{uid}", 16)


def span_id(uid: str, name: str) -> int:
    """Return the id of a span of it."""
    return _hashed(f"agentstop.dev/stop/{uid}/{name}", 8)


def _hashed(text: str, size: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size])


def spans(task: Task, told: StopStatus | None, after: AgentTaskStatus) -> list[Span]:
    """Return the parts of a stop that came to their end with a new status; the whole comes last."""
    stop = after.stop
    if stop is None:
        return []
    requested_at = task.requested_at
    if requested_at is not None and requested_at > stop.accepted_at:
        requested_at = None  # it says when the request was changed, or by another clock
    found: list[Span] = []
    if told is None and requested_at is not None:
        found.append(Span(name="request", began_at=requested_at, ended_at=stop.accepted_at))
    if stop.signaled_at is not None and (told is None or told.signaled_at is None):
        found.append(Span(name="signal", began_at=stop.accepted_at, ended_at=stop.signaled_at))
    if after.phase is not Phase.STOPPED or task.status.phase is Phase.STOPPED or stop.confirmed_at is None:
        return found
    begun_at = stop.signaled_at or stop.accepted_at
    last_end = _last_end(after)
    ended_at = stop.confirmed_at if last_end is None else min(max(last_end, begun_at), stop.confirmed_at)
    if stop.signaled_at is not None:
        found.append(Span(name="terminate", began_at=begun_at, ended_at=ended_at))
        begun_at = ended_at
    unproven = "nobody could prove that the processes are gone" if stop.verdict is Verdict.UNVERIFIED else None
    found.append(Span(name="confirm", began_at=begun_at, ended_at=stop.confirmed_at, failed=unproven))
    whole = Span(name=ROOT, began_at=requested_at or stop.accepted_at, ended_at=stop.confirmed_at, failed=unproven)
    return [*found, whole]


def attributes(task: Task, stop: StopStatus) -> dict[str, Attribute]:
    """Return what every span of a stop says of it. No free text: nobody knows what users write into it."""
    given: dict[str, Attribute | None] = {
        "k8s.namespace.name": task.namespace,
        "agentstop.task.name": task.name,
        "agentstop.task.uid": task.uid,
        "agentstop.stop.source": str(stop.source),
        "agentstop.stop.order": f"{stop.order.kind}/{stop.order.name}" if stop.order is not None else None,
        "agentstop.stop.origin": stop.origin,
        "agentstop.stop.grace_period_seconds": stop.grace_period_seconds,
        "agentstop.stop.verdict": str(stop.verdict) if stop.verdict is not None else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _last_end(status: AgentTaskStatus) -> datetime | None:
    """Return when the last container ended, in whole seconds of the node's clock; None where that is not known."""
    pods = status.workload.pods if status.workload is not None else ()
    ends = [each.finished_at for pod in pods for each in pod.containers if each.finished_at is not None]
    return max(ends, default=None)
