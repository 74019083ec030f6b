"""The record of a stop: what it comes from, when it was accepted, and how far it has come."""

from datetime import datetime, timedelta
from typing import Final

from agentstop.api.task import OrderRef, Phase, StopSource, StopStatus, Verdict
from agentstop.lifecycle.automatic import automatic_stop
from agentstop.lifecycle.by_nodes import shortened
from agentstop.lifecycle.decision import DecisionInput
from agentstop.lifecycle.graces import WHOLE_SECOND
from agentstop.words.graces import MIN_KUBELET_SECONDS

ASKED_FOR: Final = frozenset({StopSource.USER, StopSource.DELETION, StopSource.STOP_ORDER, StopSource.PARENT})
"""Sources of stops that were seen to be asked for; all others follow from the facts at the moment of the decision.

What asked first may be gone by then: a parent that another one has replaced, or an order.
"""


def source_of(case: DecisionInput) -> StopSource | None:
    """Return what asks for a stop now, if anything does."""
    task = case.task
    if task.spec.stop_requested:
        return StopSource.USER
    if task.deleting and task.protected:
        return StopSource.DELETION
    if case.order_effect.stop is not None:
        return StopSource.STOP_ORDER
    if case.family.stop is not None:
        return StopSource.PARENT
    automatic = automatic_stop(case)
    return automatic.source if automatic is not None else None


def accepted(case: DecisionInput) -> StopStatus | None:
    """Return the record of the stop that is asked for now, if one is."""
    source = source_of(case)
    if source is None:
        return None
    seen = case.seen
    moments = [case.now]
    if source in ASKED_FOR and case.task.stop_seen_at is not None:
        moments.append(case.task.stop_seen_at)
    held = case.phase in {Phase.PAUSING, Phase.PAUSED}
    if seen.signaled_at is not None and seen.ending is not None and seen.ending.by_stop and not held:
        # A crash came between signal and record: what the signal left behind on the workload is the evidence.
        moments.append(seen.signaled_at)
    usage = case.facts.usage
    spent = usage.spent() if usage is not None else None
    record = StopStatus(source=source, accepted_at=min(moments), usage_at_acceptance=spent)
    inherited = case.family.stop
    if source is StopSource.USER:
        request = case.request
        return record.but(requested_by=case.task.requested_by, reason=request.reason, message=request.message)
    order = case.order_effect.stop
    if source is StopSource.STOP_ORDER and order is not None:
        return record.but(
            order=OrderRef(kind=order.kind, name=order.name, uid=order.uid),
            requested_by=order.requested_by,
            reason=order.reason,
            message=order.message,
        )
    if source is StopSource.PARENT and inherited is not None:
        return record.but(
            origin=inherited.origin,
            requested_by=inherited.requested_by,
            reason=inherited.reason,
            message=inherited.message,
        )
    automatic = automatic_stop(case)
    if automatic is not None and automatic.source is source:
        return record.but(reason=case.request.reason or automatic.reason, message=automatic.message)
    return record


def progressed(case: DecisionInput, record: StopStatus) -> StopStatus:
    """Return the record with the signal and the grace period that is in force: it only ever becomes shorter."""
    asked, seen = case.asked_grace, case.seen
    if record.grace_period_seconds is None:
        grace = case.grace_seconds
    else:
        grace = min(record.grace_period_seconds, asked or record.grace_period_seconds)
    signaled_at = record.signaled_at
    if signaled_at is None and seen.signaled_at is not None:
        signaled_at = max(min(seen.signaled_at, case.now), record.accepted_at)  # what is said to be yet to come was now
    kill_at = record.kill_at
    if signaled_at is not None:
        # No kubelet shortens a grace period that runs: what is asked for later changes nothing about the moment.
        asked_at = signaled_at + seen.begins_after + timedelta(seconds=max(grace, MIN_KUBELET_SECONDS))
        kill_at = kill_at or asked_at
        if seen.killed_by is not None:
            kill_at = _agreed(kill_at, seen.killed_by + seen.begins_after)
        kill_at = max(signaled_at, shortened(case, record, asked_at, kill_at))
    return record.but(
        grace_period_seconds=grace, pod_policy=case.ordered_policy, signaled_at=signaled_at, kill_at=kill_at
    )


def _agreed(ours: datetime, said: datetime) -> datetime:
    """Return when SIGKILL comes, by our own reckoning and by what the cluster says, which it cuts off to the second."""
    if said - WHOLE_SECOND <= ours <= said + 2 * WHOLE_SECOND:
        return min(ours, said + WHOLE_SECOND)
    return said


def latest_kill(case: DecisionInput, record: StopStatus) -> datetime:
    """Return when the grace period ends, as if the signal had come with the acceptance while there is none."""
    grace = record.grace_period_seconds or case.cap or case.seen.own_grace_seconds
    return record.kill_at or record.accepted_at + timedelta(seconds=grace)


def confirmed(record: StopStatus, verdict: Verdict, now: datetime) -> StopStatus:
    """Return the record of a stop that is over."""
    confirmed_at = max(now, record.signaled_at or record.accepted_at)
    seconds = round((confirmed_at - record.accepted_at).total_seconds(), 3)
    return record.but(confirmed_at=confirmed_at, duration_seconds=seconds, verdict=verdict)
