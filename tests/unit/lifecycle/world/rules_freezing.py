"""What holds of freezing, against the truth of the world."""

from collections.abc import Callable

from agentstop.api.order import ORDER_KIND
from agentstop.api.task import KIND, AgentTaskSpec, PausePolicy, Phase
from agentstop.lifecycle.conditions import FROZEN, THAWING
from agentstop.lifecycle.observation import Task
from agentstop.workloads.lightening import IS_HEAVY
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.requests import AskNode, Create, Delete, Meaning, Patch, Request

from .clock import Clock
from .component import Component
from .machine import Sandbox
from .memory import Memory, Written
from .server import NAMESPACE, Raw, Server

LITTLE = 5
"""A grace period in seconds of which too little may be left when a pod is thawed."""


class FreezeRules:
    """Checks what is asked of the node, and what is written of its answers."""

    def __init__(
        self, server: Server, memory: Memory, component: Component, clock: Clock, ordered: Callable[[Task], bool]
    ) -> None:
        """`ordered` says whether an order has a task frozen, as far as the operator knows."""
        self._ordered = ordered
        self._server = server
        self._memory = memory
        self._component = component
        self._clock = clock
        self._well: set[str] = set()
        self._claimed: dict[str, set[str]] = {}
        """By UID of a task that is Paused and frozen: the UIDs of its pods, as that was written."""

    def check_request(self, request: Request, task: Task, *, inherits: bool) -> None:
        starts = isinstance(request, Create) or (isinstance(request, Patch) and request.meaning is Meaning.RESUME)
        assert not (starts and self._ordered(task)), "something is started that an order has frozen"
        if not isinstance(request, AskNode) or request.state == "Killed":
            return
        frozen = task.to_be_frozen or self._ordered(task)
        self._memory.take_stock()
        stopped = inherits or _is_stopped(task)
        if request.state == "Frozen":
            assert frozen, "something is frozen that nobody wants to be"
            assert not stopped, "a freeze overtakes a stop"
        elif stopped or (task.to_be_paused and not frozen):
            assert task.gone or self._goes(request.ref.name), "thawed before its end was asked for"
        elif not (_may_end(task) and self._goes(request.ref.name)):
            assert not frozen, "thawed though nobody has it go on"
            lifted = task.status.frozen_by is None or task.status.reason == THAWING
            assert lifted, "an order was lifted, and it is thawed before that was on record"
            assert task.status.observed_generation == task.generation, "thawed before that was on record"

    def check_removal(self, request: Delete) -> None:
        """A PodControl is deleted only where its task is gone, since that has its pod go on."""
        raw = self._server.objects.get(request.ref)
        if raw is not None and raw["metadata"]["uid"] == request.uid:
            task = self._server.objects.get(ObjectRef(KIND, NAMESPACE, raw["spec"]["taskName"]))
            known = ((task or {}).get("status") or {}).get("workload") or {}
            assert all(each["uid"] != request.ref.name for each in known.get("pods") or ()), "it is a task's"

    def _goes(self, uid: str) -> bool:
        """Whether somebody has asked for the end of a pod, or it is gone."""
        raw = next((each for each in self._server.pods() if each["metadata"]["uid"] == uid), None)
        if raw is None:
            return True
        return "deletionTimestamp" in raw["metadata"] or raw["spec"].get("activeDeadlineSeconds") == 1

    def check_written(self, written: Written) -> None:
        before, after = written.before, written.after
        frozen = after.phase is Phase.PAUSED and after.reason == FROZEN
        if frozen:
            assert after.pause_policy is PausePolicy.FREEZE
            uids = self._memory.pods_of(written.task, after, written.number)
            self._claimed[written.uid] = uids
            assert any(self._memory.runs(uid) or self._is_there(uid) for uid in uids), "Frozen, and nothing is there"
        else:
            self._claimed.pop(written.uid, None)
        if after.phase not in {Phase.PAUSING, Phase.PAUSED}:
            assert after.pause_policy is None
        thawed = before.phase in {Phase.PAUSING, Phase.PAUSED} and after.phase is Phase.RUNNING
        if thawed and not self._component.was_faulty:
            for uid in self._memory.pods_of(written.task, after):
                truth = self._there(uid)
                assert truth is None or truth.finished or not truth.frozen, "Running, but frozen"

    def check_truth(self, tasks: list[Raw]) -> None:
        for raw in tasks:
            spec = AgentTaskSpec.model_validate(raw["spec"])
            if raw["metadata"]["uid"] not in self._claimed or spec.stop_requested:
                continue
            if not (spec.paused or self._order_freezes()):
                continue
            for uid in self._claimed[raw["metadata"]["uid"]]:
                truth = self._there(uid)
                assert truth is None or not truth.works, "it works though its task is Paused and frozen"

    def from_here_on_all_is_well(self) -> None:
        """Note what is frozen now: nothing stands in the way of its ending as it would."""
        sandboxes = self._component.node.sandboxes.items()
        self._well = {uid for uid, each in sandboxes if each.frozen and each.running and each.term_at is None}

    def _order_freezes(self) -> bool:
        orders = (raw for ref, raw in self._server.objects.items() if ref.kind == ORDER_KIND)
        return any("then" not in raw["spec"] for raw in orders)

    def check_end(self, tasks: list[Raw]) -> None:
        """Once it is quiet, nothing is frozen but what a task has frozen that is Paused."""
        meant = {
            uid
            for raw in tasks
            if raw["status"].get("phase") == Phase.PAUSED
            for uid in self._memory.pods_of(raw, self._memory.status(raw))
        }
        for uid in self._well:
            truth = self._memory.truth(uid)
            assert truth is None or truth.grace < LITTLE or not any(each.deaf for each in truth.processes), (
                "frozen until it was killed"
            )
        # What is too large even to be deleted, and is no task's any more, is out of everybody's reach.
        known = {uid for raw in tasks for uid in self._memory.pods_of(raw, self._memory.status(raw))}
        meant |= {raw["metadata"]["uid"] for raw in self._server.pods() if IS_HEAVY in raw} - known
        for uid, sandbox in self._component.node.sandboxes.items():
            assert uid in meant or not (sandbox.frozen and sandbox.running), "left frozen"

    def _is_there(self, uid: str) -> bool:
        return any(each["metadata"]["uid"] == uid for each in self._server.pods())

    def _there(self, uid: str) -> Sandbox | None:
        """Return the truth of a pod whose object is there; its PodControl goes with that, and then it goes on."""
        return self._memory.truth(uid) if self._is_there(uid) else None


def _is_stopped(task: Task) -> bool:
    """Whether somebody has asked for the end of a task, or it has come."""
    asked = task.spec.stop_requested or task.status.stop is not None or task.gone or task.status.phase.terminal
    return asked or (task.deleting and task.protected)


def _may_end(task: Task) -> bool:
    """Whether it may be over by its deadline, or since its main container has ended."""
    return task.spec.active_deadline_seconds is not None or task.spec.main_container is not None
