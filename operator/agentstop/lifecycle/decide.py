"""The one decision: what a task's status becomes, and what has to be done."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from agentstop.api.task import (
    AgentTaskStatus,
    DeletionPolicy,
    OnUnconfirmed,
    Phase,
    PodPolicy,
    StopRequest,
    StopSource,
    StopStatus,
    Verdict,
)
from agentstop.lifecycle import transitions
from agentstop.lifecycle.conditions import conditions
from agentstop.lifecycle.effects import Halt, Protect, Release, Remove, Start, TaskEffect, WorkloadEffect
from agentstop.lifecycle.events import Note, notes_between, stopped_again
from agentstop.lifecycle.seen import Ending, Presence, Proof, Seen, Task, Word
from agentstop.lifecycle.verdict import verdict_of

MARGIN: Final = timedelta(seconds=10)
"""How long after the end of the grace period the proof may take before the stop counts as stalled: the kubelet ends
containers one after the other, and reports afterwards."""

RECHECK: Final = timedelta(seconds=10)
"""How often a stop that is overdue is looked at again."""

START_RECHECK: Final = timedelta(seconds=30)
"""How often a start that is refused is tried again: thousands of tasks may wait for one quota."""

ACCEPTED: Final = {
    StopSource.USER: Word("UserRequested", "Task was stopped by user"),
    StopSource.DEADLINE: Word("DeadlineExceeded", "Task was stopped at its deadline"),
    StopSource.DELETION: Word("TaskDeleted", "Task was stopped because it was deleted"),
}
"""What the status says of a stop, by its source."""

MAIN_CONTAINER_ENDED: Final = "MainContainerEnded"

NOT_CONFIRMED: Final = Word(
    "NotConfirmed",
    "The grace period is over, and the node has not reported the end of the workload; look at its kubelet, which also"
    " lets an earlier, longer grace period come to its end",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do now, in this order: `effects`, then the status, then what comes `afterwards`."""

    status: AgentTaskStatus
    effects: tuple[WorkloadEffect, ...] = ()
    """What to do to the workload."""
    afterwards: tuple[TaskEffect, ...] = ()
    """What to do to the task object."""
    notes: tuple[Note, ...] = ()
    """What to tell people once it is done."""
    wake_at: datetime | None = None
    """When to decide again, if nothing happens before."""


def decide(task: Task, seen: Seen, now: datetime) -> Decision:
    """Decide on a task.

    Nothing but the arguments goes into the decision, so it can be made again at any time and after any crash: the
    effects are safe to repeat, and what was done already shows in `seen`.
    """
    if task.status.phase.terminal:
        return _over(task, seen, now)
    decision = _ended_by_itself(task, seen, now) or _stopping(task, seen, now) or _live(task, seen, now)
    transitions.check(task.status.phase, decision.status.phase)
    if decision.status.phase.terminal:
        after = _after_the_end(task, decision.status, now)
        decision = replace(decision, afterwards=after.afterwards, wake_at=after.wake_at)
    return replace(decision, notes=notes_between(task.status, decision.status))


def _over(task: Task, seen: Seen, now: datetime) -> Decision:
    """A task that has ended stays as it ended; what is left is to keep it so, and to tidy up."""
    status = task.status.but(observed_generation=task.generation)
    after = _after_the_end(task, status, now)
    if status.phase is not Phase.STOPPED or status.stop is None:
        return after
    halt = _halt(task, status.stop)
    again = seen.presence is Presence.PRESENT and seen.proof is None and _is_another(status, seen)
    notes = (stopped_again(seen),) if again else ()
    return Decision(status=status, effects=(halt,), afterwards=after.afterwards, notes=notes, wake_at=after.wake_at)


def _is_another(status: AgentTaskStatus, seen: Seen) -> bool:
    if seen.workload is None:
        return False
    return status.workload is None or status.workload.uid != seen.workload.uid


