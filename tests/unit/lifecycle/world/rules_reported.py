"""What holds where kubelets are busy, nodes are deleted, pods are thrown out and others go on with the work.

Each of these was a mistake once that somebody reported; the truth is what runs in the world, never what a status says.
"""

from datetime import timedelta

from agentstop.api.meta import ConditionType
from agentstop.api.task import AgentTaskStatus, Phase, Verdict
from agentstop.lifecycle.decision import MARGIN
from agentstop.lifecycle.observation import Task
from agentstop.workloads.requests import Delete, Meaning, Patch, Request

from .clock import Clock
from .collector import BY_COLLECTOR
from .jobs import JOB
from .machine import Sandbox
from .memory import Memory, Written
from .replica_sets import ReplicaSet
from .server import Raw, Server

TOLD_WITHIN = 2
"""Seconds after which an attentive operator has written down what it was shown."""

NEARLY = timedelta(seconds=2)
"""The kubelet looks once a second, and writes whole seconds."""

ENDED_BY_ITSELF = frozenset({Phase.COMPLETED, Phase.FAILED})


class ReportedRules:
    """Checks the above; what can be said of a calm history alone is asked for by its fields."""

    def __init__(self, server: Server, memory: Memory, replica_set: ReplicaSet, clock: Clock) -> None:
        self._server = server
        self._memory = memory
        self._replica_set = replica_set
        self._clock = clock
        self.calm = False
        """Whether the operator sees everything as it happens, so that it can be held to reasons and moments."""
        self.only_by_stop = False
        """Whether nothing ends but by a signal of the kubelet: then no task ends by itself."""

    # Requests

    def check_request(self, request: Request, task: Task) -> None:
        if not isinstance(request, Patch | Delete) or request.ref.kind != "Pod":
            return
        ref, status = task.spec.workload_ref, task.status
        stopped = task.stop_seen_at is not None or status.stop is not None or task.spec.stop_requested
        paused = task.spec.paused and not stopped and not self._is_over_its_deadline(task)
        if ref is not None and ref.kind == "Job" and paused:
            known, job = status.workload, self._server.objects.get(JOB)
            stands = known is not None and job is not None and job["metadata"]["uid"] == known.uid
            pod = self._server.objects.get(request.ref)
            # One that its controller ends may be asked once more where it is stuck; one that it owns no more it leaves.
            let_go = pod is None or "deletionTimestamp" in pod["metadata"] or not pod["metadata"]["ownerReferences"]
            assert not stands or let_go, "a pause helps along, and its controller counts that"
        ends = isinstance(request, Delete) or request.meaning is Meaning.STOP
        asked = stopped or task.spec.paused or task.deleting or task.spec.active_deadline_seconds is not None
        asked = asked or task.spec.budget is not None
        if ends and status.phase is Phase.RUNNING and not asked:
            self._check_main_is_over(request.uid, task)

    def _is_over_its_deadline(self, task: Task) -> bool:
        """Whether a stop is due that nobody has to ask for: its first pass carries it out before it is on record."""
        seconds, job = task.spec.active_deadline_seconds, self._server.objects.get(JOB)
        if seconds is None or job is None:
            return False
        uids = [uid for uid in self._memory.pods if self._memory.owner(uid).get("uid") == job["metadata"]["uid"]]
        truths = [truth for uid in uids if (truth := self._memory.truth(uid)) is not None]
        starts = [each.first_at.replace(microsecond=0) for truth in truths for each in truth.processes if each.first_at]
        began = task.status.started_at or min(starts, default=None)
        allowed = timedelta(seconds=seconds + task.status.paused_seconds)
        return began is not None and began + allowed <= self._clock.now

    def _check_main_is_over(self, uid: str, task: Task) -> None:
        """What the main container's end may end is ended only once it is over by its own rules."""
        truth = self._memory.truth(uid)
        main = (
            next((each for each in truth.processes if each.name == task.spec.main_container), None) if truth else None
        )
        if main is not None:
            assert main.over or main.succeeded or not main.ever_ran, "the main container's rules start it again"

    # What is written

    def check_written(self, written: Written) -> None:
        before, after = written.before, written.after
        if before.phase.terminal:
            return
        if after.phase in ENDED_BY_ITSELF:
            self._check_ended_by_itself(written)
        if after.phase is Phase.STOPPED and self.calm:
            self._check_kill_at(written)
        if after.phase is Phase.STOPPED and before.phase is Phase.STOPPING:
            self._check_taken_over(after)

    def _check_ended_by_itself(self, written: Written) -> None:
        after = written.after
        assert not self.only_by_stop, f"nothing ends by itself here, but the task is {after.phase} ({after.reason})"
        assert after.reason != "Stopped", "an end that the operator's own hand made"
        if after.workload is None or after.workload.kind != "Pod":
            return  # a Job makes another pod, and has the last word
        for uid in self._memory.pods_of(written.task, after):
            reason = self._memory.node.thrown_out.get(uid)
            if reason is not None:
                assert after.phase is Phase.FAILED, "thrown out is not done"
                lost = reason == BY_COLLECTOR and after.reason == "WorkloadLost"
                assert lost or not self.calm or after.reason == reason, (
                    f"thrown out for {reason}, but it says {after.reason}"
                )

    def _check_kill_at(self, written: Written) -> None:
        """SIGKILL came when killAt says."""
        stop = written.after.stop
        assert stop is not None
        if stop.verdict is not Verdict.KILLED or stop.kill_at is None:
            return
        truths = [self._memory.truth(uid) for uid in self._memory.pods_of(written.task, written.after)]
        processes = [each for truth in truths if truth for each in truth.processes]
        deaf = any(truth.was_cut_off for truth in truths if truth)
        if deaf or any(each.hook or each.pull or each.probe_grace for each in processes):
            return  # nobody knows when such a kubelet begins
        ends = [each.finished_at for each in processes if each.killed and each.finished_at]
        last = max(ends, default=None)
        if last is None or last < stop.accepted_at:
            return  # it went with its machine, or a pause ended it
        assert abs(last - stop.kill_at) <= NEARLY, f"killAt says {stop.kill_at}, SIGKILL came at {last}"

    def _check_taken_over(self, after: AgentTaskStatus) -> None:
        """What goes on elsewhere is on record when the stop is."""
        if after.workload is None or not self.calm:
            return
        took_at = self._replica_set.took_at.get(after.workload.uid)
        if took_at is not None and took_at + TOLD_WITHIN <= self._clock.now.timestamp():
            told = any(each.type == ConditionType.CONTROLLED_ELSEWHERE for each in after.conditions)
            assert told, "it goes on elsewhere, and nobody is told"

    # What is true at any time

    def check_truth(self, tasks: list[Raw]) -> None:
        for raw in tasks:
            status = self._memory.status(raw)
            if status.workload is None:
                continue
            for uid in self._memory.pods_of(raw, status):
                truth = self._memory.truth(uid)
                if truth is not None:
                    self._check_pod(uid, truth, status)
            if status.phase is Phase.STOPPING and status.workload.kind == "Job":
                self._check_told_of_again(raw, status)

    def _check_pod(self, uid: str, truth: Sandbox, status: AgentTaskStatus) -> None:
        by_pod = status.workload is not None and status.workload.kind == "Pod"
        if status.phase is Phase.FAILED and by_pod and status.finished_at is not None:
            # A pod that somebody removed by force ends in its own time, which nobody waits for without a stop.
            over_at = status.finished_at
            later = any(each.first_at is not None and each.first_at > over_at for each in truth.processes)
            excused = status.reason == "WorkloadLost" and not later and not truth.starting(self._clock.now)
            excused = excused and self._memory.node.thrown_out.get(uid) != BY_COLLECTOR
            assert not truth.running or excused, f"Failed ({status.reason}) is a lie: it runs"
        signaled_at = status.stop.signaled_at if status.stop is not None else None
        if signaled_at is not None and truth.waited_until is not None and truth.waited_until > signaled_at + NEARLY:
            assert not truth.ever_ran, "it waited for its volume when it was stopped, and was started all the same"

    def _check_told_of_again(self, raw: Raw, status: AgentTaskStatus) -> None:
        """Where somebody starts a Job again while it is being stopped, its task says so soon."""
        stop, now = status.stop, self._clock.now
        if stop is None or stop.signaled_at is None or not self.calm:
            return
        for uid in self._memory.pods_of(raw, status):
            truth = self._memory.truth(uid)
            if truth is None or not truth.running or truth.taken_at <= stop.signaled_at + MARGIN + NEARLY:
                continue
            if truth.taken_at + timedelta(seconds=TOLD_WITHIN) <= now:
                stalled = {each.reason for each in status.conditions if (each.type, each.status) == ("Stalled", "True")}
                assert "StartedAgain" in stalled, "somebody starts it again while it is being stopped: nobody is told"
