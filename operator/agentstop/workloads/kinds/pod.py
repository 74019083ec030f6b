"""Pods: those that the operator makes from a template, and bare ones that it adopts."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from agentstop.api.meta import API_VERSION, TASK_LABEL
from agentstop.api.task import KIND, Phase
from agentstop.api.workload_status import PodEvidence, WorkloadStatus
from agentstop.lifecycle.conditions import was_unreachable
from agentstop.lifecycle.effects import Freeze, Start, Terminate, Thaw, WorkloadEffect
from agentstop.lifecycle.observation import NOT_FROZEN, FreezeState, Observation, Presence, Reason, Task
from agentstop.workloads.objects import CacheEntry, Lister, ObjectRef, PodOnNode, WatchTarget
from agentstop.workloads.pods.controls import KILLED, ask_node
from agentstop.workloads.pods.departures import (
    being_started,
    may_have_been_bound,
    may_have_changed,
    may_live_on,
    may_live_on_by_record,
    untraced,
)
from agentstop.workloads.pods.hindrances import (
    controlled,
    name_taken,
    no_main,
    not_in_place,
    refused_deletion,
    taken_over,
    waiting,
)
from agentstop.workloads.pods.kept import kept_pod
from agentstop.workloads.pods.lateness import busy_reason, late_reason, look_again_at, next_look, went_unseen
from agentstop.workloads.pods.node_freezes import (
    freeze,
    freeze_state_of_gone,
    freeze_state_of_pod,
    frozen_at,
    thaw,
)
from agentstop.workloads.pods.node_kills import emptied_at, report_due, unanswered
from agentstop.workloads.pods.node_looks import STALE, awaits_boot, boot_id_of, look_at_node, node_in_question
from agentstop.workloads.pods.outcome import ending_of, lost, main_ending_of, taken_away
from agentstop.workloads.pods.proof import proof_of, proof_on_record
from agentstop.workloads.pods.reading import read_pod
from agentstop.workloads.pods.record import PodRecord
from agentstop.workloads.pods.recorded import end_on_record, grace_on_record, has_ended, may_be_starting
from agentstop.workloads.pods.termination import (
    MIN_GRACE_SECONDS,
    terminate_pod,
    thaw_look_at,
    thaw_to_end,
    too_large,
)
from agentstop.workloads.requests import AskNode, Create, Delete, Get, GetTemplate, LiveRead, Recall, Request

RETRY: Final = timedelta(seconds=25)
"""How often a pod of somebody else that stands in the way is looked at again."""

IN_PLACE_DELAY: Final = timedelta(seconds=0.5)
"""How long a kubelet takes on the average to begin with a pod that is over its deadline: it looks for such work once a
second. To a deletion it listens all the time.

