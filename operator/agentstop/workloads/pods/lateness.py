"""What the proof of a pod's end waits for, in words, and when it may come."""

from datetime import datetime, timedelta
from typing import Final

from agentstop.api.workload_status import PodEvidence
from agentstop.lifecycle.conditions import KUBELET_BUSY
from agentstop.lifecycle.observation import Reason
from agentstop.workloads.objects import CacheEntry, Lister
from agentstop.workloads.pods.container import State
from agentstop.workloads.pods.departures import due_of
from agentstop.workloads.pods.node import SETTLING, SILENCE, is_deleted
from agentstop.workloads.pods.proof import NODE_DELETED
from agentstop.workloads.pods.record import PodRecord
from agentstop.workloads.pods.recorded import has_ended

LOOK_EVERY: Final = timedelta(seconds=10)
"""How often a node is read anew that may prove something at any time: its kubelet reports when it likes."""


def late_reason(pod: PodRecord, entry: CacheEntry, lister: Lister) -> Reason | None:
    """Say what the proof of a pod's end waits for, where its last state tells."""
    if pod.ended or pod.node is None:
        return None
    if entry.absent and is_deleted(pod.node, lister):
        return _counts_later(pod.name, pod.node, due_of(pod, entry))
    if entry.absent:
        message = (
            f"Pod {pod.name} was removed before its end was reported; node {pod.node} has to answer for a while yet, by"
            " when its kubelet has ended what it should not run"
        )
        return Reason("AwaitingNode", message)
    return busy_reason(pod, entry) or _not_taken_down(pod) or _failing_probe(pod)


def busy_reason(pod: PodRecord, entry: CacheEntry) -> Reason | None:
    """Say so where the kubelet is starting a container: it acts on nothing that ends the pod before that is done."""
    if entry.absent or pod.node is None or pod.starting is None:
        return None
    message = (
        f"The kubelet of node {pod.node} is still starting container {pod.starting.name}: it pulls the image, waits for"
        f" a volume or runs the start hook, and only then ends it; see kubectl describe pod {pod.name}"
    )
    return Reason(KUBELET_BUSY, message)


def went_unseen(evidence: PodEvidence, due: datetime, lister: Lister) -> Reason | None:
    """Say what the proof of a pod's end waits for that is on record and went while nobody looked."""
    if evidence.node is None or has_ended(evidence):
        return None
    if is_deleted(evidence.node, lister):
        return _counts_later(evidence.name or evidence.uid, evidence.node, due)
    name, until = evidence.name or evidence.uid, due + SETTLING + SILENCE
    message = (
        f"Pod {name} went while no operator looked, so that nobody saw its end; node {evidence.node} has to answer"
        f" until {until:%H:%M:%S} UTC, by when its kubelet has ended what it should not run"
    )
    return Reason("AwaitingNode", message)


def _counts_later(pod: str, node: str, due: datetime) -> Reason:
    message = (
        f"Node {node} was deleted, and pod {pod} with it, while its machine may run on; that counts from"
        f" {due + SETTLING:%H:%M:%S} UTC, by when its kubelet has ended what it should not run"
    )
    return Reason(NODE_DELETED, message)


def look_again_at(pod: PodRecord, entry: CacheEntry, lister: Lister, now: datetime) -> datetime | None:
    """Return from when on the deletion of its node counts for a pod that is gone, if that is yet to come."""
    if not entry.absent or pod.ended or not is_deleted(pod.node, lister):
        return None
    counts_from = due_of(pod, entry) + SETTLING
    return counts_from if counts_from > now else None


def next_look(due: datetime, now: datetime) -> datetime | None:
    """Return when a node is to be read again that may prove the end of what had to end by `due`.

    That is at the earliest moment at which it can, from time to time then, and at the moment from which on it does.
    """
    earliest, latest = due + SETTLING, due + SETTLING + SILENCE
    if now < earliest:
        return earliest
    return min(now + LOOK_EVERY, latest) if now < latest else None


def _not_taken_down(pod: PodRecord) -> Reason | None:
    """Say so where no container is left, but the node has not finished with the pod: its sandbox or network holds it.

    Source: the Event FailedKillPod, as in https://github.com/projectcalico/calico/issues/7220
    """
    if not pod.containers or any(container.state is not State.TERMINATED for container in pod.containers):
        return None
    message = (
        f"All containers of pod {pod.name} have ended, but node {pod.node} has not taken the pod down yet, often for"
        f" its network; see kubectl describe pod {pod.name}"
    )
    return Reason("FailedKillPod", message)


def _failing_probe(pod: PodRecord) -> Reason | None:
    """Say so where a container may have been ended for a probe already, with a longer grace period that runs first."""
    given = pod.deletion_grace_seconds if pod.stopped_in_place_at is None else pod.grace_seconds
    for container in pod.containers:
        if container.state is State.RUNNING and container.probe_grace_seconds > given:
            message = (
                f"The kubelet of node {pod.node} may be ending container {container.name} for a probe that failed: that"
                f" leaves it {container.probe_grace_seconds} s, and no stop shortens that; see kubectl describe pod"
                f" {pod.name}"
            )
            return Reason(KUBELET_BUSY, message)
    return None
