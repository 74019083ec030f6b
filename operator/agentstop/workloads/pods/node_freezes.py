"""Pods that are frozen by the components on their nodes: their processes stay where they are, with their memory."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from agentstop.api.workload_status import PodEvidence
from agentstop.lifecycle.observation import NOT_FROZEN, FreezeState, Reason, Task
from agentstop.workloads.objects import Lister, PodOnNode
from agentstop.workloads.pods.controls import (
    ANSWER_AFTER,
    DONE_AFTER,
    FROZEN,
    KILLED,
    RUNNING,
    ask_node,
    control_of,
    forged,
    ref_of,
    silent,
    slow_kernel,
)
from agentstop.workloads.pods.record import PodRecord
from agentstop.workloads.requests import AskNode, Delete


def frozen_at(pod: PodOnNode, known: PodEvidence | None, lister: Lister) -> datetime | None:
    """Return since when a pod is frozen, by the last word of its node's kernel; None where it is not.

    It counts on where the node has not said anything else since, whatever it was asked for: the record has it then.
    """
    control = control_of(pod, lister)
    if control is not None and control.is_in is not None:
        return control.since if control.is_in == FROZEN else None
    if control is not None and control.nothing_there:
        return None
    return known.frozen_at if known is not None else None


def is_frozen(pod: PodOnNode, lister: Lister) -> bool:
    """Whether the kernel says that a pod is frozen, in answer to what is asked for now."""
    control = control_of(pod, lister)
    return control is not None and control.answered and control.state == control.is_in == FROZEN


def may_be_frozen(pod: PodOnNode, known: PodEvidence | None, lister: Lister, now: datetime) -> bool:
    """Whether a pod is frozen, or may be: only its node's word that it is not counts against it.

    A node that has never said anything, and has had the time to, has frozen nothing as far as anybody knows.
    """
    control = control_of(pod, lister)
    if control is not None and control.state == KILLED:
        return False
    if frozen_at(pod, known, lister) is not None:
        return True
    if control is None:
        return False
    if control.state == FROZEN:
        return True
    return (
        control.state == RUNNING and not control.answered and (control.heard or now < control.asked_at + ANSWER_AFTER)
    )


def refusal(pod: PodRecord) -> Reason | None:
    """Say why a pod cannot be frozen: its kubelet would end it, or its node's kernel does not see what it runs."""
    if pod.watched is not None:
        message = (
            f"Pod {pod.name} cannot be frozen: container {pod.watched} has a liveness probe, or a startup probe that"
            " has not succeeded, and its kubelet ends what does not answer"
        )
        return Reason("LivenessProbe", message)
    if pod.runtime_class is not None:
        message = (
            f"Pod {pod.name} cannot be frozen: it has runtime class {pod.runtime_class}, and of what such a pod runs"
            " the kernel of its node may see nothing"
        )
        return Reason("RuntimeClass", message)
    return None


def freeze_state_of_pod(pod: PodRecord, known: PodEvidence | None, lister: Lister, now: datetime) -> FreezeState:
    """Return what is known of the freeze of a pod that is there and has not ended."""
    where = pod.on_node
    waits = None
    if pod.node is None or pod.started_at is None:
        waits = Reason("PodNotStarted", f"Pod {pod.name} has not started; it is frozen once it has")
    late, due_at = _late(where, pod.name, lister, now)
    if late is not None and late.reason == "NodeCannotFreeze" and waits is not None:
        late = None  # there is nothing to freeze yet
    return FreezeState(
        frozen=is_frozen(where, lister),
        held=may_be_frozen(where, known, lister, now),
        refused=refusal(pod),
        waits=waits,
        late=late,
        due_at=due_at,
        asked_at=_asked_at(where, lister),
    )