Source: syncCh in https://github.com/kubernetes/kubernetes/blob/v1.36.2/pkg/kubelet/kubelet.go
"""

INVALID_CODES: Final = frozenset({400, 422})
"""HTTP codes with which the API server refuses a pod for what it says."""


class _Pod:
    """The workload kind of pods."""

    read = staticmethod(read_pod)

    def watches(self, task: Task, lister: Lister) -> tuple[WatchTarget, ...]:
        """Return the pod if it was adopted, or somebody took our label off it; for as long as the task lives."""
        if task.status.phase.terminal:
            return ()
        entry = lister.entries.get(_ref(task))
        pod = _subject(task, entry) if entry is not None else None
        hidden = task.spec.workload_ref is not None or (pod is not None and pod.task != task.name)
        return (_ref(task),) if hidden else ()

    def last_reads(self, _task: Task, _lister: Lister) -> tuple[Get, ...]:
        """Return nothing: a pod that has ended does not begin anew."""
        return ()

    def required_reads(self, task: Task, lister: Lister, now: datetime) -> tuple[LiveRead, ...]:
        """Return the pod if nothing is known of it, and its node where the node's state decides."""
        ref = _ref(task)
        entry = lister.entries.get(ref)
        if task.status.phase.terminal:
            return (Get(ref),) if task.leaves_something and (entry is None or entry.stale) else ()
        waits = entry is not None and _in_the_way(task, entry) and entry.at + RETRY <= now
        if entry is None or entry.stale or waits:
            return (Get(ref),)
        pod_is_old = not entry.absent and entry.at + STALE <= now
        pod = _subject(task, entry)
        on_record = _on_record(task)
        if untraced(pod, on_record, entry):
            return (_recall(task, ref, pod),)
        node = _node_in_question(task, entry, lister, now)
        if node is None:
            return ()
        look = look_at_node(node, entry.at if entry.absent else None, lister, now)
        return (*((Get(ref),) if pod_is_old else ()), *((look,) if look is not None else ()))

    def observe(self, task: Task, lister: Lister, now: datetime) -> Observation:
        """Return what is seen of the pod."""
        ref = _ref(task)
        entry = lister.entries.get(ref)
        known = task.status.workload
        if entry is None:
            rejection = lister.rejection(ref, Get.verb, now)
            blocked = Reason("ReadForbidden", rejection.message) if rejection else None
            return Observation(presence=Presence.UNKNOWN, blocked=blocked)
        pod = _subject(task, entry)
        if pod is None:
            return _without(task, ref, lister, now) if known is None else _vanished(task, known, entry, lister, now)
        if known is None and task.spec.workload_ref is not None and pod.controller is not None:
            return Observation(presence=Presence.ABSENT, refused=controlled(pod))
        return _present(task, pod, entry, lister, now)

    def plan_requests(self, task: Task, effect: WorkloadEffect, lister: Lister, now: datetime) -> tuple[Request, ...]:
        """Return the request that makes or ends the pod, if it takes one, or what has to be read for it."""
        entry = lister.entries.get(_ref(task))
        pod = _subject(task, entry) if entry is not None else None
        there = pod is not None and entry is not None and not entry.absent
        match effect:
            case Start():
                if task.spec.workload_ref is not None:
                    return ()  # what was adopted is made by nobody
                if there and pod is not None and pod.ended:
                    return (Delete(_ref(task), pod.uid, None, ends_processes=False),)  # the next one has its name
                if entry is not None and not entry.absent:
                    return ()
                template = lister.templates.get(task.uid)
                if template is None:
                    return (GetTemplate(ObjectRef(KIND, task.namespace, task.name, API_VERSION), task.uid),)
                return (Create(_ref(task), _body(task, template)),)
            case Terminate():
                request = terminate_pod(_ref(task), pod, effect, lister, now) if there and pod is not None else None
                asked: Iterator[AskNode | Delete] = iter(())
                if effect.by_nodes and entry is not None:
                    asked = _kill_on_node(task, pod, entry, lister, now)
                elif there and pod is not None and entry is not None and not pod.ended:
                    asked = thaw_to_end(task, pod, entry, _on_record(task), lister, now)
                return (*((request,) if request is not None else ()), *asked)
            case Freeze():
                return tuple(freeze(task, pod, lister, now)) if there and pod is not None and not pod.ended else ()
            case Thaw():
                if not there or pod is None or entry is None or pod.ended:
                    return ()
                known = _on_record(task)
                if task.gone and task.spec.workload_ref is None:
                    return tuple(thaw_to_end(task, pod, entry, known, lister, now))  # it goes with its task
                return tuple(thaw(task, pod, known, lister, now))


POD: Final = _Pod()


def _ref(task: Task) -> ObjectRef:
    ref = task.spec.workload_ref
    return ObjectRef("Pod", task.namespace, task.name if ref is None else ref.name)


def _is_ours(task: Task, pod: PodRecord) -> bool:
    return pod.controller is not None and pod.controller.uid == task.uid


def _subject(task: Task, entry: CacheEntry) -> PodRecord | None:
    """Return the pod that is the task's. Another pod of the same name is not: what counts is the UID.

    Once the UID is known, neither labels nor owner references matter any more: whoever may change the pod could take
    them off to get away.
    """
    pod = entry.seen
    if not isinstance(pod, PodRecord):
        return None
    known = task.status.workload
    if known is not None and pod.uid == known.uid:
        return pod
    if task.spec.workload_ref is not None:
        too_late = known is not None or task.status.phase.terminal or entry.absent
        return None if too_late else pod
    made_again = task.status.phase in {Phase.STOPPED, Phase.PAUSED}
    return pod if _is_ours(task, pod) and (known is None or made_again) else None


def _on_record(task: Task) -> PodEvidence | None:
    """Return what is on record of the task's pod, if it has or had one."""
    known = task.status.workload
    if known is None:
        return None
    return known.pods[0] if known.pods else PodEvidence(name=known.name, uid=known.uid)


