"""A task that is tethered to a Lease: it lives for as long as somebody renews that, and no longer."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from agentstop.api.meta import Condition, ConditionType, find_condition
from agentstop.lifecycle.observation import Reason, Task

SECOND: Final = timedelta(seconds=1)
"""What the API server's note of a renewal is precise to."""

RAN_OUT: Final = "had run out when it was looked at first"

RENEWED: Final = "LeaseRenewed"
MISSING: Final = "LeaseMissing"
EXPIRED: Final = "LeaseExpired"
NO_TETHER: Final = "NotATether"
UNREADABLE: Final = "LeaseUnreadable"
LOST: Final = "TetherLost"
"""Reasons of condition Tethered; the last one is a stop's, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What was read of a Lease that tasks are tethered to. All moments are by the API server's clock."""

    name: str
    read_at: datetime
    """When it was read last."""
    watched: bool = False
    """Whether this process has seen it hold. It does not know otherwise what kept it from being renewed: the API server
    may have been away while this process was, too."""
    version: str = ""
    """Its resource version then."""
    problem: Reason | None = None
    """Why it holds nothing: there is none, or one of something else."""
    unreadable: Reason | None = None
    """Why it may not be read, where the API server says so itself: then it is not known whether it holds anything."""
    holder: str = ""
    """Who says to renew it."""
    duration: timedelta
    """How long it lasts without a renewal; where there is none, for how long it is waited for."""
    renewed_at: datetime
    """When it was renewed last, cut off to the second."""
    excused_at: datetime | None = None
    """When reading it failed last: whoever renews it may have been kept from it in the same way until then."""

    @property
    def runs_out_at(self) -> datetime:
        """When it runs out, unless it is renewed before: its time counts from when a renewal could arrive last."""
        return self.counted_from(self.renewed_at + SECOND) + self.duration

    def counted_from(self, moment: datetime) -> datetime:
        """Return from when on a time counts that begins at this moment."""
        return max(moment, self.excused_at or moment)


def lapses_at(task: Task, lease: Lease, now: datetime) -> datetime | None:
    """Return when a task's tether is lost, if nothing better has been read of the Lease by then; None for a free task.

    A Lease that has held the task is lost when it runs out, and at once where it is gone. One that has not, because it
    is not there yet, or that had run out when this process looked at it first, is waited for once its time.
    """
    if task.spec.tether is None:
        return None
    if was_held(task) and lease.problem is not None:
        return lease.read_at
    if _watched(task, lease) or holds(lease):
        return lease.runs_out_at
    return lease.counted_from(_waits_since(task) or now) + lease.duration


def is_lost(task: Task, lease: Lease, now: datetime) -> bool:
    """Whether a task's tether is lost: the Lease was read when it had run out. A read that failed says nothing."""
    if lease.unreadable is not None:
        return False
    at = lapses_at(task, lease, now)
    return at is not None and lease.read_at >= at


def holds(lease: Lease) -> bool:
    """Whether the Lease had not run out when it was read."""
    return lease.problem is None and lease.read_at < lease.runs_out_at


def was_held(task: Task) -> bool:
    """Whether the Lease has held the task, as its status says."""
    found = find_condition(task.status.conditions, ConditionType.TETHERED)
    return found is not None and (found.status == "True" or found.reason == LOST)


def _watched(task: Task, lease: Lease) -> bool:
    """Whether the Lease has held the task, and was seen to run out."""
    return was_held(task) and lease.watched


def lost(task: Task, lease: Lease | None, now: datetime) -> Reason | None:
    """Return why the tether is lost, as the record of the stop says it; None where it is not."""
    if lease is None or not is_lost(task, lease, now):
        return None
    what = f"Lease {lease.name}"
    seconds = f"{lease.duration.total_seconds():g} seconds"
    by = f" by {lease.holder}" if lease.holder else ""
    if lease.problem is None:
        before = "" if _watched(task, lease) else f"{RAN_OUT}, and "
        return Reason(LOST, f"{what} {before}was not renewed{by} for {seconds}")
    if was_held(task):
        return Reason(LOST, f"{what}, which held the task, is gone: {lease.problem.message}")
    return Reason(LOST, f"{lease.problem.message}; it was waited for {seconds}")


def tethered(task: Task, lease: Lease | None, now: datetime) -> tuple[bool | str, Reason] | None:
    """Return what condition Tethered says: whether it holds, and why. None for a task that is not tethered."""
    if task.spec.tether is None:
        return None
    before = find_condition(task.status.conditions, ConditionType.TETHERED)
    known = _said(before) if before is not None else None
    if lease is None or task.status.stop is not None:
        return known  # what it was when the stop came is what it says for good
    if lease.unreadable is not None:
        return known[0] if known is not None else "Unknown", lease.unreadable
    loss = lost(task, lease, now)
    if loss is not None:
        return False, loss
    if lease.problem is not None:
        return False, _waiting(lease.problem, lease)
    if not _watched(task, lease) and not holds(lease):
        return False, _waiting(Reason(EXPIRED, f"Lease {lease.name} {RAN_OUT}"), lease)
    by = f" by {lease.holder}" if lease.holder else ""
    return True, Reason(RENEWED, f"Lease {lease.name} is renewed{by}; the task is stopped when it is not")


def _waits_since(task: Task) -> datetime | None:
    found = find_condition(task.status.conditions, ConditionType.TETHERED)
    return found.last_transition_time if found is not None and found.status == "False" else None


def _waiting(word: Reason, lease: Lease) -> Reason:
    seconds = f"{lease.duration.total_seconds():g} seconds"
    return Reason(word.reason, f"{word.message}; it is waited for once for {seconds}, then the task is stopped")


def _said(before: Condition) -> tuple[bool | str, Reason]:
    return before.status, Reason(before.reason, before.message)
