"""What stands in the way of a task's pod: of its start, of its end, or of its being the task's at all."""

from datetime import datetime

from agentstop.lifecycle.observation import Reason, Task
from agentstop.workloads.objects import Lister, ObjectRef
from agentstop.workloads.pods.container import State
from agentstop.workloads.pods.record import PodRecord
from agentstop.workloads.requests import Delete, Patch


def name_taken(name: str) -> Reason:
    """Say that another pod has the name that the task's would have."""
    message = f"Pod {name} exists and is not this task's; delete it, or give the task another name"
    return Reason("PodNameTaken", message)


def controlled(pod: PodRecord) -> Reason:
    """Say who controls a pod, so that it cannot be a task's by itself."""
    assert pod.controller is not None  # noqa: S101  (the caller has checked it; this tells the type checker)
    owner = f"{pod.controller.kind} {pod.controller.name}"
    if pod.controller.kind == "Node":
        # https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/
        message = f"Pod {pod.name} is a static pod of {owner}; only the removal of its manifest from that node ends it"
        return Reason("StaticPod", message)
    message = f"Pod {pod.name} is controlled by {owner}, which would replace it; point workloadRef at {owner}"
    return Reason("WorkloadHasController", message)


def taken_over(task: Task, pod: PodRecord) -> Reason | None:
    """Say who has taken over a pod that was adopted: a ReplicaSet takes whatever its selector finds.

    Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#non-template-pod-acquisitions
    """
    if task.spec.workload_ref is None or pod.controller is None:
        return None
    owner = f"{pod.controller.kind} {pod.controller.name}"
    message = f"{owner} has taken over pod {pod.name}, and makes another one when it ends; stop {owner} as well"
    return Reason("WorkloadTakenOver", message)


def not_in_place(pod: PodRecord, lister: Lister, now: datetime) -> str | None:
    """Say why the pod can't be ended in place, where that is not a question of the grace period."""
    if pod.unreadable is not None:
        return f"nothing can be made of what the pod says of itself ({pod.unreadable})"
    rejection = lister.rejection(ObjectRef("Pod", pod.namespace, pod.name), Patch.verb, now)
    return f"the API server refuses to have the pod stopped in place ({rejection.message})" if rejection else None


def refused_deletion(pod: PodRecord, lister: Lister, now: datetime) -> Reason | None:
    """Say so where the API server does not let us end the pod."""
    if pod.ended or pod.deletion_at is not None or pod.stopped_in_place_at is not None:
        return None
    rejection = lister.rejection(ObjectRef("Pod", pod.namespace, pod.name), Delete.verb, now)
    return Reason("DeleteForbidden", rejection.message) if rejection else None


def no_main(pod: PodRecord, main: str | None) -> Reason | None:
    """Say so where a pod has no container of the name that the task gives for its main one."""
    if main is None or not pod.containers or any(container.name == main for container in pod.containers):
        return None
    message = f"Pod {pod.name} has no container {main}, so its end will not end the task; see spec.mainContainer"
    return Reason("MainContainerNotFound", message)


def waiting(pod: PodRecord) -> Reason | None:
    """Say what a pod waits for before it runs."""
    if pod.node is None and pod.unscheduled:
        return Reason("Unschedulable", pod.unscheduled)
    for container in pod.containers:
        if container.state is State.WAITING and container.reason:
            return Reason(container.reason, container.message or f"Container {container.name} waits to be started")
    return None
