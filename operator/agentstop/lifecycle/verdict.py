"""How a stop ended, by the evidence of its containers."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from agentstop.api.task import Verdict
from agentstop.api.workload_status import ContainerEnd, PodEvidence
from agentstop.lifecycle.observation import Proof

SIGKILL: Final = 9
SIGKILL_EXIT_CODE: Final = 128 + SIGKILL
SIGTERM_EXIT_CODE: Final = 128 + 15
OUT_OF_MEMORY: Final = "OOMKilled"
"""The runtime's word for every end of a container in which the kernel has killed any process for its memory before.

Source: https://github.com/kubernetes/kubernetes/issues/140716
"""

CLOCK_TOLERANCE: Final = timedelta(seconds=2)
"""A node's clock may be so far behind ours, and it reports whole seconds: an end within this time of the kill counts
as the kill, since calling a killed agent graceful is the worse mistake."""


def verdict_of(
    proof: Proof,
    pods: Iterable[PodEvidence],
    kill_at: datetime | None,
    now: datetime,
    latest_kill_at: datetime | None = None,
) -> Verdict:
    """Return the verdict on a stop that is proven by `proof` at `now`.

    SIGKILL came at `kill_at` or later, and not later than at `latest_kill_at`, where that is known.
    """
    match proof:
        case Proof.NODE_FENCED:
            return Verdict.NODE_FENCED
        case Proof.GONE:
            return Verdict.GONE
        case Proof.EMPTIED:
            return Verdict.KILLED
        case Proof.NEVER_STARTED:
            return Verdict.NOT_STARTED
        case Proof.ENDED:
            containers = [container for pod in pods for container in pod.containers]
            if any(killed(container, kill_at, now, latest_kill_at) for container in containers):
                return Verdict.KILLED
            return Verdict.GRACEFUL


def killed(
    container: ContainerEnd, kill_at: datetime | None, now: datetime, latest_kill_at: datetime | None = None
) -> bool:
    """Whether SIGKILL ended this container when its grace period ran out.

    Not so if its end was seen while the grace period was still running (our own clock alone), or if the node says that
    it ended well before. That it ran out of memory counts until the grace period is over for certain: the runtime says
    so as well of a container that was killed later.
    """
    if container.signal != SIGKILL and container.exit_code != SIGKILL_EXIT_CODE:
        return False
    if kill_at is None or now < kill_at:
        return False
    ended_at = container.finished_at
    if container.reason == OUT_OF_MEMORY:
        if latest_kill_at is None or now < latest_kill_at or ended_at is None:
            return False
        return ended_at >= latest_kill_at.replace(microsecond=0)
    return ended_at is None or ended_at >= kill_at - CLOCK_TOLERANCE
