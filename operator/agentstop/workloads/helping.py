"""What a workload's controller does not do by itself when it is halted."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from agentstop.lifecycle.decision import MARGIN
from agentstop.lifecycle.effects import Halt
from agentstop.workloads.halting import SHORTEST_GRACE_SECONDS, deletion, lightened_first
from agentstop.workloads.members import Member, stuck
from agentstop.workloads.objects import Surroundings
from agentstop.workloads.parts import Part, signaled_at
from agentstop.workloads.requests import Delete, Lighten

HELP_AFTER: Final = timedelta(seconds=2)
"""So long a controller has time to begin with a pod: some end one after the other, and some are not there at all."""


def help_to_end(part: Part, halt: Halt, around: Surroundings, now: datetime) -> Iterator[Delete | Lighten]:
    """Yield the deletions that it takes where nobody else ends a pod, or not soon enough.

    Each of them is of a pod that stays away once it is gone, since what makes it was halted before.
    """
    due = help_due(part)
    for each in filter(lambda member: member.certain, part.members.live):
        wanted = next(_help_one(each, halt, now, alone=due is not None and due <= now), None)
        request = lightened_first(each.ref, each.pod, wanted, around, now, part.pods.selector if part.pods else "")
        if isinstance(request, Delete | Lighten):
            yield request


def before_its_controller(part: Part, halt: Halt) -> Iterator[Delete]:
    """Yield the deletions that go out with the halt itself, where the stop asks for less than the pods' own time.

    A node does not shorten a grace period that runs: it has to hear of the shorter one before the controller's own.
    """
    asked = halt.grace_seconds
    for each in part.members.live:
        if asked is not None and asked < each.pod.grace_seconds and each.certain and each.pod.deletion_at is None:
            yield deletion(each.ref, each.pod, asked)


def help_due(part: Part) -> datetime | None:
    """Return when pods are ended that their controller has left alone until then; None where there are none."""
    told_at = signaled_at(part)
    if told_at is None or all(each.pod.deletion_at is not None for each in part.members.live):
        return None
    several = part.owner.unsettled is not None and part.owner.unsettled.reason == "MultiplePods"
    return told_at if part.gone or several else told_at + HELP_AFTER


def _help_one(member: Member, halt: Halt, now: datetime, *, alone: bool) -> Iterator[Delete]:
    pod, asked = member.pod, halt.grace_seconds
    sooner = asked is not None and asked < pod.grace_seconds
    if pod.deletion_at is None:
        if alone or sooner:
            grace = asked if sooner else (None if pod.grace_seconds else SHORTEST_GRACE_SECONDS)
            yield deletion(member.ref, pod, grace)
        return
    shorter = asked is not None and asked < pod.deletion_grace_seconds
    kill_at = halt.kill_at
    if stuck(pod, now, MARGIN) or (
        shorter and kill_at is not None and kill_at + timedelta(seconds=1) < pod.deletion_at
    ):
        left = (kill_at - now).total_seconds() if kill_at is not None else 0
        yield Delete(member.ref, pod.uid, max(SHORTEST_GRACE_SECONDS, int(left)))
