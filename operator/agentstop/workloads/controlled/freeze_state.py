"""Pods of a workload that are frozen while it stays as it is: its controller keeps them, and nothing ends them."""

from collections.abc import Iterator
from datetime import datetime

from agentstop.lifecycle.observation import FreezeState, Task
from agentstop.workloads.controlled.owned_pods import of_vanished
from agentstop.workloads.controlled.pod_owner import PodOwner
from agentstop.workloads.objects import Lister, PodOnNode
from agentstop.workloads.pods.node_freezes import (
    freeze,
    freeze_state_of_gone,
    freeze_state_of_pod,
    thaw,
    together,
)
from agentstop.workloads.pods.proof import proof_of
from agentstop.workloads.pods.termination import thaw_look_at, thaw_to_end
from agentstop.workloads.requests import AskNode, Delete


def freeze_state_of_parts(
    task: Task, parts: list[PodOwner], lister: Lister, now: datetime, *, unreachable: bool
) -> FreezeState:
    """Return what is known of the freeze of all pods of which processes may be left."""
    return together(each for part in parts for each in _freeze_states(task, part, lister, now, unreachable=unreachable))


def _freeze_states(
    task: Task, part: PodOwner, lister: Lister, now: datetime, *, unreachable: bool
) -> Iterator[FreezeState]:
    stop, members, group = task.status.stop, part.members, part.group
    for each in members.seen:
        if each.live:
            yield freeze_state_of_pod(each.pod, None if task.gone else each.known, lister, now)
        elif each.entry.absent and not each.pod.ended and each.empty_at is None:
            proof, _ = proof_of(
                each.pod, each.entry, stop, lister, now, each.boot_id, known=each.known, unreachable=unreachable
            )
            if proof is None:
                yield freeze_state_of_gone(each.pod.on_node, each.evidence, lister, now)
    for vanished in members.vanished:
        proof, _ = of_vanished(vanished, group, stop, lister, now, unreachable=unreachable)
        if proof is None:
            where = PodOnNode(members.namespace, vanished.uid, vanished.node)
            yield freeze_state_of_gone(where, vanished, lister, now)
    for _ in members.strangers:
        yield FreezeState()  # whose they are has to be known first


def freeze_on_nodes(task: Task, parts: list[PodOwner], lister: Lister, now: datetime) -> Iterator[AskNode]:
    """Yield what has nodes freeze those that are there, where that was not asked for yet."""
    for part in parts:
        for each in part.members.live:
            if each.certain:
                yield from freeze(task, each.pod, lister, now)


def thaw_on_nodes(task: Task, parts: list[PodOwner], lister: Lister, now: datetime) -> Iterator[AskNode | Delete]:
    """Yield what has nodes let those go on that are frozen."""
    for part in parts:
        for each in part.members.live:
            if each.certain:
                yield from thaw(task, each.pod, each.known, lister, now)


def thaw_for_the_end(task: Task, parts: list[PodOwner], lister: Lister, now: datetime) -> Iterator[AskNode | Delete]:
    """Yield the same for those that are being ended, once their kubelets have begun with that."""
    for part in parts:
        for each in part.members.live:
            if each.certain:
                yield from thaw_to_end(task, each.pod, each.entry, each.known, lister, now)


def thaw_looks(part: PodOwner, lister: Lister, now: datetime) -> Iterator[datetime]:
    """Yield when those that are being ended are to be looked at again, to be thawed."""
    for each in part.members.live:
        due = thaw_look_at(each.pod, each.entry, each.known, lister, now)
        if due is not None:
            yield due
