"""Orphaned pods: they bear our label, and are the pod of no task.

No stop and no order would reach them. A task can be deleted without its pod (`kubectl delete --cascade=orphan`), a pod
can lose its owner before its task goes, and anybody who may create pods can give one our label.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from agentstop.api.meta import Condition, ConditionType
from agentstop.api.task import KIND, AgentTaskSpec, AgentTaskStatus, Phase, PodPolicy, Verdict
from agentstop.api.workload_status import WorkloadStatus
from agentstop.lifecycle.effects import Terminate
from agentstop.lifecycle.observation import Reason, Task
from agentstop.workloads.pods.record import PodRecord

ORPHANED: Final = "OrphanedPod"
UNVERIFIED: Final = "StopUnverified"

_SPEC: Final = AgentTaskSpec.model_construct(pod_template={})


def is_orphan(pod: PodRecord, namesake: Task | None, adopters: Iterable[Task] = ()) -> bool:
    """Whether a pod has to be ended because it bears our label and is the pod of no task.

    `namesake` is the task that the label names, if there is one; `adopters` are the tasks that point at the pod. The
    operator gives a pod the name of its task, and names cannot be changed. So a pod with another name than its label
    was made by somebody else: it is left alone while there is such a task, and for good where it has a controller,
    which would only make it again.
    """
    if pod.task is None or pod.ended or any(_adopts(task, pod) for task in adopters):
        return False
    named_so = pod.name == pod.task
    if namesake is not None:
        return named_so and not _owns(namesake, pod)
    return named_so or pod.controller is None or pod.controller.kind == KIND


def _owns(task: Task, pod: PodRecord) -> bool:
    """Whether a pod is the task's: by the record, or by its owner where the task may have another one than it has.

    That is before the first is on record, when a pause ends, and when somebody starts anew what was stopped. Whoever
    may create pods can give one the owner of a task that has ended: no stop of that task would reach it.
    """
    workload, phase = task.status.workload, task.status.phase
    if workload is not None and workload.uid == pod.uid:
        return True
    another = phase in {Phase.STOPPED, Phase.PAUSED} or (workload is None and not phase.terminal)
    return another and pod.controller is not None and pod.controller.uid == task.uid


def _adopts(task: Task, pod: PodRecord) -> bool:
    ref, workload = task.spec.workload_ref, task.status.workload
    if ref is None or ref.kind != "Pod" or ref.name != pod.name or task.status.phase.terminal:
        return False
    return workload is None or workload.uid == pod.uid


def has_given_up_on(task: Task, pod: PodRecord) -> bool:
    """Whether a task was stopped without the proof that its pod has ended: once it is gone, nobody waits for that."""
    workload, stop = task.status.workload, task.status.stop
    is_its_own = workload is not None and workload.uid == pod.uid
    return is_its_own and stop is not None and stop.verdict is Verdict.UNVERIFIED


def stand_in(pod: PodRecord, known: WorkloadStatus | None = None, stalled: tuple[str, datetime] | None = None) -> Task:
    """Return a task that is gone, whose pod this one would be: what holds for the pods of tasks holds for it.

    `known` is what was seen of it before: the boot ID of its node, for example; `stalled` is what holds up its end, and
    since when.
    """
    conditions: tuple[Condition, ...] = ()
    if stalled is not None:
        reason, since = stalled
        conditions = (Condition(type=ConditionType.STALLED, status="True", reason=reason, last_transition_time=since),)
    workload = known or WorkloadStatus(api_version="v1", kind="Pod", name=pod.name, uid=pod.uid)
    return Task(
        namespace=pod.namespace,
        name=pod.name,
        uid="",
        resource_version="",
        generation=0,
        spec=_SPEC,
        status=AgentTaskStatus(phase=Phase.RUNNING, workload=workload, conditions=conditions),
        gone=True,
    )


def ending_of_orphan(pod: PodRecord, namesake: Task | None) -> Terminate:
    """Return the effect that ends an orphan.

    In place, so that what it did can be looked into; but what has an owner goes with it anyway, and what stands in the
    way of a task, or would be made again by its controller, must not stay.
    """
    stays = pod.controller is None and namesake is None
    return Terminate(None, PodPolicy.KEEP if stays else PodPolicy.DELETE, None)


def reason_of_orphan(pod: PodRecord) -> Reason:
    """Return what is said of an orphan that is being ended."""
    message = f"Pod {pod.name} has label agentstop.dev/task: {pod.task} and is the pod of no AgentTask; it is ended"
    return Reason(ORPHANED, message)


def with_way_out(problem: Reason, pod: PodRecord) -> Reason:
    """Return what keeps the end of an orphan that is gone from being proven, with what somebody can do."""
    message = (
        f"{problem.message}; or, once no process of it is left, create AgentTask {pod.task} with"
        " spec.stopRequested: true and spec.stop.onUnconfirmed: MarkStopped"
    )
    return Reason(problem.reason, message)


def given_up(pod: PodRecord) -> Reason:
    """Return what is said of an orphan whose end is not proven, and not waited for any more."""
    message = f"Pod {pod.name} is gone, nothing proves its end, and AgentTask {pod.task} says that nothing has to"
    return Reason(UNVERIFIED, message)
