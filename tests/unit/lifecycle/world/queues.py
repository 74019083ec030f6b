"""A queue of Jobs, as Kueue is one: it resumes what somebody else has suspended, for as long as it is told to.

Source: https://github.com/kubernetes-sigs/kueue/issues/6915
"""

from .clock import Clock
from .jobs import JOB
from .server import Server


class JobQueue:
    """Resumes the world's Job some seconds after it was suspended."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self.after: int | None = None
        """So many seconds after; None where there is no queue."""
        self._suspended_for = 0

    def second(self) -> None:
        job = self._server.objects.get(JOB)
        if self.after is None or job is None or not job["spec"].get("suspend"):
            self._suspended_for = 0
            return
        self._suspended_for += 1
        if self._suspended_for > self.after:
            self._suspended_for = 0
            self._server.change(JOB, lambda raw: raw["spec"].update(suspend=False), "queue", ["suspend"])
