"""What holds of adopted Jobs, against the truth of the world."""

from datetime import timedelta

from agentstop.api.meta import parse_time
from agentstop.api.task import KIND, AgentTaskStatus, Phase, Verdict
from agentstop.lifecycle.observation import Task
from agentstop.workloads.requests import Meaning, Patch, Request

from .jobs import JobController
from .memory import Memory, Written, read
from .process import Process
from .rules import emptied, lost, out_of_memory_late
from .server import Raw, Server

QUICK = 1
"""A controller that is at most so many seconds behind hears in time of what the operator waits for."""


WHOLE_SECOND = timedelta(seconds=1)
"""The API server notes in whole seconds when a task was made."""


class JobRules:
    """Checks what is asked of Jobs, and what is said of their pods."""

    def __init__(self, server: Server, memory: Memory, controller: JobController) -> None:
        self._server = server
        self._memory = memory
        self._controller = controller
        self._read = 0
        self.slow = False
        """Whether the controller was so slow that an old Suspended=True could be taken for a new one."""
        self._stopped: dict[str, tuple[int, AgentTaskStatus]] = {}
        """By the UID of a Job: the place in the history at which its task was Stopped, and its status."""

    def check_request(self, request: Request, task: Task) -> None:
        if not isinstance(request, Patch) or request.ref.kind != "Job":
            return
        known = task.status.workload
        assert known is None or known.uid == request.uid, "rule 6: another Job of that name"
        wanted = {"spec": {"suspend": request.meaning is not Meaning.RESUME}}
        assert request.body == wanted, "rule 8: only the change that stops, or has it run again"
        paused = task.spec.paused or task.status.phase in {Phase.PAUSING, Phase.PAUSED}
        stopped = task.stop_seen_at is not None or task.status.stop is not None
        if request.meaning is Meaning.PAUSE:
            assert paused
            assert not stopped
        elif request.meaning is Meaning.STOP:
            assert stopped or task.spec.active_deadline_seconds is not None, "nobody asked for this"
        else:
            assert request.resource_version is not None, "a resume could overtake what somebody else did"

    def check_written(self, written: Written) -> None:
        after = written.after
        if after.workload is None or after.workload.kind != "Job":
            return
        if after.phase is Phase.STOPPED and written.before.phase is not Phase.STOPPED:
            assert after.stop is not None
            if after.stop.verdict is not Verdict.UNVERIFIED:
                self._stopped[after.workload.uid] = written.number, after
                self._check_verdict(written)
        self._check_evidence(after)

    def _check_verdict(self, written: Written) -> None:
        stop = written.after.stop
        assert stop is not None
        assert written.after.workload is not None
        uids = self._memory.pods_of(written.task, written.after, written.number)
        truths = [truth for uid in uids if (truth := self._memory.truth(uid)) is not None]
        since = parse_time(written.task["metadata"]["creationTimestamp"])
        assert since is not None
        all_processes = [each for truth in truths for each in truth.processes]
        processes = [
            each for each in all_processes if each.finished_at is None or each.finished_at > since + WHOLE_SECOND
        ]
        if stop.verdict is Verdict.KILLED:
            unclear = any(lost(truth) or out_of_memory_late(truth, stop) for truth in truths)
            unclear |= emptied(written.after)
            assert unclear or any(each.killed for each in processes), "Killed, but nothing was"
        if stop.verdict is Verdict.NOT_STARTED:
            missed = not written.after.workload.pod_count and all(self._left_nothing(each, written) for each in uids)
            assert missed or not any(each.ever_ran for each in processes), "NotStarted, but it ran"
        if stop.verdict is Verdict.GRACEFUL and stop.kill_at is not None:
            late = [each for each in processes if each.killed and each.finished_at and each.finished_at > stop.kill_at]
            assert not late, "Graceful, but killed when the grace period was over"

    def _left_nothing(self, uid: str, written: Written) -> bool:
        """Whether there was nothing to find of a pod that ran.

        It was removed by force in the middle of its start, or before the operator knew the Job and saw its pods.
        """
        truth = self._memory.truth(uid)
        removed, recorded = self._memory.removed.get(uid), self._memory.recorded.get(written.uid, written.number)
        unseen = removed is not None and removed < recorded
        return truth is None or unseen or any(map(_hook, truth.processes))

    def _check_evidence(self, status: AgentTaskStatus) -> None:
        """Exit codes are those that there were."""
        assert status.workload is not None
        assert len(status.workload.pods) <= status.workload.pod_count
        for pod in status.workload.pods:
            truth = self._memory.truth(pod.uid)
            assert truth is not None or not any(each.exit_code is not None for each in pod.containers)
            processes = {each.name: each for each in truth.processes} if truth is not None else {}
            for each in pod.containers:
                if each.exit_code is None or each.finished_at is None:
                    continue
                last = processes[each.name]
                ran_again = last.exit_code is None or (
                    last.started_at is not None and last.started_at > each.finished_at
                )
                assert ran_again or each.exit_code == last.exit_code or status.phase.terminal

    def check_truth(self, tasks: list[Raw]) -> None:
        self._take_stock()
        for uid, (number, _) in self._stopped.items():
            for pod, born in self._memory.born.items():
                if self._memory.owner(pod).get("uid") != uid or not self._memory.runs(pod):
                    continue
                assert born > number, "rule 2: Stopped is a lie, a pod of before runs"
                assert self.slow or self._memory.resumed.get(uid, 0) > number, (
                    "rule 2: Stopped is a lie, one came after"
                )
        self._check_rivals(tasks)

    def _check_rivals(self, tasks: list[Raw]) -> None:
        live = [self._memory.status(raw) for raw in tasks]
        uids = [each.workload.uid for each in live if each.workload is not None and not each.phase.terminal]
        assert len(uids) == len(set(uids)), "two tasks have the same workload"

    def _take_stock(self) -> None:
        """Take in what is new in the history."""
        for change in self._server.history[self._read :]:
            if change.ref.kind == KIND and change.kind == "DELETED":
                workload = read(change.after["status"]).workload
                if workload is not None:
                    self._stopped.pop(workload.uid, None)
        self.slow |= self._controller.lag > QUICK and bool(self._memory.resumed)
        self._read = len(self._server.history)


def _hook(process: Process) -> float:
    return process.hook
