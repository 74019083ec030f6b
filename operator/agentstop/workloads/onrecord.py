"""What is on record of a pod that is not seen any more."""

from datetime import timedelta

from agentstop.api.task import PodEvidence
from agentstop.workloads.manners import DEFAULT_GRACE_SECONDS
from agentstop.workloads.podseen import ENDED_PHASES


def has_ended(evidence: PodEvidence) -> bool:
    """Whether what is on record of a pod says that no process of it is left."""
    running = any(each.started_at is not None and each.finished_at is None for each in evidence.containers)
    return evidence.phase in ENDED_PHASES and not running


def unstarted(evidence: PodEvidence) -> str | None:
    """Return a container that was not started yet by what is on record of a pod, if there is one."""
    if evidence.phase in ENDED_PHASES:
        return None
    return next((each.name for each in evidence.containers if each.started_at is None), None)


def grace_on_record(evidence: PodEvidence | None) -> timedelta:
    """Return the grace period of a pod that was not seen going: Kubernetes' default, if none is on record."""
    known = evidence.grace_period_seconds if evidence is not None else None
    return timedelta(seconds=known or DEFAULT_GRACE_SECONDS)
