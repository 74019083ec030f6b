"""What the outside learns of a task's changes: Events, metrics, a trace, and one line in the log for every change.

Nothing that a template holds, and no free text that somebody else wrote, goes into any of them but the Events' notes,
whose words are the status' own.
"""

import logging
from typing import Final

from agentstop.api.task import AgentTaskStatus, Phase, StopStatus
from agentstop.controller.events import EventRecorder
from agentstop.controller.metrics import Metrics
from agentstop.controller.spans import NO_TRACING, Tracing
from agentstop.controller.stalls import stalled_by
from agentstop.lifecycle.decision import Decision
from agentstop.lifecycle.events import Action, Note, Severity
from agentstop.lifecycle.observation import Reason, Task

log = logging.getLogger(__name__)

IN_TEXT: Final = ("uid", "reason", "source", "by", "verdict", "seconds", "stalled")
"""Fields of a line, in their order, that plain text shows after what it says of the task."""


class Reporter:
    """Tells what happened, once it is written down."""

    def __init__(self, events: EventRecorder, metrics: Metrics, tracing: Tracing = NO_TRACING) -> None:
        self._events = events
        self._metrics = metrics
        self._tracing = tracing

    def tell(self, task: Task, decision: Decision) -> None:
        """Post the decision's notes."""
        for note in decision.notes:
            self._events.post(task, note)

    def wrote(self, task: Task, decision: Decision) -> None:
        """Tell what a decision changed; `task` is the task as it was before."""
        self.tell(task, decision)
        self._record(task, decision.status)

    def unwritable(self, task: Task, why: Reason) -> None:
        """Tell that a task's status cannot be written, and why."""
        self._metrics.unwritable.labels(why.reason).inc()
        self._events.post(task, Note(Severity.WARNING, why.reason, Action.OBSERVE, why.message))

    def ended(self, task: Task, status: AgentTaskStatus) -> None:
        """Tell how a task ended whose object is gone, so that nothing can be written on it any more."""
        self._record(task, status)

    def _record(self, task: Task, after: AgentTaskStatus) -> None:
        told = told_stop(task.status)
        self._count(told, task.status, after)
        if _logged(task.status) != _logged(after):
            self._log(task, after)
        self._tracing.changed(task, told, after)

    def _count(self, told: StopStatus | None, before: AgentTaskStatus, after: AgentTaskStatus) -> None:
        stop = after.stop
        if stop is None:
            return
        if told is None:
            self._metrics.stop_requests.labels(stop.source).inc()
        if stop.signaled_at is not None and (told is None or told.signaled_at is None):
            seconds = (stop.signaled_at - stop.accepted_at).total_seconds()
            self._metrics.stop_signal.labels(stop.source).observe(seconds)
        if after.phase is Phase.STOPPED and before.phase is not Phase.STOPPED and stop.verdict is not None:
            self._metrics.stop_duration.labels(stop.source, stop.verdict).observe(stop.duration_seconds or 0.0)

    def _log(self, task: Task, after: AgentTaskStatus) -> None:
        fields: dict[str, object] = {
            "task": f"{task.namespace}/{task.name}",
            "uid": task.uid,
            "phase": str(after.phase),
            "reason": after.reason,
        }
        if after.stop is not None:
            fields |= {"source": str(after.stop.source), "by": after.stop.requested_by}
            if after.stop.verdict is not None:
                fields |= {"verdict": str(after.stop.verdict), "seconds": after.stop.duration_seconds}
        _, stalled = _logged(after)
        fields["stalled"] = stalled
        fields = {name: value for name, value in fields.items() if value is not None}
        text = " ".join(f"{name}={fields[name]}" for name in IN_TEXT if name in fields)
        level = logging.WARNING if stalled else logging.INFO
        log.log(level, "%s is %s: %s", fields["task"], fields["phase"], text, extra=fields)


def told_stop(status: AgentTaskStatus) -> StopStatus | None:
    """Return the stop of a status that was told of: one that waits to be written down was not."""
    return status.stop if status.phase in {Phase.STOPPING, Phase.STOPPED} else None


def _logged(status: AgentTaskStatus) -> tuple[Phase, str | None]:
    """Return what of a status makes a line in the log: its phase, and what holds it up."""
    stall = None if status.phase.terminal else stalled_by(status)
    return status.phase, stall[0] if stall is not None else None
