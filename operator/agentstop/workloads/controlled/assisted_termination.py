"""What a workload's controller does not do by itself when it is halted."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from agentstop.lifecycle.decision import MARGIN
from agentstop.lifecycle.effects import Terminate
from agentstop.workloads.controlled.owned_pod import OwnedPod
from agentstop.workloads.controlled.owned_pods import stuck
from agentstop.workloads.controlled.pod_owner import PodOwner, signaled_at
from agentstop.workloads.lightening import JOB_TRACKING
from agentstop.workloads.objects import Lister
from agentstop.workloads.pods.termination import MIN_GRACE_SECONDS, deletion, lightened_first
from agentstop.workloads.requests import Delete, Lighten, Meaning, Patch

HELP_AFTER: Final = timedelta(seconds=2)
"""So long a controller has time to begin with a pod: some end one after the other, and some are not there at all."""

UNTRACK_FIRST: Final = timedelta(seconds=1)
"""So long the halt of a Job may wait until its pods are not counted any more, where a stop gives them less time than
they have of their own: the deletion has to come before the controller's. Nothing holds a halt up for longer."""


def help_to_end(part: PodOwner, halt: Terminate, lister: Lister, now: datetime) -> Iterator[Patch | Delete | Lighten]:
    """Yield the requests that it takes where nobody else ends a pod, or not soon enough.

    Each pod stays away once it is gone, since what makes it was halted before. For a pause a controller that is late is
    waited for, however long: whatever it has not done itself it may take for the end of the work. A pod that it has let
    go of it neither ends nor counts.
    """
    due = _nobody_else(part) if halt.pause else help_due(part)
    for each in filter(lambda member: member.certain, part.members.live):
        due_now = due or (_let_go_after(part) if each.pod.let_go or each.pod.controller is None else None)
        wanted = next(_help_one(each, halt, lister, now, alone=due_now is not None and due_now <= now), None)
        keep = part.pods.selector if part.pods else ""
        request = lightened_first(each.ref, each.pod, wanted, lister, now, keep)
        if request is not None:
            yield request


def before_its_controller(part: PodOwner, halt: Terminate, lister: Lister, now: datetime) -> Iterator[Patch | Delete]:
    """Yield what goes out with the halt itself, where the stop asks for less than the pods' own time.

    A node does not shorten a grace period that runs: it has to hear of the shorter one before the controller's own.
    """
    asked = halt.grace_seconds
    for each in part.members.live:
        if asked is not None and asked < each.pod.grace_seconds and each.certain and each.pod.deletion_at is None:
            yield _removal(each, asked, lister, now)


def help_due(part: PodOwner) -> datetime | None:
    """Return when pods are ended that their controller has left alone until then; None where there are none."""
    told_at = signaled_at(part)
    if told_at is None or all(each.pod.deletion_at is not None for each in part.members.live):
        return None
    return _nobody_else(part) or told_at + HELP_AFTER


def _let_go_after(part: PodOwner) -> datetime | None:
    """Return until when a controller may take back a pod that has none, and end it itself."""
    told_at = signaled_at(part)
    return told_at + HELP_AFTER if told_at is not None else None


def _nobody_else(part: PodOwner) -> datetime | None:
    """Return since when nobody but us ends the pods, if that is so."""
    several = part.owner.unsettled is not None and part.owner.unsettled.reason == "MultiplePods"
    return signaled_at(part) if part.gone or several else None


def _removal(member: OwnedPod, grace_seconds: int | None, lister: Lister, now: datetime) -> Patch | Delete:
    """Return what comes next in removing a pod: of a Job's, that its end is not counted.

    The Job controller takes a pod that somebody deletes for a failure, or for a success if it exits with 0: a Job that
    is only suspended would be over for good. It counts no pod without its finalizer.
    Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-tracking-with-finalizers
    """
    pod = member.pod
    if JOB_TRACKING in pod.finalizers and lister.rejection(member.ref, Patch.verb, now) is None:
        body = {"metadata": {"$deleteFromPrimitiveList/finalizers": [JOB_TRACKING]}}
        return Patch(member.ref, pod.uid, body, Meaning.UNTRACK)
    return deletion(member.ref, pod, grace_seconds)


def _help_one(
    member: OwnedPod, halt: Terminate, lister: Lister, now: datetime, *, alone: bool
) -> Iterator[Patch | Delete]:
    pod, asked = member.pod, halt.grace_seconds
    sooner = asked is not None and asked < pod.grace_seconds
    if pod.deletion_at is None:
        if alone or sooner:
            grace = asked if sooner else (None if pod.grace_seconds else MIN_GRACE_SECONDS)
            yield _removal(member, grace, lister, now)
        return
    shorter = asked is not None and asked < pod.deletion_grace_seconds
    kill_at = halt.kill_at
    if stuck(pod, now, MARGIN) or (
        shorter and kill_at is not None and kill_at + timedelta(seconds=1) < pod.deletion_at
    ):
        left = (kill_at - now).total_seconds() if kill_at is not None else 0
        yield Delete(member.ref, pod.uid, max(MIN_GRACE_SECONDS, int(left)))