def _after_the_end(task: Task, status: AgentTaskStatus, now: datetime) -> Decision:
    afterwards: list[TaskEffect] = []
    if task.protected:
        afterwards.append(Release())
    wake_at = None
    ttl = task.spec.ttl_seconds_after_finished
    if ttl is not None and status.finished_at is not None and not task.deleting:
        wake_at = status.finished_at + timedelta(seconds=ttl)
        if wake_at <= now:
            afterwards.append(Remove())
            wake_at = None
    return Decision(status=status, afterwards=tuple(afterwards), wake_at=wake_at)


def _ended_by_itself(task: Task, seen: Seen, now: datetime) -> Decision | None:
    """Rule 3: what ended before a stop was accepted is Completed or Failed."""
    if task.status.stop is not None:
        return None
    if seen.refused is not None:
        return Decision(status=_next(task, seen, now, Phase.FAILED, seen.refused, finished_at=now))
    if seen.main_ending is not None and not _ended_by_our_signal(task, seen, seen.main_ending, now):
        return _main_ended(task, seen, now, seen.main_ending)
    asked = _source(task, seen, now) is not None
    if seen.ending is None or (asked and (seen.ending.by_stop or _lost(seen))):
        return None
    return Decision(status=_ended(task, seen, now, seen.ending))


def _lost(seen: Seen) -> bool:
    """Whether the workload vanished without an end of its own: then a stop that was asked for is the better reason."""
    return seen.ending is not None and seen.ending.at is None


def _ended_by_our_signal(task: Task, seen: Seen, ending: Ending, now: datetime) -> bool:
    """Whether the main container ended in the second of our signal, so that the stop that is asked for ended it.

    Nodes report whole seconds. Only after a crash between the signal and its record does this have to be told apart.
    """
    if ending.at is None or seen.signaled_at is None or _source(task, seen, now) is None:
        return False
    if task.status.reason == MAIN_CONTAINER_ENDED:
        return False  # its end was on record before the stop was asked for
    return ending.at >= seen.signaled_at.replace(microsecond=0)


def _main_ended(task: Task, seen: Seen, now: datetime, ending: Ending) -> Decision:
    """The task's work is over; it ends when what still runs beside the main container has been ended, too."""
    if seen.proof is not None or seen.presence is not Presence.PRESENT:
        return Decision(status=_ended(task, seen, now, ending))
    request = _request(task)
    grace = timedelta(seconds=request.grace_period_seconds or seen.own_grace_seconds)
    kill_at = seen.signaled_at + grace if seen.signaled_at is not None else None
    overdue = kill_at is not None and kill_at + MARGIN <= now
    if overdue and request.on_unconfirmed is OnUnconfirmed.MARK_STOPPED:
        return Decision(status=_ended(task, seen, now, ending))
    word = Word(MAIN_CONTAINER_ENDED, "The main container has ended; what still runs beside it is being ended")
    stalled = seen.blocked or (NOT_CONFIRMED if overdue else None)
    asked = request.grace_period_seconds
    return Decision(
        status=_next(task, seen, now, Phase.RUNNING, word, stalled=stalled, busy=True),
        effects=(Halt(asked, request.pod_policy, kill_at if asked is not None else None),),
        wake_at=now + RECHECK,
    )


def _ended(task: Task, seen: Seen, now: datetime, ending: Ending) -> AgentTaskStatus:
    phase = Phase.COMPLETED if ending.succeeded else Phase.FAILED
    return _next(task, seen, now, phase, ending.word, finished_at=ending.at or now)


