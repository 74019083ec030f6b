"""The pods of a workload that makes its own: what they prove together, and what is told of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from agentstop.api.task import StopStatus
from agentstop.api.workload_status import MAX_LISTED_PODS, PodEvidence
from agentstop.lifecycle.observation import Proof, Reason, Task
from agentstop.workloads.controlled.owned_pod import OwnedPod
from agentstop.workloads.controlled.roster import LeftPod
from agentstop.workloads.objects import CacheEntry, Lister, ObjectRef, PodGroup, PodOnNode, version_order
from agentstop.workloads.pods.controls import KILLED, ask_node
from agentstop.workloads.pods.departures import (
    being_started,
    may_have_changed,
    may_live_on,
    may_live_on_by_record,
    untraced,
)
from agentstop.workloads.pods.lateness import busy_reason, late_reason, look_again_at, next_look, went_unseen
from agentstop.workloads.pods.node_kills import report_due, unanswered
from agentstop.workloads.pods.node_looks import STALE, awaits_boot, look_at_node, node_in_question
from agentstop.workloads.pods.proof import Finding, proof_of, proof_on_record
from agentstop.workloads.pods.record import RUNNING_PHASE, UNKNOWN_PHASE, PodRecord
from agentstop.workloads.pods.recorded import end_on_record, grace_on_record, has_ended, may_be_starting
from agentstop.workloads.pods.termination import MIN_GRACE_SECONDS
from agentstop.workloads.requests import AskNode, Get

STRENGTH: Final = (Proof.NODE_FENCED, Proof.GONE, Proof.EMPTIED, Proof.ENDED, Proof.NEVER_STARTED)
"""Which proof speaks for all pods together: the first that holds for any of them."""


UNWATCHED: Final = timedelta(seconds=30)
"""How often a pod is read live that no watch shows."""


@dataclass(frozen=True, slots=True)
class OwnedPods:
    """The pods of a workload: those that are or were seen, and those that only the task's status knows of."""

    namespace: str
    seen: tuple[OwnedPod, ...]
    vanished: tuple[PodEvidence, ...]
    strangers: tuple[ObjectRef, ...]
    """Controllers that have to be read before it is known whether their pods are the workload's."""

    @property
    def empty(self) -> bool:
        """Whether no pod is or was there, as far as is known."""
        return not (self.seen or self.vanished or self.strangers)

    @property
    def live(self) -> tuple[OwnedPod, ...]:
        """The pods of which processes may be left."""
        return tuple(each for each in self.seen if each.live)

    @property
    def started_at(self) -> datetime | None:
        """When the first container of any of them was started."""
        return min((each.pod.started_at for each in self.seen if each.pod.started_at), default=None)

    @property
    def last_started_at(self) -> datetime | None:
        """When the first container was started of the one that was started last."""
        return max((each.pod.started_at for each in self.seen if each.pod.started_at), default=None)

    @property
    def active(self) -> bool:
        """Whether a container runs."""
        return any(each.pod.started_at is not None for each in self.live)

    @property
    def asked_to_go_at(self) -> datetime | None:
        """When the first of them was asked to go."""
        asked = (each.pod.deletion_requested_at for each in self.seen)
        return min((moment for moment in asked if moment is not None), default=None)

    @property
    def own_grace_seconds(self) -> int | None:
        """The longest grace period that any of them brings along, in seconds; None where there are none.

        What is gone without an end counts as well: its kubelet gives it that time.
        """
        return self._longest_grace(ended=False)

    @property
    def former_grace_seconds(self) -> int | None:
        """The same of those that have ended."""
        return self._longest_grace(ended=True)

    def _longest_grace(self, *, ended: bool) -> int | None:
        graces = [each.pod.grace_seconds for each in self.seen if each.pod.ended is ended]
        on_record = (each for each in self.vanished if has_ended(each) is ended)
        graces += [int(grace_on_record(each).total_seconds()) for each in on_record]
        return max(*graces, MIN_GRACE_SECONDS) if graces else None

    @property
    def killed_by(self) -> datetime | None:
        """When the last of them gets SIGKILL, or got it, once all of them are being ended."""
        if any(each.pod.killed_by is None for each in self.live):
            return None
        return max(filter(None, (each.pod.killed_by for each in self.seen)), default=None)

    @property
    def soonest_kill(self) -> datetime | None:
        """When SIGKILL could come to the first of them."""
        return min(filter(None, (each.pod.soonest_kill for each in self.seen)), default=None)

    @property
    def busy(self) -> Reason | None:
        """What the kubelet of the first of them does before it acts on what ends them."""
        return next(filter(None, (busy_reason(each.pod, each.entry) for each in self.seen)), None)

    def late(self, group: PodGroup, lister: Lister) -> Reason | None:
        """Say what the proof of the first of them waits for that has not ended."""
        words = [unanswered(each.pod.on_node, each.pod.name, lister) for each in self.seen]
        words += [unanswered(self._on_node(each), each.name or each.uid, lister) for each in self.vanished]
        words += [late_reason(each.pod, each.entry, lister) for each in self.seen]
        words += [went_unseen(each, due, lister) for each, due in self._went_unseen(group)]
        return next(filter(None, words), None)

    def look_again_at(self, group: PodGroup, lister: Lister, now: datetime) -> datetime | None:
        """Return when the node of one that went unseen, or with its node, may prove its end."""
        moments = [next_look(due, now) for _, due in self._went_unseen(group)]
        moments += [look_again_at(each.pod, each.entry, lister, now) for each in self.seen]
        moments += [report_due(each.pod.on_node, lister, now) for each in self.seen if not each.pod.ended]
        moments += [_read_due(each.pod, each.entry, suspect=False) for each in self.live]
        return min(filter(None, moments), default=None)

    def _went_unseen(self, group: PodGroup) -> Iterator[tuple[PodEvidence, datetime]]:
        """Yield those that were on record and are gone, and when what they ran is over if its node lives."""
        for each in self.vanished:
            entry = group.pods.get(each.uid)
            if entry is not None and entry.absent and not has_ended(each):
                yield each, entry.at + grace_on_record(each)

    def finding(
        self, group: PodGroup, stop: StopStatus | None, lister: Lister, now: datetime, *, unreachable: bool = False
    ) -> Finding:
        """Say what is proven about the processes of all of them; for `unreachable` see `proof_of`."""
        found = [
            proof_of(each.pod, each.entry, stop, lister, now, each.boot_id, known=each.known, unreachable=unreachable)
            for each in self.seen
        ]
        found += [of_vanished(each, group, stop, lister, now, unreachable=unreachable) for each in self.vanished]
        blocked = next((word for _, word in found if word is not None), None)
        proofs = {proof for proof, _ in found}
        if None in proofs or self.strangers:
            return None, blocked
        return next((proof for proof in STRENGTH if proof in proofs), None), blocked

    def may_live_on(self, group: PodGroup, lister: Lister, now: datetime, *, unreachable: bool) -> bool:
        """Whether processes may go on of one that is gone: what made them has not ended then, whatever it says."""
        found = [
            proof_of(each.pod, each.entry, None, lister, now, each.boot_id, known=each.known, unreachable=unreachable)
            for each in self.seen
            if each.certain and may_live_on(each.pod, each.entry, lister)
        ]
        found += [
            of_vanished(each, group, None, lister, now, unreachable=unreachable)
            for each in self.vanished
            if _may_live_on(each, group, lister)
        ]
        return any(proof is None for proof, _ in found)

    def required_reads(self, group: PodGroup, stop: StopStatus | None, lister: Lister, now: datetime) -> Iterator[Get]:
        """Yield the nodes whose state decides, where it is not known or old."""
        nodes = {
            node: each.entry.at if each.entry.absent else None
            for each in self.seen
            if (node := node_in_question(each.pod, each.entry, stop, now, each.boot_id)) is not None
        }
        nodes |= {each.node: group.listed_at for each in self.vanished if each.node and not has_ended(each)}
        for node, since in nodes.items():
            look = look_at_node(node, since, lister, now)
            if look is not None:
                yield look

    def kill_on_nodes(self, task: Task, group: PodGroup, lister: Lister, now: datetime) -> Iterator[AskNode]:
        """Yield what has nodes kill those that were asked to go, and have not ended by all that is known."""
        for each in self.seen:
            asked_to_go = each.entry.absent or each.pod.asked_to_go_at is not None
            if each.certain and asked_to_go and not each.pod.ended and each.empty_at is None:
                name = None if each.entry.absent else each.pod.name
                yield from ask_node(task, each.pod.on_node, name, KILLED, lister, now)
        for vanished in self.vanished:
            entry = group.pods.get(vanished.uid)
            if entry is not None and entry.absent and not has_ended(vanished) and vanished.empty_at is None:
                yield from ask_node(task, self._on_node(vanished), None, KILLED, lister, now)

    def _on_node(self, vanished: PodEvidence) -> PodOnNode:
        return PodOnNode(self.namespace, vanished.uid, vanished.node)

    def untraced(self, group: PodGroup, written: str) -> tuple[tuple[str, ...], str]:
        """Return those of which it has to be asked how they went, and the resource version since when.

        `written` is that of the task: pods on record without a version of their own were there when it was written.
        """
        versions = {
            each.pod.uid: each.pod.resource_version for each in self.seen if untraced(each.pod, None, each.entry)
        }
        for each in self.vanished:
            entry = group.pods.get(each.uid)
            if entry is not None and untraced(None, each, entry):
                versions[each.uid] = each.resource_version or written
        return tuple(versions), min(versions.values(), key=version_order, default=written)

    def evidence(self) -> tuple[PodEvidence, ...]:
        """Return what the status lists of them: those that run first, then the latest."""
        order = sorted((each for each in self.seen if each.certain), key=_rank, reverse=True)
        named = (each for each in self.vanished if each.name)
        return (*(each.evidence for each in order), *named)[:MAX_LISTED_PODS]

    def left(self, group: PodGroup, *, asked: bool) -> Iterator[LeftPod]:
        """Yield each pod of which processes may be left, as far as it is not known better.

        What is gone is kept on record only once its end was asked for: then its node has yet to say so.
        """
        for each in self.seen:
            if each.certain and not each.pod.ended and (asked or not each.entry.absent):
                started = each.pod.phase == RUNNING_PHASE and being_started(each.pod, each.entry) is None
                started = started and not each.pod.restarts_slowly(unseen=may_have_changed(each.entry))
                yield LeftPod(each.pod.node, started, each.pod.uid)
        for vanished in self.vanished:
            entry = group.pods.get(vanished.uid)
            if not has_ended(vanished) and (asked or entry is None or not entry.absent):
                yield LeftPod(vanished.node, may_be_starting(vanished) is None, vanished.uid)


