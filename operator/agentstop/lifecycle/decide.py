"""The one decision: what a task's status becomes, and what has to be done."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from agentstop.api.task import AgentTaskStatus, DeletionPolicy, Phase
from agentstop.lifecycle import accounts, automatic, fencing, idle, remains, transitions
from agentstop.lifecycle.budget import pauses
from agentstop.lifecycle.decision import LIMITS, Decision, DecisionInput, Limits, next_status
from agentstop.lifecycle.effects import AddFinalizer, ObjectEffect, PauseTask, RemoveFinalizer, Start
from agentstop.lifecycle.ended import ended_by_itself
from agentstop.lifecycle.events import halted_again, notes_between
from agentstop.lifecycle.expiry import after_the_end
from agentstop.lifecycle.facts import NO_FACTS, Facts
from agentstop.lifecycle.family import ALONE, Family
from agentstop.lifecycle.freezing import freezing
from agentstop.lifecycle.observation import Observation, Presence, Reason, Task
from agentstop.lifecycle.orders import FREE, OrderEffect
from agentstop.lifecycle.pausing import PAUSED, RUNNING, pausing
from agentstop.lifecycle.record import source_of
from agentstop.lifecycle.stopping import halt, stopping, unprotected
from agentstop.timings import TIMINGS, Timings

STARTING: Final = {
    False: Reason("Starting", "The workload is being started"),
    True: Reason("Starting", "No pod of the workload runs yet"),
}
"""What is said of a task that waits for its first container, by whether its workload is somebody else's."""


def decide(
    task: Task,
    seen: Observation,
    now: datetime,
    family: Family = ALONE,
    order_effect: OrderEffect = FREE,
    limits: Limits = LIMITS,
    timings: Timings = TIMINGS,
    facts: Facts = NO_FACTS,
) -> Decision:
    """Decide on a task, within what the cluster's administrator allows.

    Nothing but the arguments goes into the decision, so it can be made again at any time and after any crash: the
    effects are safe to repeat, and what was done already shows in `seen`.
    """
    case = DecisionInput(task, seen, now, family, order_effect, limits, timings, facts)
    decision = _over(case) if case.phase.terminal else _going(case)
    wakes = (decision.wake_at, accounts.look_again_at(case), remains.look_again_at(case, decision.status))
    fenced = fencing.fenced(case, decision.status)
    return replace(decision, wake_at=min(filter(None, wakes), default=None), fenced=fenced)


def _going(case: DecisionInput) -> Decision:
    """A task that has not ended."""
    task = case.task
    if _awaits_facts(case):
        return Decision(status=task.status, wake_at=case.now + case.timings.overdue_recheck)
    decision = ended_by_itself(case) or stopping(case) or _over_budget(case) or _held_or_live(case)
    goes_on = decision.status.stop is None and not decision.status.phase.terminal
    in_doubt = goes_on and _in_doubt(case)
    status = remains.told(case, accounts.accounted(case, decision.status))
    decision = replace(decision, status=status, in_doubt=in_doubt)
    transitions.check(case.phase, decision.status.phase)
    if decision.status.phase.terminal:
        after = _after_the_end(case, decision.status)
        decision = replace(decision, afterwards=after.afterwards, wake_at=after.wake_at)
    return replace(decision, notes=notes_between(task.status, decision.status))


def _held_or_live(case: DecisionInput) -> Decision:
    """A task that nobody has asked to stop."""
    return freezing(case) or pausing(case) or _live(case)


def _over(case: DecisionInput) -> Decision:
    """A task that has ended stays as it ended; what is left is to keep it so, and to tidy up."""
    status = case.task.status.but(observed_generation=case.task.generation)
    status = remains.told(case, accounts.accounted(case, status))
    after = _after_the_end(case, status)
    if status.phase is not Phase.STOPPED or status.stop is None:
        return after
    there = case.seen.presence is Presence.PRESENT and case.seen.proof is None
    notes = (halted_again(case.seen.workload, "stopped"),) if there and _runs_again(status, case.seen) else ()
    # What ends it may be refused, and no event tells when it would be taken.
    retry_at = case.now + case.timings.overdue_recheck if there and not case.seen.halted else None
    wake_at = min(filter(None, (after.wake_at, retry_at)), default=None)
    return replace(after, effects=(halt(case, status.stop),), notes=notes, wake_at=wake_at)


