"""Which node has to be looked at for the end of a pod, and when."""

from datetime import datetime, timedelta
from typing import Final

from agentstop.api.task import StopStatus
from agentstop.api.workload_status import PodEvidence
from agentstop.workloads.objects import CacheEntry, Lister, ObjectRef
from agentstop.workloads.pods.departures import being_started
from agentstop.workloads.pods.record import PodRecord
from agentstop.workloads.requests import Get

STALE: Final = timedelta(seconds=5)
"""How old a reading of a node may be."""


def awaits_boot(pod: PodRecord, entry: CacheEntry) -> bool:
    """Whether a reboot of its node may be what proves a pod's end.

    The boot ID counts from the moment at which it was asked to go: a kubelet that is started later starts no container
    of such a pod.
    """
    if entry.absent:
        return being_started(pod, entry) is not None
    return pod.starting is not None and pod.asked_to_go_at is not None


def boot_id_of(node: str | None, known: PodEvidence | None, since: datetime, lister: Lister) -> str | None:
    """Return the boot ID to keep on record for a pod: the one that is, or what its node said first after `since`.

    What was read before tells nothing: the node may have been rebooted, and have started the pod anew.
    """
    if known is not None and known.boot_id is not None:
        return known.boot_id
    entry = lister.node(node) if node is not None else None
    boots = entry.boots if entry is not None else ()
    return next((boot.boot_id for boot in boots if boot.read_at >= since), None)


def node_in_question(
    pod: PodRecord, entry: CacheEntry, stop: StopStatus | None, now: datetime, boot_id: str | None = None
) -> str | None:
    """Return the node whose state decides about a pod, if the pod alone does not tell.

    That is also one whose boot ID may be needed, and is not known: its object can be deleted before the pod goes.
    """
    if pod.ended or pod.node is None:
        return None
    wanted = boot_id is None and awaits_boot(pod, entry)
    return pod.node if entry.absent or wanted or overdue(pod, stop, now) else None


def overdue(pod: PodRecord, stop: StopStatus | None, now: datetime) -> bool:
    """Whether its processes should have got SIGKILL by now."""
    kill_at = pod.killed_by
    if stop is not None:
        kill_at = stop.kill_at or stop.accepted_at + timedelta(seconds=pod.grace_seconds)
    return kill_at is not None and kill_at <= now


def look_at_node(name: str, since: datetime | None, lister: Lister, now: datetime) -> Get | None:
    """Return the look that a node needs before it counts: where none is known, or only one that is old.

    `since` is the moment that the reading has to be later than, if there is one.
    """
    seen = lister.node(name)
    stale = seen is None or seen.at + STALE <= now or (since is not None and seen.at < since)
    return Get(ObjectRef("Node", "", name)) if stale else None