def stale(group: PodGroup, now: datetime, *, suspect: bool) -> Iterator[tuple[str, PodRecord]]:
    """Yield the pods that have to be read live by their names: their labels may have been taken off.

    Those that have lost them are read from time to time: they start, end and go, and no watch shows it. `suspect` asks
    for all others, too, whose end is overdue by their own state.
    """
    for uid, entry in group.pods.items():
        pod = entry.seen
        if not isinstance(pod, PodRecord) or entry.absent:
            continue
        due = _read_due(pod, entry, suspect=suspect)
        if entry.stale or (due is not None and due <= now):
            yield uid, pod


def _read_due(pod: PodRecord, entry: CacheEntry, *, suspect: bool) -> datetime | None:
    """Return when a pod has to be read though nothing is heard of it; None where its watch is trusted."""
    if pod.ended or not (suspect or entry.unlisted):
        return None
    if pod.killed_by is not None:
        return max(pod.killed_by, entry.at + STALE)
    return entry.at + UNWATCHED if entry.unlisted else None


def _rank(member: OwnedPod) -> tuple[bool, bool, datetime]:
    ends = [each.finished_at for each in member.pod.containers if each.finished_at]
    return member.live, awaits_boot(member.pod, member.entry), max(ends, default=member.entry.at)


def of_vanished(
    evidence: PodEvidence,
    group: PodGroup,
    stop: StopStatus | None,
    lister: Lister,
    now: datetime,
    *,
    unreachable: bool,
) -> Finding:
    """A pod that the status lists, and that is not there any more."""
    if has_ended(evidence):
        return end_on_record(evidence), None
    entry = group.pods.get(evidence.uid)
    if entry is None or not entry.absent:
        return None, None  # that a selector does not find it may only mean that it lost its labels
    due = entry.at + grace_on_record(evidence)
    proof, blocked = proof_on_record(evidence, due, lister, now, unreachable=unreachable)
    if proof is Proof.GONE and may_be_starting(evidence) is None and stop is not None and due <= stop.accepted_at:
        return Proof.ENDED, None  # long before the stop, which therefore is no longer judged by it
    return proof, blocked


def _may_live_on(evidence: PodEvidence, group: PodGroup, lister: Lister) -> bool:
    """Whether processes may go on of a pod on record that is gone.

    What was not started yet by the record may have run and ended while nobody looked; not so what was seen to go then.
    """
    entry = group.pods.get(evidence.uid)
    if entry is None or not entry.absent or has_ended(evidence):
        return False
    if may_be_starting(evidence) is not None:
        return evidence.phase == UNKNOWN_PHASE
    return may_live_on_by_record(evidence, lister)


def unlooked(members: OwnedPods, group: PodGroup) -> Iterator[PodEvidence]:
    """Yield the pods on record, without an end, that no list shows: they have to be read live, by name or by UID."""
    for each in members.vanished:
        if not has_ended(each) and each.uid not in group.pods:
            yield each


def stuck(pod: PodRecord, now: datetime, margin: timedelta) -> bool:
    """Whether a pod that is being deleted should have been gone by now, and was not asked again yet."""
    overdue = pod.deletion_at is not None and pod.deletion_at + margin <= now
    return overdue and not pod.ended and pod.deletion_grace_seconds > MIN_GRACE_SECONDS
