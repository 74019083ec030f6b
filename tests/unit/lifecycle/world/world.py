"""Everything together, and what people and other programs do in it."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from agentstop.api.meta import API_VERSION, REQUESTED_BY_ANNOTATION, TASK_LABEL
from agentstop.api.order import ORDER_KIND
from agentstop.api.pod_control import CONTROL_KIND
from agentstop.api.task import KIND, Phase
from agentstop.api.usage import USAGE_KIND
from agentstop.cluster.errors import ApiError
from agentstop.lifecycle.conditions import KUBELET_BUSY
from agentstop.lifecycle.decision import Limits
from agentstop.lifecycle.family import inherited_stop
from agentstop.lifecycle.observation import Task
from agentstop.workloads.lightening import IS_HEAVY
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.pods.proof import NODE_UNKNOWN
from agentstop.workloads.requests import Delete, Get, Request

from .clock import Clock
from .collector import PodCollector
from .component import Component
from .gateway import CrashError, Fault, ModelGateway
from .jobs import JOB, JobController
from .memory import Memory
from .node import NODE, Node
from .operator import Process
from .queues import JobQueue
from .replica_sets import ReplicaSet
from .rules import Rules
from .rules_budgets import BudgetRules
from .rules_families import FamilyRules
from .rules_freezing import FreezeRules
from .rules_jobs import JobRules
from .rules_pausing import PauseRules
from .rules_reported import ReportedRules
from .server import NAMESPACE, Raw, Server

HOLDER = "example.com/holds"
MARKED = {"onUnconfirmed": "MarkStopped"}
MAX_PASSES = 40
"""So many passes at one moment are more than anything but a loop without end can take."""


class World:
    """One API server, one node, one operator."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.server = Server(self.clock)
        self.node = Node(self.server, self.clock)
        self.component = Component(self.server, self.node, self.clock)
        self.collector = PodCollector(self.server, self.node, self.clock)
        self.jobs = JobController(self.server, self.clock)
        self.queue = JobQueue(self.server, self.clock)
        self.replica_set = ReplicaSet(self.server, self.clock)
        self.memory = Memory(self.server, self.node)
        self.rules = Rules(self.memory, self.clock)
        self.pause_rules = PauseRules(self.memory, self.clock)
        self.freeze_rules = FreezeRules(self.server, self.memory, self.component, self.clock, self._is_frozen_by_order)
        self.budget_rules = BudgetRules(self.server, self.memory)
        self.family_rules = FamilyRules(self.server, self.memory)
        self.job_rules = JobRules(self.server, self.memory, self.jobs)
        self.reported_rules = ReportedRules(self.server, self.memory, self.replica_set, self.clock)
        self.gateway = ModelGateway(self.server, self._check_request)
        self.operator: Process | None = None

    def _is_frozen_by_order(self, task: Task) -> bool:
        """Whether an order that the operator knows of has a task frozen."""
        return self.operator is not None and self.operator.orders.order_effect(task).freeze is not None

    def _check_request(self, request: Request) -> None:
        assert self.operator is not None
        if isinstance(request, Delete) and request.ref.kind == CONTROL_KIND:
            self.freeze_rules.check_removal(request)
            return
        if self.operator.orphan_at_work() is not None:
            self.rules.check_end_of_orphan(request, self.tasks())
            return
        task = self.operator.task_at_work()
        if task is None:
            assert isinstance(request, Get), "something is changed for nobody"
            return
        family_lister = self.operator.cache.tasks.family_lister(NAMESPACE)
        other = inherited_stop(task, family_lister) is not None or self.budget_rules.asks_for_an_end(task)
        self.rules.check_request(request, task, inherits=other)
        self.pause_rules.check_request(request, task)
        self.freeze_rules.check_request(request, task, inherits=other)
        self.job_rules.check_request(request, task)
        self.reported_rules.check_request(request, task)
        self.family_rules.check_request(request, task, family_lister)

    # People

    def create_task(self, name: str, spec: Mapping[str, Any], by: str | None = None) -> None:
        annotations = {REQUESTED_BY_ANNOTATION: by} if by else {}
        body = {"apiVersion": API_VERSION, "metadata": {"annotations": annotations}, "spec": dict(spec), "status": {}}
        self.server.create(ObjectRef(KIND, NAMESPACE, name), body)

    def tasks(self) -> list[Raw]:
        return [raw for ref, raw in self.server.objects.items() if ref.kind == KIND]

    def patch_spec(self, name: str, **changes: Any) -> bool:
        """Patch a task's spec, as far as the CRD's rules allow it; return whether they did."""
        ref = ObjectRef(KIND, NAMESPACE, name)
        raw = self.server.objects.get(ref)
        if raw is None:
            return False
        before, after = raw["spec"], raw["spec"] | changes
        graces = [(spec.get("stop") or {}).get("gracePeriodSeconds") for spec in (before, after)]
        raised = (graces[1] or 0) > (2**31 - 1 if graces[0] is None else graces[0])
        if before.get("stopRequested") and (not after.get("stopRequested") or raised):
            return False
        self.server.change(ref, lambda each: each.update(spec=after))
        return True

    def delete_task(self, name: str, *, orphan: bool = False) -> None:
        """Delete a task; its pod goes with it, or is nobody's from then on."""
        uid = self.server.get(ObjectRef(KIND, NAMESPACE, name))["metadata"]["uid"]
        for raw in list(self.server.pods()) if orphan else ():
            owners = raw["metadata"].get("ownerReferences") or ()
            if owners and owners[0]["uid"] == uid:
                self.change_pod(raw["metadata"]["name"], ownerReferences=[])
        self.server.delete(ObjectRef(KIND, NAMESPACE, name))

    # Others

    def create_job(self, spec: Mapping[str, Any]) -> None:
        if JOB not in self.server.objects:
            self.server.create(JOB, {"apiVersion": JOB.api_version, "spec": dict(spec)})

    def change_job(self, *, suspend: bool) -> None:
        if JOB in self.server.objects:
            self.server.change(JOB, lambda raw: raw["spec"].update(suspend=suspend), "kubectl", ["suspend"])

    def delete_job(self, *, orphan: bool) -> None:
        """Delete the Job; its pods go with it, or are nobody's from then on."""
        if JOB not in self.server.objects:
            return
        uid = self.server.delete(JOB)["metadata"]["uid"]
        for raw in self.server.pods() if orphan else ():
            owners = raw["metadata"].get("ownerReferences") or ()
            if owners and owners[0]["uid"] == uid:
                self.change_pod(raw["metadata"]["name"], ownerReferences=[])

    def create_pod(self, name: str, spec: Mapping[str, Any], **metadata: Any) -> None:
        try:
            self.server.create(ObjectRef("Pod", NAMESPACE, name), {"metadata": metadata, "spec": dict(spec)})
        except ApiError:
            return

    def create_impostor(self, task: Raw) -> None:
        """Start the workload of a task anew, as if the operator had made it."""
        name = task["metadata"]["name"]
        owner = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": name,
            "uid": task["metadata"]["uid"],
            "controller": True,
        }
        self.create_pod(name, task["spec"]["podTemplate"]["spec"], labels={TASK_LABEL: name}, ownerReferences=[owner])

    def delete_pod(self, name: str, grace: int | None) -> None:
        try:
            self.server.delete(ObjectRef("Pod", NAMESPACE, name), grace=grace)
        except ApiError:
            return

    def evict_pod(self, name: str, reason: str) -> None:
        """Throw a pod out, as the scheduler and the eviction API do it."""
        ref = ObjectRef("Pod", NAMESPACE, name)
        if ref in self.server.objects:
            self.node.disrupt(ref, reason)
            self.delete_pod(name, None)

    def change_pod(self, name: str, **metadata: Any) -> None:
        with suppress(ApiError):
            self.server.change(ObjectRef("Pod", NAMESPACE, name), lambda raw: raw["metadata"].update(metadata))

    def fatten_pod(self, name: str) -> None:
        """Put labels on a pod until nothing more can be added to it."""
        with suppress(ApiError):
            self.server.change(ObjectRef("Pod", NAMESPACE, name), lambda raw: raw.update({IS_HEAVY: True}))

    def bind(self, name: str) -> None:
        """The scheduler binds a pod; the API server refuses that for one that is being deleted."""
        raw = self.server.objects[ObjectRef("Pod", NAMESPACE, name)]
        if "deletionTimestamp" not in raw["metadata"] and not raw["spec"].get("nodeName"):
            with suppress(ApiError):
                self.server.change(
                    ObjectRef("Pod", NAMESPACE, name), lambda each: each["spec"].update(nodeName=NODE.name)
                )

    def schedule(self) -> None:
        for raw in list(self.server.pods()):
            self.bind(raw["metadata"]["name"])

    # Time

    def pass_time(self, seconds: int, *, attentive: bool = False, step: int = 1) -> None:
        """Let time pass for machines and controllers; an attentive operator does its work meanwhile."""
        for _ in range(0, seconds, step):
            self.clock.advance(step)
            self.component.second()
            self.node.second()
            self.component.second()
            self.collector.second()
            self.queue.second()
            self.jobs.second()
            self.replica_set.second()
            self._collect()
            if attentive:
                self.observe_only()

    def _collect(self) -> None:
        """The garbage collector deletes what is owned by what is gone."""
        for raw in list(self.server.pods()):
            owners = raw["metadata"].get("ownerReferences") or ()
            if owners and owners[0]["uid"] in self.server.gone:
                self.delete_pod(raw["metadata"]["name"], None)
        self.component.collect()

    # The operator

    def start_operator(self) -> None:
        limits = Limits(ask_nodes=self.component.installed)
        self.operator = Process(self.server, self.clock, self.gateway, limits)

    def crash_operator(self) -> None:
        self.operator = None
        self.gateway.faults = []

    def observe_only(self) -> None:
        """Have the operator take in all there is, and work until there is nothing left to do now."""
        if self.operator is None:
            return
        passes = 0
        for _ in range(4):
            self.operator.watch("Pod")
            self.operator.watch(KIND)
            self.operator.watch(USAGE_KIND)
            self.operator.watch(CONTROL_KIND)
            self.operator.watch(ORDER_KIND)
            self.operator.follow()
            done = self.work(MAX_PASSES)
            if self.operator is None:
                return
            passes += done
            if not done:
                break
        assert passes < MAX_PASSES, "the operator is busy without end"

    def work(self, most: int, faults: list[Fault] | None = None) -> int:
        if self.operator is None:
            return 0
        self.gateway.faults = list(faults or ())
        try:
            passes = self.operator.work(most)
        except CrashError:
            self.operator = None
            passes = most
        self.gateway.faults = []
        self.check()
        return passes

    def check(self) -> None:
        for written in self.memory.written():
            self.rules.check_written(written)
            self.pause_rules.check_written(written)
            self.freeze_rules.check_written(written)
            self.budget_rules.check_written(written)
            self.family_rules.check_written(written)
            self.job_rules.check_written(written)
            self.reported_rules.check_written(written)
        self.rules.check_truth(self.tasks())
        self.job_rules.check_truth(self.tasks())
        self.pause_rules.check_truth(slow=self.job_rules.slow)
        self.freeze_rules.check_truth(self.tasks())
        self.reported_rules.check_truth(self.tasks())

    # The end

    def turn_benign(self) -> None:
        """Nothing stands in the way any more."""
        self.gateway.forbidden.clear()
        if not self.node.powered:
            self.node.boot()
        self.node.kubelet_runs, self.node.cut_off = True, False
        self.component.runs, self.component.mute, self.component.lag = True, False, 0
        if self.node.forgotten:
            self.node.restart_kubelet()
        self.queue.after = None
        self.jobs.lag = 0
        self.jobs.start()
        for raw in list(self.server.pods()):
            kept = [each for each in raw["metadata"].get("finalizers") or () if each != HOLDER]
            self.change_pod(raw["metadata"]["name"], finalizers=kept)
            if not raw["spec"].get("nodeName"):
                # No scheduler can bind what is too large; to end it is the operator's, to have it start is not.
                with suppress(ApiError):
                    self.server.change(ObjectRef("Pod", NAMESPACE, raw["metadata"]["name"]), _slim)
        if self.operator is None:
            self.start_operator()

    def _follow_advice(self) -> None:
        """An administrator reboots the node where only that can prove an end."""
        assert self.operator is not None
        conditions = [each for raw in self.tasks() for each in raw["status"].get("conditions") or ()]
        reasons = {each["reason"] for each in conditions if each["status"] == "True"}
        reasons |= {each.reason for each in self.operator.orphans}
        # Of a task whose object is gone, nothing but the log tells.
        gone = [each.status.conditions for _, each in self.operator.cache.tasks.items() if each.gone]
        reasons |= {each.reason for told in gone for each in told if each.status == "True"}
        if KUBELET_BUSY in reasons:
            self.node.power_off()
            self.node.boot()
        # Nobody knows which node to look at, and nothing runs there any more by now.
        for raw in self.tasks():
            told = {each["reason"] for each in raw["status"].get("conditions") or () if each["status"] == "True"}
            if NODE_UNKNOWN in told and raw["status"]["phase"] == Phase.STOPPING:
                self._mark_stopped(raw)
        for name in [each.name for each in self.operator.orphans if each.reason == NODE_UNKNOWN]:
            known = self.server.objects.get(ObjectRef(KIND, NAMESPACE, name))
            if known is None:
                self.create_task(name, {"stopRequested": True, "stop": MARKED, "podTemplate": {"spec": {}}})
            elif known["spec"].get("stopRequested"):
                self._mark_stopped(known)

    def _mark_stopped(self, raw: Raw) -> None:
        self.patch_spec(raw["metadata"]["name"], stop={**(raw["spec"].get("stop") or {}), **MARKED})

    def settle(self) -> None:
        """Let a good while pass in which all goes well."""
        self.schedule()
        self.pass_time(150, attentive=True)
        for _ in range(2):
            self.pass_time(300, attentive=True, step=20)
            assert self.operator is not None
            self._follow_advice()
            self.operator.look_again()
            self.schedule()
            self.pass_time(120, attentive=True, step=3)


def _slim(raw: Raw) -> None:
    raw.pop(IS_HEAVY, None)
