"""What the component on a pod's node is asked for, and what its word proves: it kills where the kubelet does not.

A pod whose kubelet is busy, or does not answer, is killed by its cgroup, which is closed to new containers before. What
the kernel says then needs no kubelet.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from agentstop.api.meta import API_VERSION, ConditionType, parse_time
from agentstop.api.pod_control import CONTROL_KIND
from agentstop.api.task import KIND
from agentstop.api.workload_status import PodEvidence
from agentstop.lifecycle.observation import Reason, Task
from agentstop.workloads.objects import ControlRecord, Lister, ObjectRef, PodOnNode
from agentstop.workloads.requests import AskNode

REPORT_AFTER: Final = timedelta(seconds=2)
"""How long a kubelet takes at most to report the end of what was killed: it has the exit codes, which the kernel has
not, so its word is waited for."""

ANSWER_AFTER: Final = timedelta(seconds=3)
"""How long the component has to answer, before what a kubelet may do goes on without it."""


AT_WORK: Final = frozenset({"Killing", "HybridLayout"})
"""Reasons of a component that does what it was asked for: it is not done, or it is up to the kubelet to say so."""


def read_control(raw: Mapping[str, Any], now: datetime, known: ControlRecord | None = None) -> ControlRecord:
    """Return the record of a PodControl; `known` is an earlier one of the same object."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    answered = bool(status.get("observedGeneration"))
    empty_at = (parse_time(status.get("since")) or now) if answered and status.get("empty") is True else None
    ready: Mapping[str, Any] = next(
        (each for each in status.get("conditions") or () if each.get("type") == ConditionType.READY), {}
    )
    held_up = answered and ready.get("status") == "False" and ready.get("reason") not in AT_WORK
    heard_at = (known.heard_at if known is not None else None) or now
    return ControlRecord(
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        task=raw["spec"]["taskName"],
        node=raw["spec"]["nodeName"],
        asked_at=known.asked_at if known is not None else now,
        empty_at=empty_at,
        heard_at=heard_at if empty_at is not None else None,
        problem=str(ready.get("message")) if held_up else None,
        answered=answered,
    )


def control_of(pod: PodOnNode, lister: Lister) -> ControlRecord | None:
    """Return what a pod's own node was asked for. What names another node proves nothing, and asks for nothing."""
    control = lister.controls.get((pod.namespace, pod.uid))
    return control if control is not None and control.node == pod.node else None


def emptied_at(pod: PodOnNode, runtime_class: str | None, known: PodEvidence | None, lister: Lister) -> datetime | None:
    """Return when the kernel said that nothing of a pod was left, by its PodControl or by what is on record of it.

    What runs a class of its own may have processes of the pod elsewhere, in a machine of their own: of these the node's
    kernel says nothing.
    """
    if runtime_class is not None:
        return None
    if known is not None and known.empty_at is not None:
        return known.empty_at
    control = control_of(pod, lister)
    return control.empty_at if control is not None else None


def is_reported_late(pod: PodOnNode, lister: Lister, now: datetime) -> bool:
    """Whether the kubelet's own report on what the kernel calls empty was waited for long enough."""
    control = control_of(pod, lister)
    return control is None or control.heard_at is None or control.heard_at + REPORT_AFTER <= now


def report_due(pod: PodOnNode, lister: Lister, now: datetime) -> datetime | None:
    """Return until when the kubelet's own report is waited for, if that is yet to come."""
    control = control_of(pod, lister)
    due = control.heard_at + REPORT_AFTER if control is not None and control.heard_at is not None else None
    return due if due is not None and due > now else None


def ask_node(task: Task, pod: PodOnNode, name: str | None, lister: Lister, now: datetime) -> Iterator[AskNode]:
    """Yield the request that has the component on a pod's node kill it, if that was not asked for yet.

    What is made goes with the pod, by its name; where the pod is gone already, with the task.
    """
    ref = ObjectRef(CONTROL_KIND, pod.namespace, pod.uid, API_VERSION)
    if pod.node is None or task.gone or (pod.namespace, pod.uid) in lister.controls:
        return
    if lister.rejection(ref, AskNode.verb, now) is not None:
        return
    owner = ("v1", "Pod", name, pod.uid) if name is not None else (API_VERSION, KIND, task.name, task.uid)
    owners = dict(zip(("apiVersion", "kind", "name", "uid"), owner, strict=True))
    yield AskNode(
        ref,
        {
            "apiVersion": API_VERSION,
            "kind": CONTROL_KIND,
            "metadata": {"name": pod.uid, "namespace": pod.namespace, "ownerReferences": [owners]},
            "spec": {"nodeName": pod.node, "podUID": pod.uid, "taskName": task.name, "state": "Killed"},
        },
    )


def unanswered(pod: PodOnNode, name: str, lister: Lister) -> Reason | None:
    """Say what keeps a node from killing a pod that it was asked to kill, if anything does."""
    control = lister.controls.get((pod.namespace, pod.uid))
    if control is not None and control.node != pod.node and pod.node is not None:
        message = (
            f"PodControl {pod.uid} names node {control.node}, and pod {name} is on node {pod.node}, which nobody can"
            " ask as long as it is there; delete it, and see who may make PodControls"
        )
        return Reason("PodControlForged", message)
    if control is None or control.empty_at is not None or (control.answered and control.problem is None):
        return None
    if not control.answered:
        message = (
            f"The component on node {pod.node} was asked to kill pod {name}, and has not answered; see agentstop node"
        )
        return Reason("NodeComponentSilent", message)
    return Reason("NodeCannotKill", f"Node {pod.node} was asked to kill pod {name}: {control.problem}")


def may_answer(pod: PodOnNode, lister: Lister, now: datetime) -> bool:
    """Whether the component on the node may yet do what it is asked for, or has done it."""
    control = lister.controls.get((pod.namespace, pod.uid))
    if control is None:
        return True
    if control.node != pod.node:
        return False
    if control.answered:
        return control.problem is None or control.empty_at is not None
    return now < control.asked_at + ANSWER_AFTER
