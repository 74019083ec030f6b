"""A task that is paused by a freeze, is to be, or goes on: its nodes' kernels hold its processes where they are.

A stop goes before: it ends the workload, and has it thawed for that.
"""

from datetime import datetime
from typing import Final

from agentstop.api.task import AgentTaskStatus, OrderRef, PausePolicy, Phase
from agentstop.api.workload_status import WorkloadStatus
from agentstop.lifecycle import conditions
from agentstop.lifecycle.decision import Decision, DecisionInput, next_status
from agentstop.lifecycle.effects import Freeze, Thaw
from agentstop.lifecycle.observation import Presence, Reason
from agentstop.lifecycle.orders import OrderedFreeze
from agentstop.lifecycle.pausing import RUNNING, paused_seconds, shows_nothing

FREEZING: Final = Reason(conditions.FREEZING, "The nodes are asked to freeze what runs until paused is false again")
FROZEN: Final = Reason(conditions.FROZEN, "The kernel holds what runs until paused is false again")
THAWING: Final = Reason(conditions.THAWING, "The nodes are asked to let what was frozen go on")

NODES_NOT_ASKED: Final = Reason(
    "NodesNotAsked",
    "A freeze takes the component on each node, and this operator asks none (--ask-nodes, node.enabled in the chart)",
)


def freezing(case: DecisionInput) -> Decision | None:
    """Decide on a task that is frozen or is to be; None where freezing has nothing to do with it."""
    seen, task = case.seen, case.task
    if seen.presence is Presence.UNKNOWN and seen.blocked is None:
        return None
    if task.gone:
        return _thawing(case) if seen.freeze_state.held else Decision(status=task.status)
    if task.to_be_paused and not case.to_be_frozen:
        return None  # what ends it has it thawed
    runs = seen.presence is Presence.UNKNOWN or (seen.presence is Presence.PRESENT and seen.proof is None)
    if not runs:
        return None
    if not case.to_be_frozen:
        return _back(case)
    if case.phase is Phase.PAUSING and seen.halted and not seen.freeze_state.held:
        return None  # a pause that ends it was under way before
    if case.phase is Phase.PAUSED and not _was_frozen(case) and shows_nothing(seen):
        return None  # what it had is gone
    blind = case.phase is Phase.PAUSED and _unread(case) is not None
    if blind and not _was_frozen(case):
        return None  # what it had was ended, and nobody can see otherwise
    return _frozen(case) if seen.freeze_state.frozen or blind else _freezing(case)


def _was_frozen(case: DecisionInput) -> bool:
    """Whether the task is on record as paused by a freeze."""
    return case.task.status.pause_policy is PausePolicy.FREEZE


def _frozen(case: DecisionInput) -> Decision:
    """All that runs is frozen."""
    since = case.task.status.paused_at or case.now
    return Decision(
        status=next_status(
            case,
            Phase.PAUSED,
            _as_ordered(case, FROZEN),
            stalled=case.family.problem or case.seen.blocked,
            paused_at=since,
            pause_policy=PausePolicy.FREEZE,
            frozen_by=_by(case),
        ),
        effects=(Freeze(),),
        wake_at=case.seen.look_again_at,
    )


def _freezing(case: DecisionInput) -> Decision:
    """Have what runs frozen. Where that cannot be done, it is said, and nothing is done in its place."""
    freeze_state, now = case.seen.freeze_state, case.now
    never = NODES_NOT_ASKED if not case.limits.ask_nodes else freeze_state.refused
    stalled = (_advised(case, never) if never is not None else None) or freeze_state.late or case.seen.blocked
    looks = (freeze_state.due_at, case.seen.look_again_at, now + case.timings.overdue_recheck)
    if stalled is None and (said_at := _said_at(case)) is not None and now < said_at:
        return Decision(status=case.task.status, effects=(Freeze(),), wake_at=said_at)
    return Decision(
        status=next_status(
            case,
            Phase.PAUSING,
            _as_ordered(case, FREEZING),
            stalled=stalled,
            waits=freeze_state.waits,
            paused_at=None,
            paused_seconds=paused_seconds(case),
            frozen_by=_by(case),
        ),
        effects=(Freeze(),) if case.limits.ask_nodes and freeze_state.refused is None else (),
        wake_at=min(at for at in looks if at is not None and at > now),
    )


