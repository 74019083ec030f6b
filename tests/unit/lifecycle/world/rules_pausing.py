"""What holds of pausing and resuming, against the truth of the world."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from agentstop.api.task import AgentTaskStatus, PausePolicy, Phase, StopSource
from agentstop.lifecycle.observation import Task
from agentstop.lifecycle.pausing import PAUSED
from agentstop.workloads.requests import Create, Meaning, Patch, Request

from .clock import Clock
from .memory import Memory, Written

WHOLE_SECONDS = timedelta(seconds=2)
"""Nodes report starts in whole seconds, and what runs is seen a moment later."""


class PauseRules:
    """Checks what pausing asks for and writes."""

    def __init__(self, memory: Memory, clock: Clock) -> None:
        self._memory = memory
        self._clock = clock
        self._over: set[str] = set()
        """UIDs of pods whose task was paused since: they never run again."""
        self._paused: dict[str, list[tuple[datetime, int]]] = {}
        """When each task was paused, and the place in the history at which that was written."""
        self._resumed: dict[str, list[datetime]] = {}
        """When each of these pauses was over, as it was written."""

    def check_request(self, request: Request, task: Task) -> None:
        starts = isinstance(request, Create) or (isinstance(request, Patch) and request.meaning is Meaning.RESUME)
        if not starts:
            return
        assert not task.spec.paused, "something is started for a task that is paused"
        assert not task.spec.stop_requested, "a resume overtakes a stop"
        assert task.status.stop is None, "a resume overtakes a stop"
        if task.status.phase is Phase.PAUSED:
            assert task.status.observed_generation == task.generation, "resumed before that was on record"

    def check_written(self, written: Written) -> None:
        before, after = written.before, written.after
        self._check_attempts(before, after, len(self._memory.made.get(written.uid, ())))
        if before.phase is Phase.PAUSED and after.phase is Phase.PAUSING and before.pause_policy is None:
            assert self._anything(written), "ended again, but nothing had been started"
        if before.phase is Phase.PAUSED and after.phase is not Phase.PAUSED:
            self._resumed.setdefault(written.uid, []).append(self._clock.now)
        if after.phase is Phase.PAUSED:
            assert after.paused_at is not None
            self._check_paused(written)
        if after.phase is Phase.RUNNING:
            assert after.paused_at is None
        if before.started_at is not None:
            assert after.paused_seconds >= before.paused_seconds
        if after.stop is not None and after.stop.source is StopSource.DEADLINE and before.stop is None:
            self._check_deadline(written)

    def _check_attempts(self, before: AgentTaskStatus, after: AgentTaskStatus, made: int) -> None:
        gained = after.attempts - before.attempts
        assert gained in {0, 1}
        if before.phase is Phase.PAUSED and after.phase in {Phase.RUNNING, Phase.COMPLETED}:
            started = before.pause_policy is not PausePolicy.FREEZE
            first = not started and not before.attempts  # it may have begun when it was frozen already
            assert gained == int(started) or first, "a resume is one attempt more, but that of what was frozen"
        elif before.attempts:
            assert gained == 0 or after.phase is Phase.FAILED, "an attempt without a resume"
        if made:
            assert after.attempts <= made

    def _check_paused(self, written: Written) -> None:
        uids = self._memory.pods_of(written.task, written.after, written.number)
        if written.before.phase is not Phase.PAUSED:
            assert written.after.paused_at is not None
            self._paused.setdefault(written.uid, []).append((written.after.paused_at, written.number))
            self._over |= uids if written.after.pause_policy is None else set()
        elif written.after.reason == PAUSED.reason and written.task["spec"].get("paused"):
            self._over |= uids

    def _anything(self, written: Written) -> bool:
        """Whether a pod came since the task was paused last, or its Job was told to make some."""
        since = self._paused[written.uid][-1][1]
        workload = written.after.workload
        if workload is not None and self._memory.resumed.get(workload.uid, 0) > since:
            return True
        return any(self._memory.born[uid] > since for uid in self._memory.pods_of(written.task, written.after))

    def _check_deadline(self, written: Written) -> None:
        """The time allowed is over at the earliest, what the task was paused left out."""
        stop, started_at = written.after.stop, written.after.started_at
        assert stop is not None
        assert started_at is not None
        seconds = written.task["spec"]["activeDeadlineSeconds"]
        paused = sum((end - begin for begin, end in self._pauses(written, started_at)), timedelta())
        assert stop.accepted_at + WHOLE_SECONDS >= started_at + timedelta(seconds=seconds) + paused, (
            "paused time counts"
        )

    def _pauses(self, written: Written, started_at: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield from when to when nothing ran because the task was paused; the last one may be going on."""
        stop = written.after.stop
        assert stop is not None
        ends = [*self._resumed.get(written.uid, ()), stop.accepted_at]
        for (begin, number), end in zip(self._paused.get(written.uid, ()), ends, strict=False):
            if begin < started_at:
                continue
            runs = [
                each.first_at
                for uid in self._memory.pods_of(written.task, written.after)
                if self._memory.born.get(uid, 0) > number and (truth := self._memory.truth(uid)) is not None
                for each in truth.processes
                if each.first_at is not None
            ]
            yield begin, min([*runs, end])

    def check_truth(self, *, slow: bool) -> None:
        """Check what runs; `slow` is whether a Job's controller was slower than a pause waits for it."""
        for uid in self._over:
            late = slow and self._memory.owner(uid).get("kind") == "Job"
            assert late or not self._memory.runs(uid), "it runs though its task was Paused"
