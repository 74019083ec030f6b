"""What holds up the end of pods that a controller makes, where nobody refused anything: in words, with what to do."""

from collections.abc import Iterable

from agentstop.lifecycle.observation import Reason
from agentstop.workloads.controlled.pod_owner import PodOwner
from agentstop.workloads.objects import ObjectRef


def pods_unknown(ref: ObjectRef, count: int) -> Reason:
    """Return what is said of so many pods that are neither on record nor found."""
    message = (
        f"{count} pods of {ref.kind} {ref.name} are not on record, since there were too many, and were not found again:"
        " they may have lost their labels; look for them among the pods of the namespace, and end them"
    )
    return Reason("PodsUnknown", message)


def controller_idle(parts: Iterable[PodOwner], deed: str) -> Reason | None:
    """Say whose controller does not act, where that is what holds up the end; `deed` is what was done to its object."""
    for part in parts:
        if part.gone:
            continue  # nobody but us ends its pods
        if part.owner.settled and part.hidden:
            return _pods_hidden(part)
        left = [each for each in part.members.live if each.pod.deletion_at is None]
        if not left and (part.owner.settled or part.members.live):
            continue
        if part.owner.unsettled is not None:
            return part.owner.unsettled
        who = part.owner.manager or "its controller"
        message = f"{part.ref.kind} {part.ref.name} was {deed}, but {who} has not ended its pods; see whether that runs"
        return Reason("ControllerNotActing", message)
    return None


def _pods_hidden(part: PodOwner) -> Reason:
    message = (
        f"{part.ref.kind} {part.ref.name} counts {part.hidden} pods that have not ended, and none is found by its"
        " labels; look for them among the pods of the namespace, and end them"
    )
    return Reason("PodsUnknown", message)