def _stopping(task: Task, seen: Seen, now: datetime) -> Decision | None:
    record = task.status.stop or _accept(task, seen, now)
    if record is None or (seen.presence is Presence.UNKNOWN and seen.blocked is None):
        return None
    record = _with_progress(task, record, seen, now)
    overdue_at = (record.kill_at or _latest_kill(record, seen)) + MARGIN
    proof = seen.proof or (Proof.NEVER_STARTED if seen.presence is Presence.ABSENT else None)
    word = _stop_word(task, record.source)
    if proof is not None:
        pods = seen.workload.pods if seen.workload else ()
        verdict = verdict_of(proof, pods, record.kill_at, now)
        return Decision(
            status=_stopped(task, seen, now, _confirmed(record, verdict, now), word),
            effects=(_halt(task, record),) if seen.presence is Presence.PRESENT else (),
        )
    if now >= overdue_at and _request(task).on_unconfirmed is OnUnconfirmed.MARK_STOPPED:
        return Decision(status=_stopped(task, seen, now, _confirmed(record, Verdict.UNVERIFIED, now), word))
    stalled = seen.blocked or (NOT_CONFIRMED if now >= overdue_at else None)
    wakes = [at for at in (record.kill_at, overdue_at) if at is not None and at > now]
    return Decision(
        status=_next(task, seen, now, Phase.STOPPING, word, stalled=stalled, stop=record),
        effects=(_halt(task, record),),
        afterwards=(Protect(),) if _unprotected(task) else (),
        wake_at=min([*wakes, now + RECHECK]) if stalled else min(wakes, default=now + RECHECK),
    )


def _accept(task: Task, seen: Seen, now: datetime) -> StopStatus | None:
    """Return the record of the stop that is asked for now, if one is."""
    source = _source(task, seen, now)
    if source is None:
        return None
    moments = [task.stop_seen_at or now, now]
    if seen.signaled_at is not None and seen.ending is not None and seen.ending.by_stop:
        # A crash came between signal and record: what the signal left behind on the workload is the evidence.
        moments.append(seen.signaled_at)
    request = _request(task)
    return StopStatus(
        source=source,
        requested_by=task.requested_by if source is StopSource.USER else None,
        reason=request.reason if source is StopSource.USER else None,
        message=request.message if source is StopSource.USER else None,
        accepted_at=min(moments),
    )


def _source(task: Task, seen: Seen, now: datetime) -> StopSource | None:
    if task.spec.stop_requested:
        return StopSource.USER
    if (task.deleting and task.protected) or _takes_along(task):
        return StopSource.DELETION
    deadline_at = _deadline_at(task, seen, now)
    if deadline_at is not None and deadline_at <= now:
        return StopSource.DEADLINE
    return None


def _takes_along(task: Task) -> bool:
    """Whether the task object is gone, and its workload has to go with it: its own pod, but no adopted one."""
    return task.gone and task.spec.pod_template is not None and not task.orphaning


def _deadline_at(task: Task, seen: Seen, now: datetime) -> datetime | None:
    started_at = task.status.started_at or seen.started_at
    if started_at is None or task.spec.active_deadline_seconds is None:
        return None
    return min(started_at, now) + timedelta(seconds=task.spec.active_deadline_seconds)


def _with_progress(task: Task, record: StopStatus, seen: Seen, now: datetime) -> StopStatus:
    """Return the record with the signal and the grace period that is in force: it only ever becomes shorter."""
    asked = _request(task).grace_period_seconds
    if record.grace_period_seconds is None:
        grace = seen.own_grace_seconds if asked is None else asked
    else:
        grace = min(record.grace_period_seconds, asked or record.grace_period_seconds)
    signaled_at = record.signaled_at
    if signaled_at is None and seen.signaled_at is not None:
        signaled_at = max(seen.signaled_at, record.accepted_at)
    kill_at = record.kill_at
    if signaled_at is not None:
        moments = [signaled_at + timedelta(seconds=grace), record.kill_at, seen.killed_by]
        kill_at = max(signaled_at, min(moment for moment in moments if moment is not None))
        if record.kill_at is not None:
            # What is shortened now is over now at the earliest, wherever it is counted from.
            kill_at = max(kill_at, min(record.kill_at, now))
    return record.but(grace_period_seconds=grace, signaled_at=signaled_at, kill_at=kill_at)