def _said_at(case: DecisionInput) -> datetime | None:
    """Return from when on it is said that a task that runs is being frozen; None where at once.

    Its nodes were asked, which leaves its mark, and are about to answer. They freeze no pod that is not on record.
    """
    asked_at, before = case.seen.freeze_state.asked_at, case.task.status
    if asked_at is None or case.phase not in {Phase.PENDING, Phase.RUNNING} or case.task.unwritable is not None:
        return None
    if _uids(case.seen.workload) != _uids(before.workload):
        return None
    return asked_at + case.timings.freeze_record


def _uids(workload: WorkloadStatus | None) -> tuple[object, ...]:
    """Return which pods a status has on record."""
    if workload is None:
        return ()
    return ({each.uid for each in workload.pods}, {uid for each in workload.other_pods or () for uid in each.uids})


def _back(case: DecisionInput) -> Decision | None:
    """Have a task go on that was frozen; None where nothing of it is, and nothing was."""
    seen = case.seen
    unknown = _was_frozen(case) and (not case.limits.ask_nodes or seen.blocked is not None)
    if seen.freeze_state.held or unknown:
        return _thawing(case)
    if case.phase is Phase.PAUSED and _was_frozen(case):
        problem = case.family.problem or case.order_effect.hold
        return Decision(
            status=_thawed(case, next_status(case, Phase.RUNNING, RUNNING, stalled=problem)),
            wake_at=case.now,
        )
    return None


def _thawing(case: DecisionInput) -> Decision:
    """Have what is frozen go on.

    As a resume is: only after a status was written that says so, for this generation of the spec, so that no thaw is
    ever sent in ignorance of what was asked for before it.
    """
    now = case.now
    problem = case.family.problem or case.order_effect.hold
    blind = NODES_NOT_ASKED if not case.limits.ask_nodes else None
    phase = Phase.PAUSED if case.phase is Phase.PAUSED else Phase.PAUSING
    recorded = case.task.status.observed_generation == case.task.generation and case.phase is phase
    if case.task.status.frozen_by is not None:
        recorded = recorded and case.task.status.reason == THAWING.reason  # an order changes no generation of a task
    free = case.limits.ask_nodes and not (problem or case.family.unknown)
    if case.task.gone:
        recorded, free = True, True  # nobody will ask for anything any more
    stalled = problem or blind or case.seen.freeze_state.late or case.seen.blocked
    looks = (case.seen.freeze_state.due_at, now + case.timings.overdue_recheck)
    again = min(at for at in looks if at is not None and at > now)
    # What was asked of its nodes only just now may not have come onto its record before the order let go.
    unsaid = case.phase in {Phase.PENDING, Phase.RUNNING}
    by = _ref(case.order_effect.thaw) if unsaid else case.task.status.frozen_by
    return Decision(
        status=next_status(case, phase, problem or THAWING, stalled=stalled, busy=True, frozen_by=by),
        effects=(Thaw(),) if recorded and free else (),
        wake_at=again if recorded else now,
    )


def _advised(case: DecisionInput, never: Reason) -> Reason:
    """Return why a task cannot be frozen, with what can be done in its place: nothing is by itself."""
    advice = "set pausePolicy to Terminate to have the processes ended instead"
    if case.order_effect.freeze is not None:
        advice = "it runs on; stop it if it must not"
    return Reason(never.reason, f"{never.message}; {advice}")


def _by(case: DecisionInput) -> OrderRef | None:
    """Return the order that asks for the freeze, if one does."""
    return _ref(case.order_effect.freeze)


def _ref(order: OrderedFreeze | None) -> OrderRef | None:
    return OrderRef(kind=order.kind, name=order.name, uid=order.uid) if order is not None else None


def _as_ordered(case: DecisionInput, word: Reason) -> Reason:
    """Return what is said of a freeze, with the order that asks for it."""
    order = case.order_effect.freeze
    if order is None:
        return word
    why = f" ({order.reason})" if order.reason else ""
    what = word.message.removesuffix(" until paused is false again")
    return Reason(word.reason, f"{what}, as {order.kind} {order.name}{why} asks for")


def _unread(case: DecisionInput) -> Reason | None:
    """Return why the workload cannot be looked at, if it cannot."""
    return case.seen.blocked if case.seen.presence is Presence.UNKNOWN else None


def _thawed(case: DecisionInput, status: AgentTaskStatus) -> AgentTaskStatus:
    """Return the status of a task that goes on where it was: no attempt more, and the pause on its account."""
    return status.but(paused_at=None, paused_seconds=paused_seconds(case))
