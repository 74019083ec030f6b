"""A task that is to be stopped: the signal, the grace period, the proof."""

from datetime import datetime
from typing import Final

from agentstop.api.task import AgentTaskStatus, OnUnconfirmed, Phase, PodPolicy, StopSource, StopStatus, Verdict
from agentstop.lifecycle.by_nodes import asked_at
from agentstop.lifecycle.decision import MARGIN, NOT_CONFIRMED, Decision, DecisionInput, by_person, next_status
from agentstop.lifecycle.effects import AddFinalizer, Terminate
from agentstop.lifecycle.graces import asked_kill, late_wish, runs_longer
from agentstop.lifecycle.logs import lost_logs
from agentstop.lifecycle.observation import Observation, Presence, Proof, Reason, Task
from agentstop.lifecycle.record import accepted, confirmed, latest_kill, progressed
from agentstop.lifecycle.verdict import verdict_of

ACCEPTED: Final = {
    StopSource.USER: Reason("UserRequested", "Task was stopped by user"),
    StopSource.STOP_ORDER: Reason("StopOrdered", "Task was stopped by an order"),
    StopSource.PARENT: Reason("ParentStopped", "Task was stopped with its parent"),
    StopSource.DEADLINE: Reason("DeadlineExceeded", "Task was stopped at its deadline"),
    StopSource.DELETION: Reason("TaskDeleted", "Task was stopped because it was deleted"),
    StopSource.BUDGET: Reason("BudgetExceeded", "Task was stopped by its budget"),
    StopSource.IDLE: Reason("Idle", "Task was stopped because it was idle"),
    StopSource.TETHER: Reason("TetherLost", "Task was stopped because nobody keeps its tether"),
}
"""What the status says of a stop, by its source."""


def stopping(case: DecisionInput) -> Decision | None:
    """Decide on a task that was asked to stop; None where it was not."""
    seen, now = case.seen, case.now
    record = case.task.status.stop or accepted(case)
    if record is None or (seen.presence is Presence.UNKNOWN and seen.blocked is None):
        return None
    record = progressed(case, record)
    overdue_at = latest_kill(case, record) + MARGIN
    overdue = now >= overdue_at
    proof = seen.proof or (Proof.NEVER_STARTED if seen.presence is Presence.ABSENT else None)
    word = _word(case.task, record)
    asked = record.grace_period_seconds if case.asked_grace is not None else None
    too_late = runs_longer(record, seen.workload)
    logs_gone = lost_logs(case, asked, too_late=too_late)
    verdict = None
    if proof is not None:
        pods = seen.workload.pods if seen.workload else ()
        verdict = verdict_of(proof, pods, _judged_by(record, seen), now, record.kill_at)
    elif overdue and case.request.on_unconfirmed is OnUnconfirmed.MARK_STOPPED:
        verdict = Verdict.UNVERIFIED
    if verdict is not None and case.family.all_ended:
        return Decision(
            status=_stopped(case, confirmed(record, verdict, now), word, logs_gone),
            effects=(halt(case, record),) if seen.presence is Presence.PRESENT else (),
        )
    if verdict is not None:
        stalled = case.family.holding
        word = Reason(word.reason, f"{word.message}; it waits for the tasks that descend from it")
    else:
        stalled = seen.blocked or ((seen.late or NOT_CONFIRMED) if overdue else None)
    waits = seen.busy if verdict is None and record.signaled_at is not None else None
    if too_late and stalled is None and not case.limits.ask_nodes:
        word = Reason(word.reason, f"{word.message}; {late_wish(record)}")
    asks_at = asked_at(case, latest_kill(case, record))
    moments = (record.kill_at, asks_at, overdue_at, seen.look_again_at)
    wakes = [at for at in moments if at is not None and at > now]
    return Decision(
        status=next_status(case, Phase.STOPPING, word, stalled=stalled, waits=waits, stop=record, logs_gone=logs_gone),
        effects=(halt(case, record),),
        afterwards=(AddFinalizer(),) if unprotected(case.task) else (),
        wake_at=min([*wakes, now + case.timings.overdue_recheck])
        if stalled
        else min(wakes, default=now + case.timings.overdue_recheck),
    )


def _judged_by(record: StopStatus, seen: Observation) -> datetime | None:
    """Return from when on an end by SIGKILL counts as the stop's: some kubelets do shorten what runs.

    Where a crash came between signal and record, the kubelet counts from the signal, which the cluster alone knows.
    """
    asked = asked_kill(record)
    soonest = asked - seen.begins_after if asked is not None else None  # on the average it begins later, but it may not
    return min(filter(None, (soonest, seen.soonest_kill, seen.killed_by)), default=None)


def halt(case: DecisionInput, record: StopStatus) -> Terminate:
    """Return the effect that ends the workload as this stop asks for."""
    asked = record.grace_period_seconds if case.asked_grace is not None else None
    policy = PodPolicy.DELETE if case.task.gone else case.pod_policy_now
    kill_at = asked_kill(record) if asked is not None else None
    asks_at = asked_at(case, latest_kill(case, record))
    return Terminate(
        asked,
        policy,
        kill_at,
        schedule=case.limits.suspend_cron_jobs and by_person(case, record),
        by_nodes=asks_at is not None and asks_at <= case.now,
    )


def unprotected(task: Task) -> bool:
    """Whether an adopted workload would be forgotten if its task were deleted now."""
    return task.spec.workload_ref is not None and not task.protected and not task.deleting and not task.gone


def _stopped(case: DecisionInput, record: StopStatus, word: Reason, logs_gone: str | None) -> AgentTaskStatus:
    finished_at = record.confirmed_at
    return next_status(case, Phase.STOPPED, word, stop=record, finished_at=finished_at, logs_gone=logs_gone)


def _word(task: Task, record: StopStatus) -> Reason:
    word = ACCEPTED[record.source]
    if record.source is StopSource.DEADLINE and task.spec.active_deadline_seconds is not None:
        return Reason(word.reason, f"{word.message} of {task.spec.active_deadline_seconds} seconds")
    if record.source in {StopSource.BUDGET, StopSource.IDLE, StopSource.TETHER} and record.message:
        return Reason(word.reason, f"{word.message}: {record.message}")
    if record.order is not None:
        return Reason(word.reason, f"Task was stopped by {record.order.kind} {record.order.name}")
    if record.source is StopSource.PARENT:
        return Reason(word.reason, f"{word.message}; the stop began at AgentTask {record.origin}")
    return word
