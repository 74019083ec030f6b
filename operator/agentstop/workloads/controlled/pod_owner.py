"""What makes the pods of a workload, and what is proven of it together with them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from agentstop.api.task import Phase, StopStatus
from agentstop.lifecycle.conditions import was_unreachable
from agentstop.lifecycle.decision import MARGIN
from agentstop.lifecycle.observation import Ending, KeptPod, Proof, Reason, Task
from agentstop.workloads.controlled.membership import controller_ref, owned_pods_of
from agentstop.workloads.controlled.owned_pods import STRENGTH, OwnedPods, unlooked
from agentstop.workloads.controlled.record import OwnerRecord
from agentstop.workloads.controlled.roster import known_pods
from agentstop.workloads.objects import CacheEntry, Lister, ObjectRef, PodGroup, PodsOf
from agentstop.workloads.pods.kept import kept_pod
from agentstop.workloads.pods.proof import Finding
from agentstop.workloads.pods.record import Controller, PodRecord

SETTLING: Final = timedelta(seconds=2)
"""How long after the halt of a workload whose pods were just being made its controller may still make one, because it
has not heard of the halt yet."""

RECENT: Final = timedelta(seconds=5)
"""Pods that were taken by a node so shortly before the halt count as just being made."""

NO_GROUP: Final = PodGroup()

STARTED_AGAIN: Final = "StartedAgain"


@dataclass(frozen=True, slots=True)
class PodOwner:
    """One object that makes pods for the workload, with its pods."""

    ref: ObjectRef
    entry: CacheEntry
    owner: OwnerRecord
    members: OwnedPods
    group: PodGroup
    pods: PodsOf | None

    @property
    def gone(self) -> bool:
        """Whether the object itself is gone, so that it makes nothing any more."""
        return self.entry.absent

    @property
    def halted(self) -> bool:
        """Whether it is asked for no pods."""
        return self.gone or self.owner.halted

    @property
    def hidden(self) -> int:
        """How many pods its controller counts where none was ever seen: they may have lost their labels."""
        return self.owner.running if self.members.empty and not self.gone else 0

    @property
    def quiet(self) -> bool:
        """Whether its controller has done as it was asked, and no pod that is known or counted may be left."""
        return self.halted and (self.gone or self.owner.settled) and not self.members.live and not self.hidden

    @property
    def accounted_for(self) -> bool:
        """Whether it is gone, and all pods that it left behind are known."""
        looked_for = not self.members.strangers and not any(unlooked(self.members, self.group))
        return self.gone and looked_for and self.listed_since(self.entry.at)

    @property
    def over(self) -> bool:
        """Whether the end that its controller reports is one for good: not that of a pod which is replaced."""
        stand = (each.pod for each in self.members.seen if not each.entry.absent)
        return not self.owner.remakes or any(pod.ended and not pod.ended_on_request for pod in stand)

    def listed_since(self, moment: datetime) -> bool:
        """Whether its pods were listed live after this moment."""
        return self.pods is None or (self.group.listed_at is not None and self.group.listed_at >= moment)

    def certain_from(self) -> datetime:
        """Return the moment from which a list of its pods is complete: nobody makes another one any more."""
        told_at = self.entry.signaled_at or self.owner.marked_at
        known_at = self.entry.version_at or self.entry.at  # in this version it has made none since
        if told_at is None:
            return known_at
        taken = [each.pod.taken_at for each in self.members.seen if each.outlived(told_at)]
        young = not taken or any(at is None or at + RECENT >= told_at for at in taken)
        # What its controller says may be of an earlier halt, of which this one is only the repetition.
        said_at = self.owner.settled_at
        old = said_at is not None and said_at < told_at.replace(microsecond=0)
        return max(known_at, told_at + SETTLING) if young or old else known_at


def part_of(
    task: Task,
    ref: ObjectRef,
    entry: CacheEntry,
    owner: OwnerRecord,
    lister: Lister,
    *,
    elsewhere: Collection[str] = (),
) -> PodOwner:
    """Return an object that makes pods, with what is known of them; `elsewhere` are UIDs of other parts' pods."""
    pods = pods_of(task, ref, owner)
    group = lister.groups.get(pods, NO_GROUP) if pods is not None else NO_GROUP
    known = task.status.workload
    listed = [each for each in known_pods(known) if each.uid not in elsewhere]
    by_label = pods is not None and owner.uid in pods.selector
    members = owned_pods_of(owner.uid, ref.namespace, group, listed, lister, by_label=by_label)
    return PodOwner(ref, entry, owner, members, group, pods)


def pods_of(task: Task, ref: ObjectRef, owner: OwnerRecord) -> PodsOf | None:
    """Return what finds the pods of an object: what it says itself, or else what is on record of it."""
    known = task.status.workload
    selector = owner.selector or (known.selector if known is not None else None)
    return PodsOf(ref.namespace, selector) if selector else None


def former(uid: str, entry: CacheEntry) -> tuple[CacheEntry, OwnerRecord]:
    """Return what is known of an object that is gone, or whose name another one has."""
    owner = OwnerRecord(uid=uid, resource_version="", generation=0, controller=None)
    return CacheEntry(seen=owner, absent=True, at=entry.since or entry.at), owner


def orphaned_controllers(part: PodOwner, lister: Lister) -> dict[ObjectRef, str]:
    """Return the controllers, with their UIDs, that an object which is gone has left behind: they still make its pods.

    Source: https://kubernetes.io/docs/tasks/administer-cluster/use-cascading-deletion/#set-orphan-deletion-policy
    """
    if not part.gone:
        return {}
    found = (_heir_of(each.pod, part.owner.uid, lister) for each in part.members.seen if each.certain)
    return {controller_ref(each, part.ref.namespace): each.uid for each in found if each is not None}