def _latest_kill(record: StopStatus, seen: Seen) -> datetime:
    """When the grace period would end if the signal had come with the acceptance; used while there is no signal."""
    return record.accepted_at + timedelta(seconds=record.grace_period_seconds or seen.own_grace_seconds)


def _confirmed(record: StopStatus, verdict: Verdict, now: datetime) -> StopStatus:
    confirmed_at = max(now, record.signaled_at or record.accepted_at)
    seconds = round((confirmed_at - record.accepted_at).total_seconds(), 3)
    return record.but(confirmed_at=confirmed_at, duration_seconds=seconds, verdict=verdict)


def _stopped(task: Task, seen: Seen, now: datetime, record: StopStatus, word: Word) -> AgentTaskStatus:
    return _next(task, seen, now, Phase.STOPPED, word, stop=record, finished_at=record.confirmed_at)


def _stop_word(task: Task, source: StopSource) -> Word:
    word = ACCEPTED[source]
    if source is StopSource.DEADLINE and task.spec.active_deadline_seconds is not None:
        return Word(word.reason, f"{word.message} of {task.spec.active_deadline_seconds} seconds")
    return word


def _live(task: Task, seen: Seen, now: datetime) -> Decision:
    """A task that nobody has asked to stop."""
    if seen.presence is Presence.UNKNOWN and seen.blocked is None:
        return Decision(status=task.status)
    wanted = task.spec.pod_template is not None and not task.deleting and not task.gone
    startable = wanted and seen.presence is Presence.ABSENT
    afterwards: tuple[TaskEffect, ...] = ()
    if task.spec.deletion_policy is DeletionPolicy.STOP and _unprotected(task):
        afterwards = (Protect(),)
    elif task.protected and task.spec.deletion_policy is DeletionPolicy.ORPHAN:
        afterwards = (Release(),)
    phase = task.status.phase
    word = seen.waiting or Word("Starting", "The workload is being started")
    if seen.started_at is not None or phase is Phase.RUNNING:
        phase = Phase.RUNNING
        word = Word("Running", "The workload runs")
    return Decision(
        status=_next(task, seen, now, phase, word, stalled=seen.blocked),
        effects=(Start(),) if startable else (),
        afterwards=afterwards,
        wake_at=now + START_RECHECK if seen.blocked else _deadline_at(task, seen, now),
    )


def _unprotected(task: Task) -> bool:
    """Whether an adopted workload would be forgotten if its task were deleted now."""
    return task.spec.workload_ref is not None and not task.protected and not task.deleting and not task.gone


def _request(task: Task) -> StopRequest:
    return task.spec.stop or StopRequest()


def _halt(task: Task, record: StopStatus) -> Halt:
    request = _request(task)
    asked = record.grace_period_seconds if request.grace_period_seconds is not None else None
    policy = PodPolicy.DELETE if task.gone else request.pod_policy
    return Halt(asked, policy, record.kill_at if asked is not None else None)


def _next(
    task: Task,
    seen: Seen,
    now: datetime,
    phase: Phase,
    word: Word,
    *,
    stalled: Word | None = None,
    stop: StopStatus | None = None,
    finished_at: datetime | None = None,
    busy: bool = False,
) -> AgentTaskStatus:
    """Return the status that follows from what was seen. What was known before is kept where nothing new is seen."""
    before = task.status
    by_person = stop is not None and stop.source is StopSource.USER
    return AgentTaskStatus(
        observed_generation=task.generation,
        phase=phase,
        manually_stopped=before.manually_stopped or by_person,
        reason=word.reason,
        message=word.message,
        started_at=before.started_at or seen.started_at,
        finished_at=finished_at,
        attempts=max(before.attempts, int(seen.presence is Presence.PRESENT)),
        stop=stop,
        workload=seen.workload or before.workload,
        conditions=conditions(phase, word, stalled, before.conditions, now, busy=busy),
    )
