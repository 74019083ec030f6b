"""A task that is paused, is to be, or comes back from it."""

from datetime import timedelta
from typing import Final

from agentstop.api.task import AgentTaskStatus, PausePolicy, Phase, PodPolicy
from agentstop.lifecycle.decision import MARGIN, NOT_CONFIRMED, Decision, DecisionInput, next_status
from agentstop.lifecycle.effects import Start, Terminate
from agentstop.lifecycle.observation import Observation, Presence, Proof, Reason

PAUSING: Final = Reason("Pausing", "The workload is being ended until paused is false again")
PAUSED: Final = Reason("Paused", "Nothing runs until paused is false again")
RESUMING: Final = Reason("Resuming", "The workload is being started again")
RUNNING: Final = Reason("Running", "The workload runs")


def _halt(case: DecisionInput) -> Terminate:
    """Return what ends the workload with its own grace period; a pod's object goes, since the next one has its name."""
    return Terminate(case.cap, PodPolicy.DELETE, None, pause=True)


def pausing(case: DecisionInput) -> Decision | None:
    """Decide on a task that is paused or is to be; None where pausing has nothing to do with it."""
    seen, wanted = case.seen, case.task.to_be_paused
    held = case.phase in {Phase.PAUSING, Phase.PAUSED}
    if not (wanted or held) or (seen.presence is Presence.UNKNOWN and seen.blocked is None):
        return None
    if not wanted and case.phase is Phase.PAUSED:
        return _resuming(case)
    proof = seen.proof or (Proof.NEVER_STARTED if seen.presence is Presence.ABSENT else None)
    if proof is not None or (case.phase is Phase.PAUSED and shows_nothing(seen)):
        return _paused(case)
    if not wanted and not seen.halted:
        return None
    return _ending(case)


def shows_nothing(seen: Observation) -> bool:
    """Whether there is no sign of anything that runs, though that is not, or no longer, proven."""
    return not (seen.active or seen.live) and (seen.halted or seen.blocked is not None)


def _paused(case: DecisionInput) -> Decision:
    """Nothing runs. What somebody else starts meanwhile is ended again."""
    since = case.task.status.paused_at or case.now
    absent = case.seen.presence is Presence.ABSENT
    # What ends it may be refused, and no event tells when it would be taken.
    refused = not absent and case.seen.proof is None and not case.seen.halted
    wake_at = case.now + case.timings.overdue_recheck if refused else None
    word = (case.seen.waiting if absent else None) or PAUSED
    return Decision(
        status=next_status(
            case,
            Phase.PAUSED,
            word,
            stalled=case.family.problem or case.seen.blocked,
            paused_at=since,
            pause_policy=None,
            frozen_by=None,
        ),
        effects=() if absent else (_halt(case),),
        wake_at=wake_at if case.task.to_be_paused else case.now,
    )


def _ending(case: DecisionInput) -> Decision:
    """End the workload, once it is on record that it is to come back: what it looked like is read from there."""
    seen, now = case.seen, case.now
    stalled = seen.blocked or ((seen.late or NOT_CONFIRMED) if _overdue(case) else None)
    recorded = case.phase is Phase.PAUSING
    again = (
        seen.look_again_at
        if seen.look_again_at is not None and seen.look_again_at > now
        else now + case.timings.overdue_recheck
    )
    return Decision(
        status=next_status(
            case, Phase.PAUSING, PAUSING, stalled=stalled, paused_at=None, paused_seconds=paused_seconds(case)
        ),
        effects=(_halt(case),) if recorded else (),
        wake_at=again if recorded else now,
    )


def _overdue(case: DecisionInput) -> bool:
    """Whether its processes should have been gone for a while."""
    grace = timedelta(seconds=case.cap or case.seen.own_grace_seconds)
    signaled_at = case.seen.signaled_at
    kill_at = case.seen.killed_by or (signaled_at + grace if signaled_at is not None else None)
    return kill_at is not None and kill_at + MARGIN <= case.now


def _resuming(case: DecisionInput) -> Decision:
    """Have the workload run again.

    Only after a status for this generation of the spec was written by compare-and-set: a stop that the API server has
    accepted before that makes the write fail, and so no resume is ever sent after it in ignorance of it.
    """
    seen, now = case.seen, case.now
    problem = case.family.problem or case.order_effect.hold
    stalled = problem or seen.blocked
    if seen.active or _has_run_since(case):
        return Decision(status=resumed(case, next_status(case, Phase.RUNNING, RUNNING, stalled=stalled)), wake_at=now)
    recorded = case.task.status.observed_generation == case.task.generation
    free = not (problem or case.family.unknown)
    return Decision(
        status=next_status(
            case, Phase.PAUSED, problem or seen.waiting or RESUMING, stalled=stalled, busy=True, pause_policy=None
        ),
        effects=(Start(),) if recorded and free else (),
        wake_at=now + case.timings.overdue_recheck if recorded else now,
    )


def _has_run_since(case: DecisionInput) -> bool:
    """Whether it has run again since it was paused, though nothing of it may have been seen while it did.

    A kubelet says nothing of a pod that ends in its start hook before it has ended, and a Job makes the next one.
    """
    since, started_at = case.task.status.paused_at, case.seen.last_started_at
    return not case.seen.halted and since is not None and started_at is not None and started_at > since


def resumed(case: DecisionInput, status: AgentTaskStatus) -> AgentTaskStatus:
    """Return the status of a task that has come back from a pause: one attempt more, and the pause on its account.

    What was frozen has not been started again.
    """
    before = case.task.status
    again = int(before.pause_policy is not PausePolicy.FREEZE)
    return status.but(attempts=before.attempts + again, paused_at=None, paused_seconds=paused_seconds(case))


def paused_seconds(case: DecisionInput) -> float:
    """Return for how long the task was paused in all, if the pause ends with what is seen.

    What was frozen may run though nobody has heard of its start: its start hook is frozen, too, and its kubelet is
    silent until that is through. So that pause counts until its start is known.
    """
    before, started_at = case.task.status, case.seen.started_at
    frozen = before.pause_policy is PausePolicy.FREEZE
    if before.paused_at is None or (before.started_at is None and not frozen):
        return case.paused_seconds
    since, back_at = before.paused_at, case.now
    if frozen:
        since = max(since, before.started_at or started_at or since)
    elif started_at is not None and started_at > since:
        back_at = min(case.now, started_at + timedelta(seconds=1))  # nodes cut off fractions
    return round(case.paused_seconds + max((back_at - since).total_seconds(), 0.0), 3)
