"""What the API server does not let us do about a workload and its pods."""

from datetime import datetime
from typing import Final

from agentstop.api.workload_status import WorkloadStatus
from agentstop.lifecycle.observation import Observation, Presence, Reason
from agentstop.workloads.controlled.pod_owner import PodOwner
from agentstop.workloads.objects import Lister, ObjectRef, WatchTarget
from agentstop.workloads.pods.termination import too_large
from agentstop.workloads.requests import Delete, FindPods, Get, ListPods, Patch

NOT_SERVED: Final = "KindNotServed"
NO_SCALE: Final = "NoScale"
"""Reasons of refusals that the gateway gives for kinds, rather than the API server for objects."""


def forbidden(target: ObjectRef, parts: list[PodOwner], lister: Lister, now: datetime) -> Reason | None:
    """Say so where the API server does not let us read or change what has to be."""
    refs = [part.ref for part in parts] or [target]
    tried: list[tuple[WatchTarget, str]] = [(ref, Patch.verb) for ref in refs]
    for part in parts:
        tried += [(ref, Get.verb) for ref in part.members.strangers]
        verbs = (ListPods.verb, FindPods.verb) if part.pods is not None else ()
        tried += [(part.pods, verb) for verb in verbs if part.pods is not None]
        tried += [(each.ref, Delete.verb) for each in part.members.live]
    rejections = (lister.rejection(watch, verb, now) for watch, verb in tried)
    words = [each.message for each in rejections if each is not None]
    words += [right.word for right in map(lister.right, refs) if right is not None and right.word is not None]
    return Reason("StopForbidden", words[0]) if words else None


def parts_too_large(parts: list[PodOwner], lister: Lister, now: datetime) -> Reason | None:
    """Say so where the workload, or one of its pods, is too large to be changed."""
    for part in parts:
        rejection = lister.too_large(part.ref, now) if not part.halted else None
        if rejection is not None:
            name = f"{part.ref.kind} {part.ref.name}"
            message = (
                f"{name} is so large that it cannot be changed ({rejection.message}); take off what makes it large"
            )
            return Reason("WorkloadTooLarge", message)
    words = (too_large(each.pod, lister, now) for part in parts for each in part.members.live)
    return next((word for word in words if word is not None), None)


def unread(ref: ObjectRef, known: WorkloadStatus | None, lister: Lister, now: datetime) -> Observation:
    """The workload could not be read: its kind is not there, or not one that can be stopped, or we may not."""
    rejection = lister.rejection(ref, Get.verb, now)
    if rejection is None:
        return Observation(presence=Presence.UNKNOWN)
    if known is not None:
        return Observation(
            presence=Presence.PRESENT, workload=known, blocked=Reason("StopForbidden", rejection.message)
        )
    if rejection.reason == NOT_SERVED:
        return Observation(presence=Presence.ABSENT, waiting=Reason(NOT_SERVED, rejection.message))
    if rejection.reason == NO_SCALE:
        return Observation(presence=Presence.ABSENT, refused=Reason("UnsupportedWorkload", rejection.message))
    return Observation(presence=Presence.UNKNOWN, blocked=Reason("StopForbidden", rejection.message))
