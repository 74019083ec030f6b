"""What a stop leaves behind: pods that are kept, and what their tokens are still good for."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from agentstop.api.task import MAX_REMAINS, AgentTaskStatus, Phase, PodPolicy, Remains, RemainsKind
from agentstop.lifecycle.decision import DecisionInput
from agentstop.lifecycle.observation import KeptPod

LEEWAY: Final = timedelta(minutes=1)
"""How long after the deletion timestamp of its pod a token is accepted at most, should the pod not be gone before.

Source: https://github.com/kubernetes/kubernetes/blob/v1.36.2/pkg/serviceaccount/claims.go (invalidIfDeletedBefore)
"""


def told(case: DecisionInput, status: AgentTaskStatus) -> AgentTaskStatus:
    """Return the status of a task that is stopped with what its stop leaves behind, as far as that is known."""
    stop = status.stop
    if status.phase is not Phase.STOPPED or stop is None or stop.confirmed_at is None:
        return status
    if case.phase is Phase.STOPPED and (case.task.deleting or case.task.gone):
        return status  # nobody reads it any more
    kept = case.seen.kept
    found = stop.remains or () if kept is None else _of_all(case, kept, stop.confirmed_at)
    left = tuple(each for each in found if each.until is None or each.until > case.now)[:MAX_REMAINS] or None
    return status if left == stop.remains else status.but(stop=stop.but(remains=left))


def pod_is_to_go(case: DecisionInput) -> bool:
    """Whether the operator is to delete the pod once its end is on record, and has not done so yet."""
    seen = case.seen
    ours = case.pod_policy is PodPolicy.DELETE_AFTER_PROOF and seen.workload is not None and seen.workload.kind == "Pod"
    return ours and seen.proof is not None and any(each.goes_at is None for each in seen.kept or ())


def look_again_at(case: DecisionInput, status: AgentTaskStatus) -> datetime | None:
    """Return when something ends that is left behind."""
    left = status.stop.remains if status.stop is not None else None
    ends = (each.until for each in left or () if each.until is not None)
    return min((at for at in ends if at > case.now), default=None)


def _of_all(case: DecisionInput, kept: tuple[KeptPod, ...], confirmed_at: datetime) -> tuple[Remains, ...]:
    return tuple(each for pod in kept for each in _of(case, pod, confirmed_at))


def _of(case: DecisionInput, pod: KeptPod, confirmed_at: datetime) -> Iterator[Remains]:
    if pod.goes_at is None:
        own = " or of its task" if case.task.spec.pod_template is not None else ""
        who = " by the operator, which comes next" if pod_is_to_go(case) else own
        yield Remains(kind=RemainsKind.POD, name=pod.name, ended_by=f"deletion of the pod{who}")
    if pod.token_seconds is None:
        return
    # Its kubelet may have made the last one a moment before the end.
    until = confirmed_at + timedelta(seconds=pod.token_seconds)
    if pod.goes_at is not None:
        until = min(until, pod.goes_at + LEEWAY)
    token = RemainsKind.SERVICE_ACCOUNT_TOKEN
    ended_by = f"deletion of pod {pod.name}" + ("" if pod.goes_at is None else ", which is under way")
    yield Remains(kind=token, name=pod.account, pod=pod.name, until=until, ended_by=ended_by)
