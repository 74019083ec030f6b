"""Tasks and orders in every state that they can be in, with the conditions that the operator gives them."""

from datetime import UTC, datetime
from typing import Any

from agentstop.api.crd import UNSEEN
from agentstop.api.order import OrderPhase, OrderStatus
from agentstop.api.task import AgentTaskStatus, Phase
from agentstop.lifecycle.conditions import conditions, order_conditions
from agentstop.lifecycle.observation import Reason
from tests.support.kube import Object

NOW = datetime(2026, 11, 21, 9, 44, 34, tzinfo=UTC)
BLOCKER = Reason("NodeUnreachable", "node worker-1 does not answer")


def _whole(kind: str, status: Any, **metadata: Any) -> Object:
    whole = {"name": "research-42", "namespace": "agents", "generation": 2, **metadata}
    return {"apiVersion": "agentstop.dev/v1alpha1", "kind": kind, "metadata": whole, "spec": {}, "status": status}


def _task(phase: Phase, *, held_up: bool = False, busy: bool = False, observed: int = 2, **metadata: Any) -> Object:
    word = Reason(str(phase), f"it is {phase}")
    stalled = BLOCKER if held_up else None
    status = AgentTaskStatus(
        observed_generation=observed,
        phase=phase,
        reason=word.reason,
        message=word.message,
        conditions=conditions(phase, word, stalled, (), NOW, busy=busy),
    )
    return _whole("AgentTask", status.wire(), **metadata)


def _order(phase: OrderPhase, stalled: int = 0) -> Object:
    status = OrderStatus(observed_generation=2, phase=phase, matched=3, stopping=stalled, stalled_count=stalled)
    status = status.but(conditions=order_conditions(status, (), NOW))
    return _whole("StopOrder", status.wire())


TASKS = {
    "not looked at yet": _whole("AgentTask", dict(UNSEEN), generation=1),
    "changed, and not looked at since": _task(Phase.RUNNING, observed=1),
    **{f"`{phase}`": _task(phase) for phase in Phase},
    "`Paused`, coming back or thawing": _task(Phase.PAUSED, busy=True),
    "`Stopping`, held up": _task(Phase.STOPPING, held_up=True),
    "`Running`, held up": _task(Phase.RUNNING, held_up=True),
    "being deleted": _task(Phase.RUNNING, deletionTimestamp="2026-11-21T09:44:34Z"),
}

ORDERS = {
    **{f"`{phase}`": _order(phase) for phase in OrderPhase},
    "`Stopping`, tasks held up": _order(OrderPhase.STOPPING, stalled=2),
}
