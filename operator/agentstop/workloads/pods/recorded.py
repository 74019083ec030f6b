"""What a task's status says of a pod that may not be there any more."""

from datetime import timedelta

from agentstop.api.workload_status import PodEvidence
from agentstop.lifecycle.observation import Proof
from agentstop.words.graces import DEFAULT_GRACE_SECONDS, MIN_KUBELET_SECONDS
from agentstop.workloads.pods.record import ENDED_PHASES, RUNNING_PHASE


def has_ended(evidence: PodEvidence) -> bool:
    """Whether what is on record of a pod says that no process of it is left."""
    running = any(each.started_at is not None and each.finished_at is None for each in evidence.containers)
    return evidence.phase in ENDED_PHASES and not running


def end_on_record(evidence: PodEvidence) -> Proof:
    """Return what is proven by what is on record of a pod that has ended."""
    told = ((each.started_at, each.finished_at, each.exit_code) for each in evidence.containers)
    ran = any(any(fact is not None for fact in each) for each in told)
    return Proof.ENDED if ran else Proof.NEVER_STARTED


def grace_on_record(evidence: PodEvidence) -> timedelta:
    """Return the longest grace period that may run for a pod of which no more is known than what is on record."""
    seconds = evidence.grace_period_seconds
    return timedelta(seconds=max(DEFAULT_GRACE_SECONDS if seconds is None else seconds, MIN_KUBELET_SECONDS))


def may_be_starting(evidence: PodEvidence) -> str | None:
    """Return what a kubelet may be starting by what is on record of a pod that went unseen, in words, if anything.

    Of a pod without containers on record its node had reported nothing yet, so that it may have been starting any of
    them; or it is one that has no room there, of which it is known whether they all had been started.
    """
    if evidence.phase in ENDED_PHASES:
        return None
    if not evidence.containers:
        return "its containers" if evidence.phase != RUNNING_PHASE else None
    unstarted = next((f"container {each.name}" for each in evidence.containers if each.started_at is None), None)
    return unstarted or ("its containers" if evidence.restarts_slowly else None)