def _heir_of(pod: PodRecord, uid: str, lister: Lister) -> Controller | None:
    """Return the controller of a pod if it was under the one with this UID, or may have been and is not known yet.

    One that has another controller by now is not: whoever made that one has taken it over.
    """
    controller = pod.controller
    if controller is None or controller.uid == uid:
        return None
    entry = lister.entries.get(controller_ref(controller, pod.namespace))
    if entry is None:
        return controller
    owner = entry.seen
    if entry.absent or not isinstance(owner, OwnerRecord) or owner.uid != controller.uid:
        return None
    return controller if owner.controller is None or owner.controller.uid == uid else None


def finding(parts: Iterable[PodOwner], task: Task, lister: Lister, now: datetime) -> Finding:
    """Say what is proven about the processes of all pods of all parts, or what keeps it from being proven."""
    proofs: list[Proof | None] = []
    unreachable = was_unreachable(task, now)
    for part in parts:
        proof, blocked = part.members.finding(part.group, task.status.stop, lister, now, unreachable=unreachable)
        blocked = blocked or (part.owner.unsettled if _is_final(part.owner.unsettled) and part.halted else None)
        if blocked is not None:
            return None, blocked
        if part.pods is None and not part.gone:
            name = f"{part.ref.kind} {part.ref.name}"
            return None, Reason("PodsUnknown", f"{name} says no label selector in its scale, so its pods are not known")
        if proof is None and not part.members.empty:
            return None, None
        if not part.quiet or part.certain_from() > now or not part.listed_since(part.certain_from()):
            return None, None
        proofs.append(proof)
    found = [proof for proof in proofs if proof is not None]
    return (min(found, key=STRENGTH.index) if found else _proof_without_pods(task)), None


def kept_pods(parts: Collection[PodOwner]) -> tuple[KeptPod, ...] | None:
    """Return what is left of the pods of all parts; None where they were not listed."""
    if any(part.pods is not None and part.group.listed_at is None for part in parts):
        return None
    members = (each for part in parts for each in part.members.seen if each.certain)
    found = filter(None, (kept_pod(each.pod, each.entry) for each in members))
    return tuple(sorted(found, key=lambda each: each.name))


def _proof_without_pods(task: Task) -> Proof:
    """Return what is proven where no pod was ever seen: those that its controller had counted may have run."""
    if task.status.started_at is not None:
        return Proof.ENDED
    known = task.status.workload
    return Proof.GONE if known is not None and known.pod_count else Proof.NEVER_STARTED


def of_the_stop(members: OwnedPods, stop: StopStatus | None) -> OwnedPods:
    """Return the pods without those that were made after a stop, or had ended before: their time is not the stop's."""
    if stop is None or stop.signaled_at is None:
        return replace(members, seen=members.live)
    since, told_at = stop.signaled_at + SETTLING, stop.accepted_at
    of_it = (each for each in members.seen if each.outlived(told_at) and not each.made_since(since))
    return replace(members, seen=tuple(of_it))


def started_again(task: Task, parts: Iterable[PodOwner]) -> Reason | None:
    """Say so where pods were made after the stop: somebody undoes it for as long as it goes on, as queues of Jobs do.

    Source: https://github.com/kubernetes-sigs/kueue/issues/6915
    """
    stop = task.status.stop
    if stop is None or stop.signaled_at is None:
        return None
    for part in parts:
        if any(each.made_since(stop.signaled_at + MARGIN) for each in part.members.seen):
            name = f"{part.ref.kind} {part.ref.name}"
            message = (
                f"{name} is started again while it is being stopped; stop what does that too: a queue such as Kueue, a"
                " GitOps tool, an autoscaler, or what made it"
            )
            return Reason(STARTED_AGAIN, message)
    return None


def signaled_at(part: PodOwner) -> datetime | None:
    """Return when the change that ends its pods was accepted, as far as anybody can tell."""
    if not part.halted:
        return None
    return part.entry.signaled_at or part.owner.marked_at or part.members.asked_to_go_at or part.entry.at


def ending_of_parts(task: Task, parts: list[PodOwner], lister: Lister, now: datetime) -> Ending | None:
    """Return how the work ended by itself, or by somebody else's hand."""
    if not parts or any(part.members.live for part in parts):
        return None
    unreachable = was_unreachable(task, now)
    if any(part.members.may_live_on(part.group, lister, now, unreachable=unreachable) for part in parts):
        return None
    gone = all(part.gone for part in parts)
    if gone and not all(part.accounted_for for part in parts):
        return None
    # A Job that has ended may be tidied up at once (ttlSecondsAfterFinished), and is not lost by that.
    if gone and not all(part.owner.ending is not None and part.over for part in parts):
        name = f"{parts[0].ref.kind} {parts[0].ref.name}"
        word = Reason("WorkloadLost", f"{name} was deleted by somebody else before it ended")
        return Ending(succeeded=False, word=word, at=None)
    endings = [part.owner.ending for part in parts]
    ending = endings[0]
    if ending is None or None in endings or not all(part.over for part in parts):
        return None
    marked = [part.entry.signaled_at or part.owner.marked_at for part in parts]
    paused = task.to_be_paused or task.status.phase in {Phase.PAUSING, Phase.PAUSED}
    told_at = next((moment for moment in marked if moment is not None), None)
    by_stop = told_at is not None and not paused and (ending.at is None or ending.at >= told_at.replace(microsecond=0))
    return Ending(ending.succeeded, ending.word, ending.at, by_stop=by_stop)


def _is_final(word: Reason | None) -> bool:
    return word is not None and word.reason == "PodNotOwned"