def _on_node(task: Task, evidence: PodEvidence) -> PodOnNode:
    return PodOnNode(task.namespace, evidence.uid, evidence.node)


def _kill_on_node(
    task: Task, pod: PodRecord | None, entry: CacheEntry, lister: Lister, now: datetime
) -> Iterator[AskNode]:
    """Yield what has the pod's node kill it, where it was asked to go and has not ended by all that is known."""
    evidence = _on_record(task)
    if pod is not None and not pod.ended and (entry.absent or pod.asked_to_go_at is not None):
        yield from ask_node(task, pod.on_node, None if entry.absent else pod.name, KILLED, lister, now)
    elif pod is None and evidence is not None and not has_ended(evidence):
        yield from ask_node(task, _on_node(task, evidence), None, KILLED, lister, now)


def _recall(task: Task, ref: ObjectRef, pod: PodRecord | None) -> Recall:
    """Return what asks how the task's pod went since it was seen, or since the task was written."""
    if pod is not None:
        return Recall(ref, (pod.uid,), pod.resource_version)
    on_record = _on_record(task)
    assert on_record is not None  # noqa: S101  (the caller has checked it; this tells the type checker)
    return Recall(ref, (on_record.uid,), on_record.resource_version or task.resource_version)


def _in_the_way(task: Task, entry: CacheEntry) -> bool:
    pod = entry.seen
    foreign = isinstance(pod, PodRecord) and not entry.absent and not _is_ours(task, pod)
    return foreign and task.spec.workload_ref is None


def _node_in_question(task: Task, entry: CacheEntry, lister: Lister, now: datetime) -> str | None:
    """Return the node whose state decides, if the pod alone does not tell."""
    pod = _subject(task, entry)
    on_record = _on_record(task)
    if pod is not None:
        boot_id = boot_id_of(pod.node, on_record, entry.at, lister)
        return node_in_question(pod, entry, task.status.stop, now, boot_id)
    return on_record.node if on_record is not None else None


def _without(task: Task, ref: ObjectRef, lister: Lister, now: datetime) -> Observation:
    """The task has no pod, and never had one."""
    if task.spec.workload_ref is not None:
        message = f"{ref.kind} {ref.name} does not exist in namespace {ref.namespace}; the task waits for it"
        return Observation(presence=Presence.ABSENT, waiting=Reason("WorkloadNotFound", message))
    entry = lister.entries[ref]
    if _in_the_way(task, entry):
        return Observation(presence=Presence.ABSENT, blocked=name_taken(ref.name))
    rejection = lister.rejection(ref, Create.verb, now)
    if rejection is None:
        return Observation(presence=Presence.ABSENT)
    if rejection.code in INVALID_CODES:
        return Observation(presence=Presence.ABSENT, refused=Reason("InvalidPodTemplate", rejection.message))
    return Observation(presence=Presence.ABSENT, blocked=Reason("CreateForbidden", rejection.message))


def _vanished(task: Task, known: WorkloadStatus, entry: CacheEntry, lister: Lister, now: datetime) -> Observation:
    """The task's pod is gone, and its last state was not seen."""
    evidence = _on_record(task) or PodEvidence(name=known.name, uid=known.uid)
    node = evidence.node
    taken = name_taken(known.name) if task.status.phase is Phase.PAUSED and _in_the_way(task, entry) else None
    if has_ended(evidence):
        return Observation(
            presence=Presence.PRESENT,
            workload=known,
            halted=True,
            ending=lost(known.name),
            proof=end_on_record(evidence),
            blocked=taken,
            kept=(),
        )
    grace = grace_on_record(evidence)
    due = (entry.since or entry.at) + grace  # what a stop asks for may have reached no kubelet
    started = may_be_starting(evidence) is None
    where = _on_node(task, evidence)
    evidence = evidence.but(empty_at=emptied_at(where, evidence.runtime_class, evidence, lister))
    proof, blocked = proof_on_record(evidence, due, lister, now, unreachable=was_unreachable(task, now))
    if node is not None and (not started or evidence.empty_at is not None):
        boot_id = boot_id_of(node, evidence, entry.at, lister) if not started else evidence.boot_id
        known = known.but(pods=(evidence.but(boot_id=boot_id),))
    waits = proof is None and (node is None or not started or may_live_on_by_record(evidence, lister))
    return Observation(
        presence=Presence.PRESENT,
        workload=known,
        halted=True,
        own_grace_seconds=int(grace.total_seconds()),
        ending=lost(known.name) if not waits else None,
        proof=proof,
        blocked=blocked or taken,
        kept=(),
        late=unanswered(where, evidence.name, lister) or went_unseen(evidence, due, lister),
        look_again_at=next_look(due, now),
    )


