"""What the outside learns of a task's changes: Events, metrics, and one line in the log for every change of phase."""

import logging

from agentstop.api.task import AgentTaskStatus, Phase
from agentstop.controller.events import EventPoster
from agentstop.controller.metrics import Metrics
from agentstop.lifecycle.decision import Decision
from agentstop.lifecycle.seen import Task

log = logging.getLogger(__name__)


class Recorder:
    """Tells what happened, once it is written down."""

    def __init__(self, events: EventPoster, metrics: Metrics) -> None:
        self._events = events
        self._metrics = metrics

    def tell(self, task: Task, decision: Decision) -> None:
        """Post the decision's notes."""
        for note in decision.notes:
            self._events.post(task, note)

    def wrote(self, task: Task, decision: Decision) -> None:
        """Tell what a decision changed; `task` is the task as it was before."""
        self.tell(task, decision)
        self._count(task.status, decision.status)
        if decision.status.phase is not task.status.phase:
            self._log(task, decision.status)

    def _count(self, before: AgentTaskStatus, after: AgentTaskStatus) -> None:
        stop = after.stop
        if stop is None:
            return
        was = before.stop if before.phase in {Phase.STOPPING, Phase.STOPPED} else None
        if was is None:
            self._metrics.stop_requests.labels(stop.source).inc()
        if stop.signaled_at is not None and (was is None or was.signaled_at is None):
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
            fields["source"] = str(after.stop.source)
            if after.stop.verdict is not None:
                fields["verdict"] = str(after.stop.verdict)
                fields["seconds"] = after.stop.duration_seconds
        text = " ".join(f"{name}={value}" for name, value in fields.items() if name not in {"task", "uid", "phase"})
        log.info("%s is %s: %s", fields["task"], fields["phase"], text, extra=fields)
