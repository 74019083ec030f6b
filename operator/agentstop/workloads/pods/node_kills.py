"""What the kill of a pod by the component on its node proves: it kills where the kubelet does not.

A pod whose kubelet is busy, or does not answer, is killed by its cgroup, which is closed to new containers before. What
the kernel says then needs no kubelet.
"""

from datetime import datetime, timedelta
from typing import Final

from agentstop.api.workload_status import PodEvidence
from agentstop.lifecycle.observation import Reason
from agentstop.workloads.objects import Lister, PodOnNode
from agentstop.workloads.pods.controls import ANSWER_AFTER, KILLED, control_of, forged, silent, slow_kernel

REPORT_AFTER: Final = timedelta(seconds=2)
"""How long a kubelet takes at most to report the end of what was killed: it has the exit codes, which the kernel has
not, so its word is waited for."""


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


def unanswered(pod: PodOnNode, name: str, lister: Lister) -> Reason | None:
    """Say what keeps a node from killing a pod that it was asked to kill, if anything does."""
    foreign = forged(pod, name, lister)
    if foreign is not None:
        return foreign
    control = lister.controls.get((pod.namespace, pod.uid))
    if control is None or control.state != KILLED or control.empty_at is not None:
        return None
    if not control.answered:
        return silent(pod.node, f"kill pod {name}")
    if control.slow is not None:
        return slow_kernel(control, name, "kill", "KernelDoesNotKill")
    if control.problem is None:
        return None
    return Reason("NodeCannotKill", f"Node {pod.node} was asked to kill pod {name}: {control.problem}")


def may_answer(pod: PodOnNode, lister: Lister, now: datetime) -> bool:
    """Whether the component on the node may yet do what it is asked for, or has done it."""
    control = lister.controls.get((pod.namespace, pod.uid))
    if control is None:
        return True
    if control.node != pod.node:
        return False
    if control.state != KILLED:
        return True
    if control.answered:
        return control.problem is None or control.empty_at is not None
    return now < control.asked_at + ANSWER_AFTER