def _present(task: Task, pod: PodRecord, entry: CacheEntry, lister: Lister, now: datetime) -> Observation:
    known = task.status.workload.pods[0] if task.status.workload is not None and task.status.workload.pods else None
    boot_id = boot_id_of(pod.node, known, entry.at, lister) if awaits_boot(pod, entry) else None
    evidence = pod.evidence(
        known,
        boot_id,
        empty_at=emptied_at(pod.on_node, pod.runtime_class, known, lister),
        frozen_at=frozen_at(pod.on_node, known, lister),
        cut_off=being_started(pod, entry) is not None,
        unseen=may_have_changed(entry),
    )
    unreachable = was_unreachable(task, now)
    proof, blocked = proof_of(pod, entry, task.status.stop, lister, now, boot_id, known=known, unreachable=unreachable)
    ending = ending_of(pod, entry)
    lives_on = may_live_on(pod, entry, lister) or may_have_been_bound(pod, entry)
    if ending is None and entry.absent and (proof is not None or not lives_on):
        # While it may run on, or is yet to be started, it is not lost, and can be stopped.
        ending = taken_away(pod)
    main = task.spec.main_container
    looks = (
        look_again_at(pod, entry, lister, now) or report_due(pod.on_node, lister, now),
        thaw_look_at(pod, entry, known, lister, now),
    )
    return Observation(
        presence=Presence.PRESENT,
        workload=WorkloadStatus(
            api_version="v1", kind="Pod", name=pod.name, uid=pod.uid, pods=(evidence,), pod_count=1
        ),
        started_at=pod.started_at,
        active=pod.started_at is not None and proof is None and not entry.absent,
        live=proof is None and not entry.absent,
        halted=entry.absent or pod.deletion_at is not None or pod.stopped_in_place_at is not None,
        own_grace_seconds=max(pod.grace_seconds, MIN_GRACE_SECONDS),
        signaled_at=entry.signaled_at or pod.stopped_in_place_at or pod.deletion_requested_at,
        killed_by=pod.killed_by,
        begins_after=IN_PLACE_DELAY if pod.ends_in_place else timedelta(),
        soonest_kill=pod.soonest_kill,
        ending=ending,
        main_ending=main_ending_of(pod, main, entry) if main else None,
        proof=proof,
        waiting=waiting(pod),
        elsewhere=taken_over(task, pod),
        loses_logs=(pod.ran or pod.unreadable is not None) and (entry.absent or pod.deletion_at is not None),
        not_in_place=not_in_place(pod, lister, now),
        busy=busy_reason(pod, entry),
        late=unanswered(pod.on_node, pod.name, lister) or late_reason(pod, entry, lister),
        look_again_at=min(filter(None, looks), default=None),
        freeze_state=_freeze_state(pod, entry, None if task.gone else known, lister, now)
        if proof is None
        else NOT_FROZEN,
        kept=tuple(filter(None, [kept_pod(pod, entry)])),
        blocked=too_large(pod, lister, now) or blocked or refused_deletion(pod, lister, now) or no_main(pod, main),
    )


def _freeze_state(
    pod: PodRecord, entry: CacheEntry, known: PodEvidence | None, lister: Lister, now: datetime
) -> FreezeState:
    if not entry.absent:
        return freeze_state_of_pod(pod, known, lister, now)
    return freeze_state_of_gone(pod.on_node, known or PodEvidence(name=pod.name, uid=pod.uid), lister, now)


def _body(task: Task, template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pod of the task's template."""
    metadata = template.get("metadata") or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": task.name,
            "namespace": task.namespace,
            "labels": {**(metadata.get("labels") or {}), TASK_LABEL: task.name},
            "annotations": metadata.get("annotations") or {},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": KIND,
                    "name": task.name,
                    "uid": task.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": {"restartPolicy": "Never", **(template.get("spec") or {})},
    }