def _runs_again(status: AgentTaskStatus, seen: Observation) -> bool:
    """Whether somebody has started the workload since: it is another one, or what ended it was taken back."""
    if seen.workload is None:
        return False
    return not seen.halted or status.workload is None or status.workload.uid != seen.workload.uid


def _after_the_end(case: DecisionInput, status: AgentTaskStatus) -> Decision:
    if status.phase is Phase.STOPPED and remains.pod_is_to_go(case):
        # The task stays until then: an operator that is started meanwhile finds in it what is left to be done.
        soon = case.now if case.phase is not Phase.STOPPED else case.now + case.timings.start_recheck
        return Decision(status=status, wake_at=soon)
    ttl = case.task.spec.ttl_seconds_after_finished
    if ttl is not None and status.phase is Phase.STOPPED:
        # What was stopped may have asked for no record of it.
        ttl = max(ttl, case.limits.min_ttl_seconds)
    afterwards, wake_at = after_the_end(
        protected=case.task.protected,
        deleting=case.task.deleting,
        ended_at=status.finished_at,
        ttl_seconds=ttl,
        now=case.now,
    )
    return Decision(status=status, afterwards=afterwards, wake_at=wake_at)


def _awaits_facts(case: DecisionInput) -> bool:
    """Whether a stop of ours has ended it, and its budget may be why, of which nothing is known since a crash."""
    ending, status = case.seen.ending, case.task.status
    ours = ending is not None and ending.by_stop and status.stop is None and source_of(case) is None
    held = case.task.to_be_paused or case.phase in {Phase.PAUSING, Phase.PAUSED}
    return ours and case.facts.unknown and case.budget is not None and not held


def _in_doubt(case: DecisionInput) -> bool:
    budget = case.budget
    return budget is not None and idle.in_doubt(case, budget)


def _over_budget(case: DecisionInput) -> Decision | None:
    """A task that has to be paused by its budget; None where it has not, or where that is asked for already.

    Its own `paused` is set, so that whoever has it go on says so there, and a limit that is raised starts nothing.
    """
    if not pauses(case) or (case.seen.presence is Presence.UNKNOWN and case.seen.blocked is None):
        return None
    phase, status = case.phase, case.task.status
    word = Reason(status.reason or "", status.message or "") if status.reason else STARTING[False]
    if phase is Phase.PAUSED:
        word = PAUSED
    elif phase is Phase.PENDING and case.seen.started_at is not None:
        phase, word = Phase.RUNNING, RUNNING
    return Decision(
        status=next_status(case, phase, word, stalled=case.seen.blocked),
        afterwards=(PauseTask(),),
        wake_at=case.now + case.timings.start_recheck,
    )


def _live(case: DecisionInput) -> Decision:
    """A task that nobody has asked to stop or to pause."""
    task, seen, family = case.task, case.seen, case.family
    if family.unknown or (seen.presence is Presence.UNKNOWN and seen.blocked is None):
        return Decision(status=task.status)
    wanted = task.spec.pod_template is not None and not task.deleting and not task.gone
    nothing = seen.presence is Presence.ABSENT or (case.order_effect.freeze is not None and seen.proof is not None)
    problem = (case.order_effect.hold if nothing else None) or family.problem
    startable = wanted and seen.presence is Presence.ABSENT and problem is None
    stalled = problem or seen.blocked
    phase = task.status.phase
    word = problem or seen.waiting or STARTING[task.spec.pod_template is None]
    if seen.started_at is not None or phase in {Phase.RUNNING, Phase.PAUSING}:
        phase, word = Phase.RUNNING, RUNNING
    wakes = (case.now + case.timings.start_recheck if stalled else automatic.look_again_at(case), seen.look_again_at)
    return Decision(
        status=next_status(case, phase, word, stalled=stalled),
        effects=(Start(),) if startable else (),
        afterwards=_protection(task),
        wake_at=min(filter(None, wakes), default=None),
    )


def _protection(task: Task) -> tuple[ObjectEffect, ...]:
    if task.spec.deletion_policy is DeletionPolicy.STOP and unprotected(task):
        return (AddFinalizer(),)
    if task.protected and task.spec.deletion_policy is DeletionPolicy.ORPHAN:
        return (RemoveFinalizer(),)
    return ()
