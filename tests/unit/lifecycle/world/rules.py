"""The rules of the design's section 4, held against the truth of the world."""

from collections.abc import Callable
from datetime import datetime, timedelta

from agentstop.api.meta import TASK_LABEL
from agentstop.api.task import KIND, AgentTaskStatus, OnUnconfirmed, Phase, StopSource, StopStatus, Verdict
from agentstop.lifecycle.decide import MARGIN
from agentstop.lifecycle.seen import Task
from agentstop.lifecycle.transitions import EDGES
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.requests import Create, Delete, Look, Patch, Request

from .clock import Clock
from .machine import Sandbox
from .node import Node
from .server import NAMESPACE, Change, Raw, Server

ENDED_BY_ITSELF = frozenset({Phase.COMPLETED, Phase.FAILED})


class Rules:
    """Checks what the operator asks for and writes."""

    def __init__(self, server: Server, node: Node, clock: Clock) -> None:
        self._server = server
        self._node = node
        self._clock = clock
        self._checked = 0
        self._written: list[Change] = []
        self._pods: dict[str, Raw] = {}
        """Every pod that ever was, by UID, as it was created."""
        self._made: dict[str, set[str]] = {}
        """UIDs of the pods that the operator made, by the UID of their task."""

    # Requests

    def check_request(self, request: Request, at_work_on: Callable[[], Task | None]) -> None:
        task = at_work_on()
        assert task is not None
        match request:
            case Look():
                return
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
            case Patch(ref, uid, body, ends_processes):
                self._check_victim(task, ref, uid)
                assert body == {"spec": {"activeDeadlineSeconds": 1}}, "rule 8: only the change that stops"
                assert ends_processes
            case Delete(ref, uid, grace, ends_processes):
                self._check_victim(task, ref, uid)
                own = self._pods[uid]["spec"]["terminationGracePeriodSeconds"]
                assert not ends_processes or (own if grace is None else grace) >= 1, "rule 7: grace 0"

    def _check_victim(self, task: Task, ref: ObjectRef, uid: str) -> None:
        assert ref.kind == "Pod"
        self._take_stock()
        pod = self._pods.get(uid)
        assert pod is not None, "rule 6: a UID that never was"
        owners = pod["metadata"].get("ownerReferences") or ()
        if task.spec.workload_ref is None:
            assert owners, "rule 6: somebody else's pod"
            assert owners[0]["uid"] == task.uid, "rule 6: somebody else's pod"
        else:
            assert ref.name == task.spec.workload_ref.name
            assert not owners, "rule 4: a pod with a controller"
            known = task.status.workload
            assert known is None or known.uid == uid, "rule 6: a pod that only has the name of the adopted one"
        assert self._has_a_reason(task), "nobody asked for the end of this pod"

    def _has_a_reason(self, task: Task) -> bool:
        if task.spec.stop_requested or task.status.stop is not None or task.spec.main_container is not None:
            return True
        if (task.deleting and task.protected) or (task.gone and task.spec.workload_ref is None):
            return True
        seconds = task.spec.active_deadline_seconds
        if seconds is None or task.status.workload is None:
            return seconds is not None
        started_at = task.status.started_at
        return started_at is None or started_at + timedelta(seconds=seconds) <= self._clock.now

    # What is written

    def check_history(self) -> None:
        """Check every status that was written since the last time."""
        self._take_stock()
        written, self._written = self._written, []
        for change in written:
            assert change.before is not None
            before, after = change.before.get("status", {}), change.after.get("status", {})
            if before != after:
                self._check_write(change, _read(before), _read(after))

    def _take_stock(self) -> None:
        for change in self._server.history[self._checked :]:
            metadata = change.after["metadata"]
            if change.ref.kind == KIND and change.before is not None:
                self._written.append(change)
            elif change.ref.kind == "Pod" and change.kind == "ADDED":
                self._pods[metadata["uid"]] = change.after
                owner: Raw = next(iter(metadata.get("ownerReferences") or ()), {})
                if "blockOwnerDeletion" in owner:
                    self._made.setdefault(owner["uid"], set()).add(metadata["uid"])
        self._checked = len(self._server.history)

    def _check_write(self, change: Change, before: AgentTaskStatus, after: AgentTaskStatus) -> None:
        assert before.wire() != after.wire(), "rule 10: written without a change"
        assert after.phase is before.phase or after.phase in EDGES[before.phase], "an edge that does not exist"
        if before.phase.terminal:
            assert after == before.but(observed_generation=after.observed_generation), "rule 3: changed after the end"
            return
        self._check_record(before, after)
        if after.phase in ENDED_BY_ITSELF:
            assert after.stop is None, "rule 3: ended by itself after a stop was accepted"
            assert after.finished_at is not None
        if after.phase is Phase.STOPPED:
            self._check_stopped(change.after["spec"], after)

    def _check_record(self, before: AgentTaskStatus, after: AgentTaskStatus) -> None:
        stop, was = after.stop, before.stop
        if was is not None:
            assert stop is not None, "rule 9: the record is gone"
            for name in ("source", "requested_by", "reason", "message", "accepted_at"):
                assert getattr(stop, name) == getattr(was, name), f"rule 9: {name} changed"
            assert was.signaled_at in {None, stop.signaled_at}, "rule 9: signaledAt changed"
            if was.grace_period_seconds is not None:
                assert stop.grace_period_seconds is not None
                assert stop.grace_period_seconds <= was.grace_period_seconds, "rule 9: the grace period was raised"
            if was.kill_at is not None:
                assert stop.kill_at is not None
                assert stop.kill_at <= was.kill_at, "rule 9: killAt was put off"
                self._check_shortened(stop, was.kill_at)
        assert (stop is not None) is (after.phase in {Phase.STOPPING, Phase.STOPPED}), "rule 3"
        assert after.manually_stopped is (stop is not None and stop.source is StopSource.USER)
        if stop is None:
            return
        assert stop.accepted_at <= self._clock.now
        if stop.signaled_at is not None:
            assert stop.accepted_at <= stop.signaled_at
            assert stop.kill_at is not None
            assert stop.signaled_at <= stop.kill_at

    def _check_shortened(self, stop: StopStatus, was: datetime) -> None:
        """A kill time in the past would let MarkStopped give up without a margin."""
        assert stop.kill_at is not None
        assert stop.signaled_at is not None
        whole = stop.signaled_at + timedelta(seconds=stop.grace_period_seconds or 0)
        assert stop.kill_at >= min(was, self._clock.now, whole), "rule 2: killAt is earlier than the grace period says"

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
            status = _read(raw["status"])
            for uid in self._pods_of(raw, status):
                self._check_over(uid, status)

    def _pods_of(self, raw: Raw, status: AgentTaskStatus) -> set[str]:
        uids = {status.workload.uid} if status.workload is not None else set()
        return uids | self._made.get(raw["metadata"]["uid"], set())

    def _check_over(self, uid: str, status: AgentTaskStatus) -> None:
        truth = self._node.truth(uid)
        verdict = status.stop.verdict if status.stop is not None else None
        if verdict is Verdict.UNVERIFIED or truth is None:
            return
        assert not truth.running, f"rule 2: {status.phase} ({verdict}) is a lie"
        killed = any(each.killed for each in truth.processes)
        if verdict is Verdict.GRACEFUL:
            assert not self._killed_meanwhile(truth, status) or truth.ended_by_own_deadline, "Graceful, but killed"
        if verdict is Verdict.KILLED:
            assert killed or self._lost(truth), "Killed, but not by the end of the grace period"
        if verdict is Verdict.NOT_STARTED:
            assert not truth.ever_ran, "NotStarted, but it ran"

    def _lost(self, truth: Sandbox) -> bool:
        """Whether a container went with its machine, which looks like a kill where it comes about that time."""
        return any(each.reason == "ContainerStatusUnknown" for each in truth.processes)

    def _killed_meanwhile(self, truth: Sandbox, status: AgentTaskStatus) -> bool:
        """Whether a container was killed after the stop was accepted; before, it was somebody else's doing."""
        assert status.stop is not None
        accepted_at = status.stop.accepted_at
        return any(each.killed and each.finished_at and each.finished_at > accepted_at for each in truth.processes)


def _read(status: Raw) -> AgentTaskStatus:
    return AgentTaskStatus.model_validate(status)
