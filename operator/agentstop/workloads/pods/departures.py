"""Pods that are gone: what of them their kubelets may still start or run, and until when."""

from datetime import datetime, timedelta
from typing import Final

from agentstop.api.workload_status import PodEvidence
from agentstop.workloads.objects import CacheEntry, Departure, Lister
from agentstop.workloads.pods.node import is_deleted
from agentstop.workloads.pods.record import UNKNOWN_PHASE, PodRecord
from agentstop.workloads.pods.recorded import has_ended, may_be_starting

UNHEARD: Final = timedelta(seconds=1)
"""A kubelet has pulled nothing yet for a pod that was asked to go so soon after it was bound to the node."""


def being_started(pod: PodRecord, entry: CacheEntry) -> str | None:
    """Return what a kubelet may be starting of a pod that is gone, in words, if there is anything.

    That may be one that runs by the last that is known, where its image is pulled, or a hook runs, at each start. That
    its kubelet had reported nothing of a pod says no more than that: it begins with one while its first report is on
    the way, which takes long on a node that starts many.
    """
    if not entry.absent or pod.ended or pod.node is None or pod.unreadable is not None:
        return None
    if pod.taken_at is not None:
        which = pod.starting or pod.restarting(unseen=may_have_changed(entry))
        return f"container {which.name}" if which is not None else None
    asked_at = pod.deletion_requested_at or entry.at
    return "its containers" if pod.bound_at is None or pod.bound_at + UNHEARD < asked_at else None


def may_have_changed(entry: CacheEntry) -> bool:
    """Whether a pod may go, or went, in another state than the one in which it was seen last."""
    return not entry.absent or entry.departure is not Departure.SEEN


def may_have_been_bound(pod: PodRecord, entry: CacheEntry) -> bool:
    """Whether a pod that had no node yet may have been bound before it went, to nobody knows which node."""
    unbound = pod.node is None and pod.deletion_at is None and not pod.ended
    return unbound and entry.absent and entry.departure is not Departure.SEEN


def untraced(pod: PodRecord | None, on_record: PodEvidence | None, entry: CacheEntry) -> bool:
    """Whether it has to be asked in which state a pod went: no time proves its end by the last that is known of it.

    Not of one on record whose name another one had since: the entry tells of that one, and there no answer is kept.
    """
    if not entry.absent or entry.departure is not Departure.UNSEEN:
        return False
    if pod is not None:
        return may_have_been_bound(pod, entry) or being_started(pod, entry) is not None
    if on_record is None or has_ended(on_record) or (entry.seen is not None and entry.seen.uid != on_record.uid):
        return False
    return on_record.node is None or may_be_starting(on_record) is not None


def may_live_on(pod: PodRecord, entry: CacheEntry, lister: Lister) -> bool:
    """Whether processes of a pod that is gone may go on for longer than anybody gave them: nothing has ended then."""
    if not entry.absent or pod.ended:
        return False
    # A node that was deleted may be registered again before it is looked at.
    return being_started(pod, entry) is not None or pod.collected or is_deleted(pod.node, lister)


def may_live_on_by_record(evidence: PodEvidence, lister: Lister) -> bool:
    """Whether that may be so of a pod of which no more is known than its record.

    What others than its kubelet declared over goes on in its own time, even once its node is registered again.
    """
    return evidence.phase == UNKNOWN_PHASE or is_deleted(evidence.node, lister)


def due_of(pod: PodRecord, entry: CacheEntry) -> datetime:
    """Return when the kubelet ends the processes of a pod that is gone, however it went.

    Removal by force shortens no grace period that runs: neither a longer one of a deletion before, nor that of a probe.
    A kubelet that was busy with a start when the pod was asked to go may have begun as late as at its removal.
    """
    told_at = pod.asked_to_go_at or entry.at
    if pod.may_have_started_since(told_at):
        told_at = max(told_at, entry.at)
    due = told_at + timedelta(seconds=pod.longest_grace_seconds)
    return max(due, pod.killed_by or due)
