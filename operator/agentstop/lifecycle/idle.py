"""Silence: a task that reports nothing is idle only where a second signal says the same.

An agent that waits for a long tool call reports nothing either; its pod computes meanwhile, or its containers change.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from agentstop.api.budget import Budget
from agentstop.api.task import Phase
from agentstop.api.workload_status import WorkloadStatus
from agentstop.lifecycle.decision import DecisionInput
from agentstop.lifecycle.facts import CPUUse

QUIET_MILLICORES: Final = 10
"""A task whose pods together use no more than this is quiet, in thousandths of a processor. A Python process that wakes
ten times a second takes one or two."""


def cpu_use_of(millicores: int) -> CPUUse:
    """Return what it means that the pods of a task use so much of their processors."""
    return CPUUse.BUSY if millicores > QUIET_MILLICORES else CPUUse.QUIET


def idle_at(case: DecisionInput, budget: Budget) -> datetime | None:
    """Return when the task will have been idle for too long, as far as is known; None where that cannot come."""
    usage, seen = case.counted(budget), case.seen
    active_at = usage.last_activity_at if usage is not None else None
    runs = seen.active or seen.halted
    if budget.max_idle_seconds is None or active_at is None or not runs or case.phase in {Phase.PAUSING, Phase.PAUSED}:
        return None
    moments: list[datetime | None] = [active_at, seen.started_at, seen.last_started_at, case.facts.busy_at]
    if case.facts.cpu is CPUUse.NOT_SERVED:
        own = (at for at in changes_of(case.seen.workload) if at <= _moment(case))
        moments += [case.facts.containers_changed_at, *own]
    return max(filter(None, moments)) + timedelta(seconds=budget.max_idle_seconds)


def is_idle(case: DecisionInput, budget: Budget) -> bool:
    """Whether the task has been idle for too long, by both signals."""
    at = idle_at(case, budget)
    if at is None or at > _moment(case):
        return False
    return _ended_by_now(case) or case.facts.cpu in {CPUUse.QUIET, CPUUse.NOT_SERVED}


def in_doubt(case: DecisionInput, budget: Budget) -> bool:
    """Whether the task seems to be idle, and the processors have to be looked at before that counts."""
    at = idle_at(case, budget)
    return at is not None and at <= case.now and case.facts.cpu is CPUUse.UNASKED and not _ended_by_now(case)


def look_again_at(case: DecisionInput, budget: Budget) -> datetime | None:
    """Return when the task has to be looked at again for its silence."""
    at = idle_at(case, budget)
    if at is None or at > case.now:
        return at
    return case.now + case.timings.start_recheck if case.facts.cpu is CPUUse.UNKNOWN else None


def _ended_by_now(case: DecisionInput) -> bool:
    """Whether it was asked to end already, so that what it does since then is no sign of life.

    After a crash between the signal and its record this has to be found out from the workload: then it was idle.
    """
    return case.seen.halted and case.seen.signaled_at is not None


def _moment(case: DecisionInput) -> datetime:
    signaled_at = case.seen.signaled_at
    return min(signaled_at, case.now) if case.seen.halted and signaled_at is not None else case.now


def changes_of(workload: WorkloadStatus | None) -> Iterator[datetime]:
    """Yield when containers of a workload were started, and when they ended."""
    for pod in workload.pods if workload is not None else ():
        for container in pod.containers:
            yield from (at for at in (container.started_at, container.finished_at) if at is not None)