def freeze_state_of_gone(pod: PodOnNode, known: PodEvidence, lister: Lister, now: datetime) -> FreezeState:
    """Return what is known of the freeze of a pod that is gone, and whose end is not proven.

    Its PodControl goes with it, and then it goes on: it is waited for until its end is proven.
    """
    control = control_of(pod, lister)
    held = control is not None and may_be_frozen(pod, known, lister, now)  # without one it goes on
    return FreezeState(held=held)


def together(all_of_them: Iterable[FreezeState]) -> FreezeState:
    """Return what is known of the freeze of several pods that may run: all have to be frozen."""
    found = list(all_of_them)
    if not found:
        return NOT_FROZEN
    return FreezeState(
        frozen=all(each.frozen for each in found),
        held=any(each.held for each in found),
        refused=next(filter(None, (each.refused for each in found)), None),
        waits=next(filter(None, (each.waits for each in found)), None),
        late=next(filter(None, (each.late for each in found)), None),
        due_at=min(filter(None, (each.due_at for each in found)), default=None),
        asked_at=_first_asked(each for each in found if not each.frozen),
    )


def _first_asked(not_frozen: Iterable[FreezeState]) -> datetime | None:
    """Return since when the first of some pods is to be frozen; None where the node of one was not asked."""
    asked = [each.asked_at for each in not_frozen]
    return None if None in asked else min(filter(None, asked), default=None)


def _asked_at(pod: PodOnNode, lister: Lister) -> datetime | None:
    control = control_of(pod, lister)
    return control.asked_at if control is not None and control.state == FROZEN else None


def freeze(task: Task, pod: PodRecord, lister: Lister, now: datetime) -> Iterator[AskNode]:
    """Yield the request that has a pod frozen, if that was not asked for yet."""
    yield from ask_node(task, pod.on_node, pod.name, FROZEN, lister, now)


def thaw(
    task: Task, pod: PodRecord, known: PodEvidence | None, lister: Lister, now: datetime
) -> Iterator[AskNode | Delete]:
    """Yield the request that has a pod go on, if it was asked to be frozen, or is on record as frozen."""
    yield from thaw_on_node(task, pod.on_node, pod.name, known, lister, now)


def thaw_on_node(
    task: Task, pod: PodOnNode, name: str, known: PodEvidence | None, lister: Lister, now: datetime
) -> Iterator[AskNode | Delete]:
    """Yield the same for a pod of which no more is known than its name, and its node.

    Of a task that is gone the component may not know any more that it had the pod: without its PodControl any goes on.
    """
    if not may_be_frozen(pod, known, lister, now):
        return
    control = control_of(pod, lister)
    if task.gone and control is not None:
        yield Delete(ref_of(pod), control.uid, ends_processes=False)
    else:
        yield from ask_node(task, pod, name, RUNNING, lister, now)


def _late(pod: PodOnNode, name: str, lister: Lister, now: datetime) -> tuple[Reason | None, datetime | None]:
    """Say what keeps a node from freezing a pod or letting it go on, and until when its answer is waited for."""
    foreign = forged(pod, name, lister)
    if foreign is not None:
        return foreign, None
    rejection = lister.rejection(ref_of(pod), AskNode.verb, now)
    if rejection is not None:
        return Reason("NodesNotAsked", f"No node can be asked to freeze pod {name}: {rejection.message}"), None
    control = control_of(pod, lister)
    if control is None or control.state not in {FROZEN, RUNNING}:
        return None, None
    verb, reason = ("freeze", "NodeCannotFreeze") if control.state == FROZEN else ("thaw", "NodeCannotThaw")
    if not control.answered:
        due = control.asked_at + ANSWER_AFTER
        return (None, due) if now < due else (silent(pod.node, f"{verb} pod {name}"), None)
    if control.slow is not None:
        due = control.asked_at + DONE_AFTER
        said = slow_kernel(control, name, verb, "KernelDoesNotFreeze" if verb == "freeze" else "KernelDoesNotThaw")
        return (None, due) if now < due else (said, None)
    if control.problem is None:
        return None, None
    return Reason(reason, f"Node {pod.node} was asked to {verb} pod {name}: {control.problem}"), None
