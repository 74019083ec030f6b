"""A task whose work came to its end without a stop (rule 3: what ended before a stop was accepted stays so)."""

from datetime import datetime, timedelta
from typing import Final

from agentstop.api.task import AgentTaskStatus, OnUnconfirmed, Phase
from agentstop.lifecycle.decision import MARGIN, NOT_CONFIRMED, Decision, DecisionInput, next_status
from agentstop.lifecycle.effects import Terminate
from agentstop.lifecycle.logs import lost_logs
from agentstop.lifecycle.observation import Ending, Observation, Presence, Reason
from agentstop.lifecycle.pausing import resumed
from agentstop.lifecycle.record import source_of

MAIN_CONTAINER_ENDED: Final = "MainContainerEnded"


def ended_by_itself(case: DecisionInput) -> Decision | None:
    """Decide on a task that has ended before anybody stopped it; None where it has not."""
    task, seen = case.task, case.seen
    if task.status.stop is not None:
        return None
    if seen.refused is not None:
        return Decision(status=next_status(case, Phase.FAILED, seen.refused, finished_at=case.now))
    if _ended_for_the_pause(case):
        return None
    main_ending = seen.main_ending or _success_on_record(case)
    if main_ending is not None and not _ended_by_our_signal(case, main_ending):
        return None if _is_given_up(case) else _main_ended(case, main_ending)
    if seen.ending is None or (_ended_on_request(case) and (seen.ending.by_stop or _went_on_request(case))):
        return None
    return Decision(status=_ended(case, seen.ending))


def _ended_on_request(case: DecisionInput) -> bool:
    """Whether somebody asked for the end of the workload, for good or for a pause."""
    paused = case.task.to_be_paused or case.phase in {Phase.PAUSING, Phase.PAUSED}
    return paused or source_of(case) is not None


def _ended_for_the_pause(case: DecisionInput) -> bool:
    """Whether what has ended is the pod that the task was paused by, whose object is kept: the next one comes yet.

    How it ended was decided on then. When it was asked to go shows no more, once its kubelet has let go of it.
    """
    seen, since = case.seen, case.task.status.paused_at
    if case.phase is not Phase.PAUSED or case.task.spec.workload_ref is not None or not seen.halted:
        return False
    return since is not None and seen.started_at is not None and seen.started_at <= since


def _went_on_request(case: DecisionInput) -> bool:
    """Whether the workload vanished without an end of its own, for which what was asked for is the better reason.

    A pause takes our own pod away, and nothing else: an adopted workload that is gone cannot come back.
    """
    vanished = case.seen.ending is not None and case.seen.ending.at is None
    return vanished and (source_of(case) is not None or case.task.spec.workload_ref is None)


def _ended_by_our_signal(case: DecisionInput, ending: Ending) -> bool:
    """Whether the main container ended in the second of our signal, so that the stop that is asked for ended it.

    Nodes report whole seconds. Only after a crash between the signal and its record does this have to be told apart.
    """
    if ending.at is None or case.seen.signaled_at is None or not _ended_on_request(case):
        return False
    if _main_end_on_record(case):
        return False  # before the stop was asked for
    return ending.at >= case.seen.signaled_at.replace(microsecond=0)


def _main_end_on_record(case: DecisionInput) -> bool:
    return case.phase is Phase.RUNNING and case.task.status.reason == MAIN_CONTAINER_ENDED


def _success_on_record(case: DecisionInput) -> Ending | None:
    """Return the success of a main container that is on record though nothing shows it any more.

    Its kubelet goes on starting it until it hears that the pod is to go, and shows the last two runs. A failure that
    ends the task is no other than the last run: nothing starts such a container again.
    """
    if not _main_end_on_record(case):
        return None
    at = case.seen.ending.at if case.seen.ending is not None else None
    return main_succeeded(case.task.spec.main_container or "", at)


def main_succeeded(main: str, at: datetime | None) -> Ending:
    """Return the ending of a task whose main container has done its work."""
    return Ending(succeeded=True, word=Reason("Completed", f"Main container {main} ended with exit code 0"), at=at)


def _main_ended(case: DecisionInput, ending: Ending) -> Decision:
    """The task's work is over; it ends when what still runs beside the main container has been ended, too.

    That goes on record first: what shows it may be gone by the time at which the rest has ended.
    """
    seen, now, kill_at = case.seen, case.now, _kill_at(case)
    if _is_proven(seen):
        return Decision(status=_ended(case, ending))
    word = Reason(MAIN_CONTAINER_ENDED, "The main container has ended; what still runs beside it is being ended")
    stalled = seen.blocked or ((seen.late or NOT_CONFIRMED) if _is_overdue(case) else None)
    asked = case.request.grace_period_seconds or case.cap
    status = next_status(case, Phase.RUNNING, word, stalled=stalled, busy=True, logs_gone=lost_logs(case, asked))
    end = Terminate(asked, case.pod_policy_now, kill_at if asked is not None else None)
    # A stop that somebody asked for waits for nothing: it explains an end that the record does not.
    recorded = _main_end_on_record(case) or case.task.gone or source_of(case) is not None
    return Decision(
        status=_back(case, status),
        effects=(end,) if recorded else (),
        wake_at=now + case.timings.overdue_recheck if recorded else now,
    )


def _is_given_up(case: DecisionInput) -> bool:
    """Whether a stop that was asked for is to end a task whose main container has ended, without proof of the rest.

    Only a stop can say of its end that nobody has verified it. Completed and Failed say that nothing runs.
    """
    asked = case.request.on_unconfirmed is OnUnconfirmed.MARK_STOPPED and source_of(case) is not None
    return asked and not _is_proven(case.seen) and _is_overdue(case)


def _is_proven(seen: Observation) -> bool:
    return seen.proof is not None or seen.presence is not Presence.PRESENT


def _is_overdue(case: DecisionInput) -> bool:
    kill_at = _kill_at(case)
    return kill_at is not None and kill_at + MARGIN <= case.now


def _kill_at(case: DecisionInput) -> datetime | None:
    if case.seen.signaled_at is None:
        return None
    grace = case.request.grace_period_seconds or case.cap or case.seen.own_grace_seconds
    return case.seen.signaled_at + timedelta(seconds=grace)


def _ended(case: DecisionInput, ending: Ending) -> AgentTaskStatus:
    phase = Phase.COMPLETED if ending.succeeded else Phase.FAILED
    known = case.task.status.workload
    logs_gone = known.logs_gone if known is not None else None
    return _back(case, next_status(case, phase, ending.word, finished_at=ending.at or case.now, logs_gone=logs_gone))


def _back(case: DecisionInput, status: AgentTaskStatus) -> AgentTaskStatus:
    """Return a status of what has run: where it was paused, it has come back from that, whoever saw it run."""
    return resumed(case, status) if case.phase is Phase.PAUSED else status
