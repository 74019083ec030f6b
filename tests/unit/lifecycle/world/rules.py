"""The rules of the design's section 4, held against the truth of the world."""

from datetime import timedelta
from typing import Any

from agentstop.api.meta import TASK_LABEL
from agentstop.api.task import (
    AgentTaskSpec,
    AgentTaskStatus,
    OnUnconfirmed,
    Phase,
    PodPolicy,
    StopRequest,
    StopSource,
    StopStatus,
    Verdict,
)
from agentstop.lifecycle.decision import MARGIN
from agentstop.lifecycle.observation import Task
from agentstop.lifecycle.transitions import EDGES
from agentstop.lifecycle.verdict import OUT_OF_MEMORY
from agentstop.workloads.lightening import JOB_TRACKING
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.requests import Create, Delete, Lighten, LiveRead, Meaning, Patch, Request

from .clock import Clock
from .machine import Sandbox
from .memory import Memory, Written
from .server import NAMESPACE, Raw

AT_ONCE = timedelta(seconds=2)
"""Within this time a kubelet begins with what it hears."""

ENDED_BY_ITSELF = frozenset({Phase.COMPLETED, Phase.FAILED})


class Rules:
    """Checks what the operator asks for and writes."""

    def __init__(self, memory: Memory, clock: Clock) -> None:
        self._memory = memory
        self._clock = clock

    # Requests

    def check_request(self, request: Request, task: Task, *, inherits: bool) -> None:
        match request:
            case Create(ref, body):
                assert ref == ObjectRef("Pod", NAMESPACE, task.name)
                assert task.spec.workload_ref is None, "only a pod from a template is made"
                assert not task.spec.stop_requested, "rule 4: a pod is made after a stop was seen"
                assert task.status.stop is None, "rule 4: a pod is made after a stop was accepted"
                assert not task.status.phase.terminal, "rule 4: a pod is made after the end"
                assert not task.deleting
                assert not task.gone
                assert body["metadata"]["labels"][TASK_LABEL] == task.name
                assert body["metadata"]["ownerReferences"][0]["uid"] == task.uid
            case Patch(ref, uid, body, Meaning.UNTRACK):
                self._check_victim(task, ref, uid, inherits=inherits)
                assert body == {"metadata": {"$deleteFromPrimitiveList/finalizers": [JOB_TRACKING]}}
            case Patch(ref, uid, body, meaning) if ref.kind == "Pod":
                self._check_victim(task, ref, uid, inherits=inherits)
                assert body == {"spec": {"activeDeadlineSeconds": 1}}, "rule 8: only the change that stops"
                assert meaning is Meaning.STOP
            case Delete(ref, uid, grace, ends_processes):
                assert ref.kind == "Pod", "rule 4: what controls the workload is not deleted"
                self._check_victim(task, ref, uid, inherits=inherits)
                own = self._memory.pods[uid]["spec"]["terminationGracePeriodSeconds"]
                assert not ends_processes or (own if grace is None else grace) >= 1, "rule 7: grace 0"
                if _goes_after_proof(task.spec.stop) and not ends_processes and not task.gone:
                    assert self._memory.is_on_record(task), "a pod is deleted whose end is not on record"

    def _check_victim(self, task: Task, ref: ObjectRef, uid: str, *, inherits: bool) -> None:
        self._memory.take_stock()
        assert uid in self._memory.pods, "rule 6: a UID that never was"
        owner = self._memory.owner(uid)
        adopted = task.spec.workload_ref
        known = task.status.workload
        if adopted is None:
            assert owner, "rule 6: somebody else's pod"
            assert owner["uid"] == task.uid, "rule 6: somebody else's pod"
        elif adopted.kind == "Pod":
            assert ref.name == adopted.name
            assert not owner, "rule 4: a pod with a controller"
            assert known is None or known.uid == uid, "rule 6: a pod that only has the name of the adopted one"
        else:
            assert (owner.get("kind"), owner.get("name")) == (adopted.kind, adopted.name), "rule 6: another's pod"
            assert known is None or owner["uid"] == known.uid, "rule 6: a pod of another one of that name"
        assert inherits or self._has_a_reason(task), "nobody asked for the end of this pod"

    def _has_a_reason(self, task: Task) -> bool:
        if task.stop_seen_at is not None or task.status.stop is not None or task.spec.main_container is not None:
            return True
        if task.spec.paused or task.status.phase in {Phase.PAUSING, Phase.PAUSED}:
            return True
        if task.deleting and task.protected:
            return True
        seconds = task.spec.active_deadline_seconds
        if seconds is None or task.status.workload is None:
            return seconds is not None
        started_at = task.status.started_at
        return started_at is None or started_at + timedelta(seconds=seconds) <= self._clock.now

    def check_end_of_orphan(self, request: Request, tasks: list[Raw]) -> None:
        """A pod is ended that is the pod of no task, and of none that has adopted it and has not ended."""
        if isinstance(request, LiveRead):
            return
        assert isinstance(request, Patch | Delete | Lighten)
        assert request.ref.kind == "Pod"
        self._memory.take_stock()
        assert request.uid in self._memory.pods, "rule 6: a UID that never was"
        for raw in tasks:
            status = self._memory.status(raw)
            if "podTemplate" in raw["spec"] or not status.phase.terminal:
                assert request.uid not in self._memory.pods_of(raw, status), "rule 6: the pod of a task"

    def check_orphans(self, pods: list[Raw], tasks: list[Raw]) -> None:
        """In the end no pod runs that bears our label, could be the operator's, and is the pod of no task."""
        names = {raw["metadata"]["name"] for raw in tasks}
        owned = {uid for raw in tasks for uid in self._memory.pods_of(raw, self._memory.status(raw))}
        for raw in pods:
            metadata = raw["metadata"]
            label, uid = (metadata.get("labels") or {}).get(TASK_LABEL), metadata["uid"]
            copied = label != metadata["name"] and (label in names or self._memory.owner(uid).get("kind") == "Job")
            if label is not None and not copied and uid not in owned:
                assert not self._memory.runs(uid), f"pod {metadata['name']} is the pod of no task, and runs"

    def check_remains(self, pods: list[Raw], tasks: list[Raw]) -> None:
        """Once it is quiet, a stop lists the pod that it left, and nothing that is gone."""
        there = {raw["metadata"]["uid"]: raw for raw in pods if "deletionTimestamp" not in raw["metadata"]}
        for raw in tasks:
            status = self._memory.status(raw)
            workload, stop = status.workload, status.stop
            if status.phase is not Phase.STOPPED or workload is None or workload.kind != "Pod" or stop is None:
                continue
            listed = {str(each.kind): each.name for each in stop.remains or ()}
            pod = there.get(workload.uid)
            if _goes_after_proof(AgentTaskSpec.model_validate(raw["spec"]).stop):
                assert pod is None, "a pod was not deleted after the proof"
            if pod is None:
                # Somebody may have made the pod anew, which was ended again and is kept as well.
                names = {each["metadata"]["name"] for each in there.values()}
                assert not listed or listed["Pod"] in names, "what is gone is said to remain"
                continue
            assert listed["Pod"] == workload.name, "the pod that is kept is not told of"
            assert ("ServiceAccountToken" in listed) is ("volumes" in pod["spec"]), "its token"

    # What is written

    def check_written(self, written: Written) -> None:
        before, after = written.before, written.after
        assert before.wire() != after.wire(), "rule 10: written without a change"
        assert after.phase is before.phase or after.phase in EDGES[before.phase], "an edge that does not exist"
        if before.phase.terminal:
            late: dict[str, Any] = {"observed_generation": after.observed_generation, "usage": after.usage}
            if before.stop is not None and after.stop is not None:
                late["stop"] = before.stop.but(usage_after=after.stop.usage_after, remains=after.stop.remains)
            assert after == before.but(**late), "rule 3: changed after the end"
            return
        self._check_record(before, after)
        if after.phase in ENDED_BY_ITSELF:
            assert after.stop is None, "rule 3: ended by itself after a stop was accepted"
            assert after.finished_at is not None
        if after.phase is Phase.STOPPED:
            self._check_stopped(written.task["spec"], after)

    def _check_record(self, before: AgentTaskStatus, after: AgentTaskStatus) -> None:
        stop, was = after.stop, before.stop
        if was is not None:
            assert stop is not None, "rule 9: the record is gone"
            for name in ("source", "origin", "requested_by", "reason", "message", "accepted_at", "usage_at_acceptance"):
                assert getattr(stop, name) == getattr(was, name), f"rule 9: {name} changed"
            assert was.signaled_at in {None, stop.signaled_at}, "rule 9: signaledAt changed"
            if was.grace_period_seconds is not None:
                assert stop.grace_period_seconds is not None
                assert stop.grace_period_seconds <= was.grace_period_seconds, "rule 9: the grace period was raised"
            if was.kill_at is not None:
                assert stop.kill_at is not None
        assert (stop is not None) is (after.phase in {Phase.STOPPING, Phase.STOPPED}), "rule 3"
        if stop is None or stop.source is not StopSource.PARENT:
            assert after.manually_stopped is (stop is not None and stop.source is StopSource.USER)
        if stop is None:
            return
        assert stop.accepted_at <= self._clock.now
        if stop.signaled_at is not None:
            assert stop.accepted_at <= stop.signaled_at
            assert stop.kill_at is not None
            assert stop.signaled_at <= stop.kill_at

    def _check_stopped(self, spec: Raw, after: AgentTaskStatus) -> None:
        stop = after.stop
        assert stop is not None
        assert stop.confirmed_at is not None
        assert stop.confirmed_at == after.finished_at
        assert (stop.signaled_at or stop.accepted_at) <= stop.confirmed_at
        if stop.verdict is Verdict.UNVERIFIED:
            assert (spec.get("stop") or {}).get("onUnconfirmed") == OnUnconfirmed.MARK_STOPPED, "rule 2"
            grace = timedelta(seconds=stop.grace_period_seconds or 0)
            assert stop.confirmed_at >= (stop.kill_at or stop.accepted_at) + MARGIN, "rule 2: no margin"
            if stop.signaled_at is None:
                assert stop.confirmed_at >= stop.accepted_at + grace + MARGIN, "rule 2: no margin"

    # What is true at any time

    def check_truth(self, tasks: list[Raw]) -> None:
        for raw in tasks:
            if raw["status"].get("phase") not in {Phase.STOPPED, Phase.COMPLETED}:
                continue
            status = self._memory.status(raw)
            if status.workload is None or status.workload.kind == "Pod":
                for uid in self._memory.pods_of(raw, status):
                    self._check_over(uid, status)

    def _check_over(self, uid: str, status: AgentTaskStatus) -> None:
        truth = self._memory.truth(uid)
        verdict = status.stop.verdict if status.stop is not None else None
        if verdict is Verdict.UNVERIFIED or truth is None:
            return
        assert not truth.running, f"rule 2: {status.phase} ({verdict}) is a lie"
        if status.workload is not None and status.workload.uid != uid:
            return  # one that was ended before, for a pause
        killed = any(each.killed for each in truth.processes)
        if verdict is Verdict.GRACEFUL:
            assert not self._killed_meanwhile(truth, status) or truth.ended_by_own_deadline, "Graceful, but killed"
        if verdict is Verdict.KILLED:
            known = killed or lost(truth) or out_of_memory_late(truth, status.stop) or emptied(status)
            assert known, "Killed, but not by the end of the grace period"
        if verdict is Verdict.NOT_STARTED:
            assert not truth.ever_ran, "NotStarted, but it ran"

    def _killed_meanwhile(self, truth: Sandbox, status: AgentTaskStatus) -> bool:
        """Whether a container was killed after the stop was accepted; before, it was somebody else's doing."""
        assert status.stop is not None
        accepted_at = status.stop.accepted_at
        return any(each.killed and each.finished_at and each.finished_at > accepted_at for each in truth.processes)


def _goes_after_proof(stop: StopRequest | None) -> bool:
    return stop is not None and stop.pod_policy is PodPolicy.DELETE_AFTER_PROOF


def out_of_memory_late(truth: Sandbox, stop: StopStatus | None) -> bool:
    """Whether a container ran out of memory when its grace period should have been over, and its kubelet began late.

    A start holds that up, or it does not run. Nothing tells that from SIGKILL: it does not say when it began.
    """
    if stop is None or stop.kill_at is None or stop.signaled_at is None:
        return False
    if truth.term_at is not None and truth.term_at <= stop.signaled_at + AT_ONCE:
        return False
    due = stop.kill_at.replace(microsecond=0)
    ends = [each.finished_at for each in truth.processes if each.reason == OUT_OF_MEMORY]
    return any(each is not None and each >= due for each in ends)


def emptied(status: AgentTaskStatus) -> bool:
    """Whether the kernel of a node says that nothing of a pod is left, which does not say how it ended."""
    return status.workload is not None and any(each.empty_at for each in status.workload.pods)


def lost(truth: Sandbox) -> bool:
    """Whether a container went with its machine, which looks like a kill where it comes about that time."""
    return any(each.reason == "ContainerStatusUnknown" for each in truth.processes)
