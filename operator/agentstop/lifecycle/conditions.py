"""Conditions of a task, so that kstatus, `kubectl wait` and people read the same from them.

kstatus takes Reconciling=True for "in progress", Stalled=True for "failed", and Ready=False for "in progress";
so Ready means that the task is in the state that its spec asks for, and a stop that succeeded is Ready.
Source: https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from agentstop.api.meta import Condition, ConditionType, stalled
from agentstop.api.order import OrderPhase, OrderStatus
from agentstop.api.task import Phase
from agentstop.lifecycle.observation import Reason, Task

MADE_BY_CRON_JOB: Final = "MadeByCronJob"
"""Reason of ControlledElsewhere where a CronJob goes on that made the Job."""

NODE_UNREACHABLE: Final = "NodeUnreachable"
"""Reason of what is held up by a node that does not answer."""

KUBELET_BUSY: Final = "KubeletBusy"
"""Reason of what waits for a kubelet that does something else first."""

AT_ACCEPTANCE: Final = frozenset({ConditionType.TETHERED, ConditionType.BUDGET_EXCEEDED})
"""Conditions that say of a task that is stopped what they said when its stop was accepted."""

FREEZING: Final = "Freezing"
FROZEN: Final = "Frozen"
THAWING: Final = "Thawing"
"""Reasons of a task whose nodes are asked to freeze what runs, have done so, and are asked to let it go on."""

_CERTAINLY: Final = timedelta(seconds=10)
"""For so long a task has to be held up by its node before it counts that the node does not answer."""


_UNDER_WAY: Final = {
    OrderPhase.PENDING: "stop",
    OrderPhase.FREEZING: "freeze",
    OrderPhase.THAWING: "thaw",
    OrderPhase.STOPPING: "stop",
}
"""Phases of an order that is not through, and what it does to tasks."""


def was_unreachable(task: Task, now: datetime) -> bool:
    """Whether a task has been held up by a node that does not answer: then that node's deletion proves the end at once.

    Who deletes the Node object of a machine that lives ends nothing there: its kubelet does, in the pod's own time.
    """
    found = stalled(task.status.conditions)
    return found is not None and found.reason == NODE_UNREACHABLE and found.last_transition_time + _CERTAINLY <= now


def order_conditions(status: OrderStatus, previous: Sequence[Condition], now: datetime) -> tuple[Condition, ...]:
    """Return the conditions of an order: Ready once it has done what it can do."""
    left = f"{status.stopping} of {status.matched} tasks have not ended"
    frozen = f"{status.frozen} of {status.matched} tasks are frozen"
    lifted = "All tasks have ended, and others may start" if status.started_at else "Nothing is frozen by it any more"
    word = {
        OrderPhase.PENDING: Reason("Pending", "The order was not accepted yet"),
        OrderPhase.FREEZING: Reason("Freezing", f"{frozen}, and not all of the others are known to do nothing"),
        OrderPhase.FROZEN: Reason("Frozen", f"{frozen}, the others do nothing, and nothing that matches starts"),
        OrderPhase.THAWING: Reason("Thawing", f"{status.matched} tasks do not go on yet"),
        OrderPhase.STOPPING: Reason("Stopping", left),
        OrderPhase.HOLDING: Reason("Holding", "All tasks have ended, and nothing that matches starts"),
        OrderPhase.COMPLETE: Reason("Complete", "All tasks have ended"),
        OrderPhase.LIFTED: Reason("Lifted", lifted),
        OrderPhase.DRILLED: Reason("Drilled", "Nothing was stopped; see status.drill"),
    }[status.phase]
    busy = status.phase in _UNDER_WAY
    stalled = Reason(
        "TasksStalled",
        f"The {_UNDER_WAY.get(status.phase)} of {status.stalled_count} tasks is held up; see status.stalled",
    )
    held_up = busy and status.stalled_count > 0
    wanted: list[tuple[ConditionType, bool | str, Reason]] = [
        (ConditionType.READY, not busy, word),
        (ConditionType.RECONCILING, busy and not held_up, word),
        (ConditionType.STALLED, held_up, stalled if held_up else word),
    ]
    return dated(wanted, previous, now)


def conditions(
    phase: Phase,
    word: Reason,
    stalled: Reason | None,
    previous: Sequence[Condition],
    now: datetime,
    *,
    waits: Reason | None = None,
    busy: bool = False,
    elsewhere: Reason | None = None,
    goes_on: bool = True,
    tether: tuple[bool | str, Reason] | None = None,
) -> tuple[Condition, ...]:
    """Return the conditions of a task in this phase.

    `stalled` names what holds it up, if anything does, and `waits` what comes first where nothing does; `busy` says
    that work is under way in a phase that is settled otherwise; `elsewhere` names another controller of the workload,
    and `goes_on` says whether that makes others of its kind by itself; `tether` says whether its Lease is renewed. A
    condition keeps its transition time for as long as its status stays the same.
    """
    done = phase in {Phase.RUNNING, Phase.PAUSED, Phase.STOPPED, Phase.COMPLETED} and not busy
    failed = phase is Phase.FAILED
    wanted: list[tuple[ConditionType, bool | str, Reason]] = [
        (ConditionType.READY, done and stalled is None, word if stalled is None else stalled),
        (ConditionType.RECONCILING, not done and not failed and stalled is None, waits or word),
        (ConditionType.STALLED, failed or stalled is not None, stalled or word),
    ]
    if phase in {Phase.STOPPING, Phase.STOPPED}:
        wanted.append((ConditionType.STOPPED, phase is Phase.STOPPED, word if stalled is None else stalled))
    if elsewhere is not None:
        wanted.append((ConditionType.CONTROLLED_ELSEWHERE, goes_on, elsewhere))
    if tether is not None:
        wanted.append((ConditionType.TETHERED, *tether))
    return dated(wanted, previous, now)


def with_accepted(own: Sequence[Condition], accepted: Sequence[Condition]) -> tuple[Condition, ...]:
    """Return a status's own conditions, but for those that stay as they were in the status of an accepted stop."""
    return (
        *(each for each in own if each.type not in AT_ACCEPTANCE),
        *(each for each in accepted if each.type in AT_ACCEPTANCE),
    )


def dated(
    wanted: Sequence[tuple[ConditionType, bool | str, Reason]], previous: Sequence[Condition], now: datetime
) -> tuple[Condition, ...]:
    """Return conditions, each with since when its status is as it is."""
    since = {(condition.type, condition.status): condition.last_transition_time for condition in previous}
    return tuple(
        Condition(
            type=kind,
            status=str(holds),
            reason=text.reason,
            message=text.message,
            last_transition_time=since.get((kind, str(holds)), now),
        )
        for kind, holds, text in wanted
    )
