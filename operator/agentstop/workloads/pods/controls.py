"""PodControls: what the component on a pod's node was asked for, and whether its word counts."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from agentstop.api.meta import API_VERSION, ConditionType, parse_number, parse_time
from agentstop.api.pod_control import CONTROL_KIND
from agentstop.api.task import KIND
from agentstop.lifecycle.observation import Reason, Task
from agentstop.workloads.objects import ControlRecord, Lister, ObjectRef, PodOnNode
from agentstop.workloads.requests import AskNode

RUNNING: Final = "Running"
FROZEN: Final = "Frozen"
KILLED: Final = "Killed"
"""What the processes of a pod are in, or are to be in. Killed is for good."""

ANSWER_AFTER: Final = timedelta(seconds=3)
"""How long the component has to answer, before it counts as silent."""

DONE_AFTER: Final = timedelta(seconds=3)
"""How long a kernel has to do what it was told, before that counts as held up: it takes milliseconds, but where a
process waits in it for something else."""

KERNELS_TURN: Final = frozenset({"Freezing", "Thawing", "Killing"})
"""Reasons of a component whose kernel was told, and has not done it."""

AT_WORK: Final[Mapping[str, frozenset[str]]] = {
    RUNNING: frozenset({"Thawing"}),
    FROZEN: frozenset({"Freezing"}),
    KILLED: frozenset({"Killing", "HybridLayout"}),
}
"""Reasons of a component that does what it was asked for: it is not done, or it is up to the kubelet to say so."""


NOTHING_THERE: Final = frozenset({"CgroupNotFound", "NoCgroupV2"})
"""Reasons of a component whose node has nothing of a pod that could be frozen."""


def read_control(raw: Mapping[str, Any], now: datetime, known: ControlRecord | None = None) -> ControlRecord:
    """Return the record of a PodControl; `known` is an earlier one of the same object."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    state = raw["spec"]["state"]
    generation = parse_number(metadata.get("generation"))
    observed = parse_number(status.get("observedGeneration"))
    answered = bool(observed) and observed >= generation
    since = parse_time(status.get("since")) or now
    empty_at = since if observed and status.get("empty") is True else None
    ready: Mapping[str, Any] = next(
        (each for each in status.get("conditions") or () if each.get("type") == ConditionType.READY), {}
    )
    unready = answered and ready.get("status") == "False"
    slow = unready and ready.get("reason") in AT_WORK.get(state, frozenset()) & KERNELS_TURN
    held_up = unready and ready.get("reason") not in AT_WORK.get(state, ())
    heard_at = (known.heard_at if known is not None else None) or now
    return ControlRecord(
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        task=raw["spec"]["taskName"],
        node=raw["spec"]["nodeName"],
        state=state,
        generation=generation,
        asked_at=known.asked_at if known is not None and known.generation == generation else now,
        empty_at=empty_at,
        heard_at=heard_at if empty_at is not None else None,
        problem=str(ready.get("message")) if held_up else None,
        slow=str(ready.get("message")) if slow else None,
        answered=answered,
        heard=bool(observed),
        is_in=status.get("state"),
        since=since if observed else None,
        nothing_there=unready and ready.get("reason") in NOTHING_THERE,
    )


def control_of(pod: PodOnNode, lister: Lister) -> ControlRecord | None:
    """Return what a pod's own node was asked for. What names another node proves nothing, and asks for nothing."""
    control = lister.controls.get((pod.namespace, pod.uid))
    return control if control is not None and control.node == pod.node else None


def ref_of(pod: PodOnNode) -> ObjectRef:
    """Return the PodControl of a pod."""
    return ObjectRef(CONTROL_KIND, pod.namespace, pod.uid, API_VERSION)


def ask_node(
    task: Task, pod: PodOnNode, name: str | None, state: str, lister: Lister, now: datetime
) -> Iterator[AskNode]:
    """Yield the request that has the component on a pod's node bring it into a state, if that was not asked for yet.

    What is made goes with the pod, by its name; where the pod is gone already, with the task.
    """
    ref, known = ref_of(pod), lister.controls.get((pod.namespace, pod.uid))
    if pod.node is None or lister.rejection(ref, AskNode.verb, now) is not None:
        return
    if known is not None and (known.node != pod.node or known.state in {state, KILLED}):
        return
    if task.gone:
        return  # the component does nothing for a task that is not there
    owner = ("v1", "Pod", name, pod.uid) if name is not None else (API_VERSION, KIND, task.name, task.uid)
    owners = dict(zip(("apiVersion", "kind", "name", "uid"), owner, strict=True))
    yield AskNode(
        ref,
        {
            "apiVersion": API_VERSION,
            "kind": CONTROL_KIND,
            "metadata": {"name": pod.uid, "namespace": pod.namespace, "ownerReferences": [owners]},
            "spec": {"nodeName": pod.node, "podUID": pod.uid, "taskName": task.name, "state": state},
        },
        known.uid if known is not None else None,
    )


def forged(pod: PodOnNode, name: str, lister: Lister) -> Reason | None:
    """Say so where somebody has made a PodControl of a pod that names another node."""
    control = lister.controls.get((pod.namespace, pod.uid))
    if control is None or control.node == pod.node or pod.node is None:
        return None
    message = (
        f"PodControl {pod.uid} names node {control.node}, and pod {name} is on node {pod.node}, which nobody can"
        " ask as long as it is there; delete it, and see who may make PodControls"
    )
    return Reason("PodControlForged", message)


def silent(node: str | None, what: str) -> Reason:
    """Say that the component on a node has not answered to what it was asked for."""
    message = f"The component on node {node} was asked to {what}, and has not answered; see agentstop node"
    return Reason("NodeComponentSilent", message)


def slow_kernel(control: ControlRecord, name: str, verb: str, reason: str) -> Reason:
    """Say that the kernel of a node was told to do something to a pod, and has not done it."""
    return Reason(reason, f"The kernel of node {control.node} does not {verb} pod {name}: {control.slow}")
