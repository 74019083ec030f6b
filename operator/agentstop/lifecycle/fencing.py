"""Whose tokens the API server is to refuse: from when on, and for how long."""

from agentstop.api.task import AgentTaskStatus, FencePolicy, Phase
from agentstop.lifecycle.decision import DecisionInput
from agentstop.lifecycle.record import latest_kill


def fenced(case: DecisionInput, status: AgentTaskStatus) -> frozenset[str] | None:
    """Return the UIDs of the pods of a task whose tokens may write nothing any more.

    None where it is not known which pods there are: what was said before stands then. A pod that is gone needs no
    fence, since its tokens go with it.
    """
    stop, policy = status.stop, case.request.fence
    if stop is None or policy is FencePolicy.NEVER:
        return frozenset()
    if policy is FencePolicy.AFTER_GRACE and status.phase is not Phase.STOPPED and case.now < latest_kill(case, stop):
        return frozenset()
    kept = case.seen.kept
    if kept is None:
        left = status.phase is not Phase.STOPPED or stop.remains
        return None if left else frozenset()
    return frozenset(each.uid for each in kept)
