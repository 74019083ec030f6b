"""Grace periods: what was asked for, and what really runs."""

from datetime import datetime, timedelta
from typing import Final

from agentstop.api.task import StopStatus
from agentstop.api.workload_status import PodEvidence, WorkloadStatus
from agentstop.words.graces import DEFAULT_GRACE_SECONDS, MIN_KUBELET_SECONDS

WHOLE_SECOND: Final = timedelta(seconds=1)
"""Kubernetes writes moments to the second: one that differs by less from ours is the same."""

LEAST: Final = timedelta(seconds=MIN_KUBELET_SECONDS) + WHOLE_SECOND
"""A kubelet whose SIGKILL is no later than this keeps to what is asked for."""


def asked_kill(record: StopStatus) -> datetime | None:
    """Return when SIGKILL was asked for: earlier than it comes, where a longer grace period ran already."""
    if record.signaled_at is None or record.kill_at is None or record.grace_period_seconds is None:
        return record.kill_at
    return min(record.kill_at, record.signaled_at + timedelta(seconds=record.grace_period_seconds))


def runs_longer(record: StopStatus, workload: WorkloadStatus | None) -> bool:
    """Whether a grace period runs that is longer than what is asked for by now, so that SIGKILL comes later.

    Where no pod of the workload may have so long, SIGKILL comes later because SIGTERM does: a controller that is busy
    deletes a pod some time after it was told to.
    """
    asked, grace = asked_kill(record), record.grace_period_seconds
    if asked is None or grace is None or record.kill_at is None or record.kill_at - asked <= LEAST:
        return False
    pods = workload.pods if workload is not None else ()
    return not pods or any(_grace_of(pod) > grace for pod in pods)


def _grace_of(pod: PodEvidence) -> int:
    return DEFAULT_GRACE_SECONDS if pod.grace_period_seconds is None else pod.grace_period_seconds


def running_seconds(record: StopStatus) -> int | None:
    """Return how many seconds lie between SIGTERM and SIGKILL: what runs, and not what was asked for too late."""
    if record.signaled_at is None or record.kill_at is None:
        return record.grace_period_seconds
    return round((record.kill_at - record.signaled_at).total_seconds())


def late_wish(record: StopStatus) -> str:
    """Say that less time was asked for than runs already; only people who know can help themselves."""
    assert record.kill_at is not None  # noqa: S101  (the caller has checked it; this tells the type checker)
    return (
        f"{record.grace_period_seconds} s were asked for when a longer grace period ran already, which no kubelet"
        f" shortens: SIGKILL comes at {record.kill_at:%H:%M:%S} UTC"
    )
