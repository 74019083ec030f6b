"""How a stop ended, by the evidence of its containers."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from agentstop.api.task import ContainerEnd, PodEvidence, Verdict
from agentstop.lifecycle.seen import Proof

SIGKILL: Final = 9
SIGKILL_EXIT_CODE: Final = 128 + SIGKILL
OUT_OF_MEMORY: Final = "OOMKilled"

CLOCK_TOLERANCE: Final = timedelta(seconds=2)
"""A node's clock may be so far behind ours, and it reports whole seconds: an end within this time of the kill counts
as the kill, since calling a killed agent graceful is the worse mistake."""


def verdict_of(proof: Proof, pods: Iterable[PodEvidence], kill_at: datetime | None, now: datetime) -> Verdict:
    """Return the verdict on a stop that is proven by `proof` at `now`."""
    match proof:
        case Proof.NODE_FENCED:
            return Verdict.NODE_FENCED
        case Proof.GONE:
            return Verdict.GONE
        case Proof.NEVER_STARTED:
            return Verdict.NOT_STARTED
        case Proof.ENDED:
            containers = [container for pod in pods for container in pod.containers]
            if any(killed(container, kill_at, now) for container in containers):
                return Verdict.KILLED
            return Verdict.GRACEFUL


def killed(container: ContainerEnd, kill_at: datetime | None, now: datetime) -> bool:
    """Whether SIGKILL ended this container when its grace period ran out.

    Not so if it ran out of memory, if its end was seen while the grace period was still running (our own clock alone),
    or if the node says that it ended well before.
    """
    if container.signal != SIGKILL and container.exit_code != SIGKILL_EXIT_CODE:
        return False
    if container.reason == OUT_OF_MEMORY or kill_at is None or now < kill_at:
        return False
    return container.finished_at is None or container.finished_at >= kill_at - CLOCK_TOLERANCE
