"""Pods: those that the operator makes from a template, and bare ones that it adopts."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from agentstop.api.meta import API_VERSION, TASK_LABEL
from agentstop.api.task import KIND, Phase, PodEvidence, WorkloadStatus
from agentstop.lifecycle.effects import Start, Terminate, WorkloadEffect
from agentstop.lifecycle.observation import Observation, Presence, Proof, Reason, Task
from agentstop.workloads.endings import ending_of, lost, main_ending_of
from agentstop.workloads.halting import SHORTEST_GRACE_SECONDS, halt_pod, too_large
from agentstop.workloads.objects import ObjectRef, Sighting, Surroundings, Watch
from agentstop.workloads.podproof import (
    STALE,
    boot_id_of,
    late_reason,
    look_at_node,
    next_look,
    node_in_question,
    proof_by_boot,
    proof_by_node,
    proof_of,
    went_unseen,
)
from agentstop.workloads.podseen import PodSeen, State
from agentstop.workloads.recorded import grace_on_record, has_ended, unstarted
from agentstop.workloads.requests import Create, Delete, LiveLook, Look, LookAtTemplate, Patch, Request

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

    def watches(self, task: Task, around: Surroundings) -> tuple[Watch, ...]:
        """Return the pod if it was adopted, or somebody took our label off it; for as long as the task lives."""
        if task.status.phase.terminal:
            return ()
        sighting = around.sightings.get(_ref(task))
        pod = _subject(task, sighting) if sighting is not None else None
        hidden = task.spec.workload_ref is not None or (pod is not None and pod.task != task.name)
        return (_ref(task),) if hidden else ()

    def looks(self, task: Task, around: Surroundings, now: datetime) -> tuple[LiveLook, ...]:
        """Return the pod if nothing is known of it, and its node where the node's state decides."""
        if task.status.phase.terminal:
            return ()
        ref = _ref(task)
        sighting = around.sightings.get(ref)
        waits = sighting is not None and _in_the_way(task, sighting) and sighting.at + RETRY <= now
        if sighting is None or sighting.doubted or waits:
            return (Look(ref),)
        pod_is_old = not sighting.absent and sighting.at + STALE <= now
        node = _node_in_question(task, sighting, now)
        if node is None:
            return ()
        look = look_at_node(node, sighting.at if sighting.absent else None, around, now)
        return (*((Look(ref),) if pod_is_old else ()), *((look,) if look is not None else ()))

    def observe(self, task: Task, around: Surroundings, now: datetime) -> Observation:
        """Return what is seen of the pod."""
        ref = _ref(task)
        sighting = around.sightings.get(ref)
        known = task.status.workload
        if sighting is None:
            refusal = around.refusal(ref, Look.verb, now)
            blocked = Reason("ReadForbidden", refusal.message) if refusal else None
            return Observation(presence=Presence.UNKNOWN, blocked=blocked)
        pod = _subject(task, sighting)
        if pod is None:
            return _without(task, ref, around, now) if known is None else _vanished(task, known, sighting, around, now)
        if known is None and task.spec.workload_ref is not None and pod.controller is not None:
            return Observation(presence=Presence.ABSENT, refused=_controlled(pod))
        return _present(task, pod, sighting, around, now)

    def carry_out(self, task: Task, effect: WorkloadEffect, around: Surroundings, now: datetime) -> tuple[Request, ...]:
        """Return the request that makes or ends the pod, if it takes one, or what has to be read for it."""
        sighting = around.sightings.get(_ref(task))
        match effect:
            case Start():
                if sighting is not None and not sighting.absent:
                    return ()
                template = around.templates.get(task.uid)
                if template is None:
                    return (LookAtTemplate(ObjectRef(KIND, task.namespace, task.name, API_VERSION), task.uid),)
                return (Create(_ref(task), _body(task, template)),)
            case Terminate():
                pod = _subject(task, sighting) if sighting is not None and not sighting.absent else None
                request = halt_pod(_ref(task), pod, effect, around, now) if pod is not None else None
                return (request,) if request is not None else ()


POD: Final = _Pod()


def _ref(task: Task) -> ObjectRef:
    ref = task.spec.workload_ref
    return ObjectRef("Pod", task.namespace, task.name if ref is None else ref.name)


def _is_ours(task: Task, pod: PodSeen) -> bool:
    return pod.controller is not None and pod.controller.uid == task.uid


def _subject(task: Task, sighting: Sighting) -> PodSeen | None:
    """Return the pod that is the task's. Another pod of the same name is not: what counts is the UID.

    Once the UID is known, neither labels nor owner references matter any more: whoever may change the pod could take
    them off to get away.
    """
    pod = sighting.seen
    if not isinstance(pod, PodSeen):
        return None
    known = task.status.workload
    if known is not None and pod.uid == known.uid:
        return pod
    if task.spec.workload_ref is not None:
        too_late = known is not None or task.status.phase.terminal or sighting.absent
        return None if too_late else pod
    made_again = task.status.phase in {Phase.STOPPED, Phase.PAUSED}
    return pod if _is_ours(task, pod) and (known is None or made_again) else None


def _in_the_way(task: Task, sighting: Sighting) -> bool:
    pod = sighting.seen
    foreign = isinstance(pod, PodSeen) and not sighting.absent and not _is_ours(task, pod)
    return foreign and task.spec.workload_ref is None


def _node_in_question(task: Task, sighting: Sighting, now: datetime) -> str | None:
    """Return the node whose state decides, if the pod alone does not tell."""
    pod = _subject(task, sighting)
    if pod is not None:
        return node_in_question(pod, sighting, task.status.stop, now)
    known = task.status.workload
    return known.pods[0].node if known and known.pods else None


def _without(task: Task, ref: ObjectRef, around: Surroundings, now: datetime) -> Observation:
    """The task has no pod, and never had one."""
    if task.spec.workload_ref is not None:
        message = f"{ref.kind} {ref.name} does not exist in namespace {ref.namespace}; the task waits for it"
        return Observation(presence=Presence.ABSENT, waiting=Reason("WorkloadNotFound", message))
    sighting = around.sightings[ref]
    if _in_the_way(task, sighting):
        return Observation(presence=Presence.ABSENT, blocked=_name_taken(ref.name))
    refusal = around.refusal(ref, Create.verb, now)
    if refusal is None:
        return Observation(presence=Presence.ABSENT)
    if refusal.code in INVALID_CODES:
        return Observation(presence=Presence.ABSENT, refused=Reason("InvalidPodTemplate", refusal.message))
    return Observation(presence=Presence.ABSENT, blocked=Reason("CreateForbidden", refusal.message))


def _vanished(
    task: Task, known: WorkloadStatus, sighting: Sighting, around: Surroundings, now: datetime
) -> Observation:
    """The task's pod is gone, and its last state was not seen."""
    node = known.pods[0].node if known.pods else None
    stop = task.status.stop
    taken = _name_taken(known.name) if task.status.phase is Phase.PAUSED and _in_the_way(task, sighting) else None
    if known.pods and has_ended(known.pods[0]):
        return Observation(
            presence=Presence.PRESENT,
            workload=known,
            halted=True,
            ending=lost(known.name),
            proof=Proof.ENDED,
            blocked=taken,
        )
    evidence = known.pods[0] if known.pods else PodEvidence(name=known.name, uid=known.uid)
    grace = grace_on_record(evidence)
    due = (stop.kill_at if stop is not None else None) or (sighting.since or sighting.at) + grace
    being_started = unstarted(evidence)
    if being_started is not None and node is not None:
        proof, blocked = proof_by_boot(evidence.name, being_started, node, evidence.boot_id, around, now)
        known = known.but(pods=(evidence.but(boot_id=boot_id_of(node, evidence, around)),))
    else:
        being_started = None
        proof, blocked = proof_by_node(node, due, around, now)
    return Observation(
        presence=Presence.PRESENT,
        workload=known,
        halted=True,
        own_grace_seconds=int(grace.total_seconds()),
        ending=lost(known.name) if being_started is None or proof is not None else None,
        proof=proof,
        blocked=blocked or taken,
        late=went_unseen(evidence, due),
        look_again_at=next_look(due, now),
    )


def _name_taken(name: str) -> Reason:
    message = f"Pod {name} exists and is not this task's; delete it, or give the task another name"
    return Reason("PodNameTaken", message)


def _controlled(pod: PodSeen) -> Reason:
    assert pod.controller is not None  # noqa: S101  (the caller has checked it; this tells the type checker)
    owner = f"{pod.controller.kind} {pod.controller.name}"
    if pod.controller.kind == "Node":
        # https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/
        message = f"Pod {pod.name} is a static pod of {owner}; only the removal of its manifest from that node ends it"
        return Reason("StaticPod", message)
    message = f"Pod {pod.name} is controlled by {owner}, which would replace it; point workloadRef at {owner}"
    return Reason("WorkloadHasController", message)


def _taken_over(task: Task, pod: PodSeen) -> Reason | None:
    """Say who has taken over a pod that was adopted: a ReplicaSet takes whatever its selector finds.

    Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#non-template-pod-acquisitions
    """
    if task.spec.workload_ref is None or pod.controller is None:
        return None
    owner = f"{pod.controller.kind} {pod.controller.name}"
    message = f"{owner} has taken over pod {pod.name}, and makes another one when it ends; stop {owner} as well"
    return Reason("WorkloadTakenOver", message)


def _present(task: Task, pod: PodSeen, sighting: Sighting, around: Surroundings, now: datetime) -> Observation:
    known = task.status.workload.pods[0] if task.status.workload is not None and task.status.workload.pods else None
    boot_id = boot_id_of(pod.node, known, around) if sighting.absent and pod.starting is not None else None
    proof, blocked = proof_of(pod, sighting, task.status.stop, around, now, boot_id)
    ending = ending_of(pod, sighting)
    if ending is None and sighting.absent and (proof is not None or pod.starting is None):
        # While its kubelet may still be starting it, it runs on, or is yet to: it is not lost, and can be stopped.
        ending = lost(pod.name)
    main = task.spec.main_container
    return Observation(
        presence=Presence.PRESENT,
        workload=WorkloadStatus(
            api_version="v1", kind="Pod", name=pod.name, uid=pod.uid, pods=(pod.evidence(boot_id),), pod_count=1
        ),
        started_at=pod.started_at,
        active=pod.started_at is not None and proof is None and not sighting.absent,
        halted=sighting.absent or pod.deletion_at is not None or pod.stopped_in_place_at is not None,
        own_grace_seconds=max(pod.grace_seconds, SHORTEST_GRACE_SECONDS),
        signaled_at=sighting.signaled_at or pod.stopped_in_place_at or pod.deletion_requested_at,
        killed_by=pod.killed_by,
        begins_after=IN_PLACE_DELAY if pod.ends_in_place else timedelta(),
        soonest_kill=pod.soonest_kill,
        ending=ending,
        main_ending=main_ending_of(pod, main, sighting) if main else None,
        proof=proof,
        waiting=_waiting(pod),
        elsewhere=_taken_over(task, pod),
        loses_logs=(pod.ran or pod.unreadable is not None) and (sighting.absent or pod.deletion_at is not None),
        not_in_place=_not_in_place(pod, around, now),
        late=late_reason(pod, sighting),
        blocked=too_large(pod, around, now) or blocked or _refusal(pod, around, now) or _no_main(pod, main),
    )


def _not_in_place(pod: PodSeen, around: Surroundings, now: datetime) -> str | None:
    """Say why the pod can't be ended in place, where that is not a question of the grace period."""
    if pod.unreadable is not None:
        return f"nothing can be made of what the pod says of itself ({pod.unreadable})"
    refusal = around.refusal(ObjectRef("Pod", pod.namespace, pod.name), Patch.verb, now)
    return f"the API server refuses to have the pod stopped in place ({refusal.message})" if refusal else None


def _refusal(pod: PodSeen, around: Surroundings, now: datetime) -> Reason | None:
    """Say so where the API server does not let us end the pod."""
    if pod.ended or pod.deletion_at is not None or pod.stopped_in_place_at is not None:
        return None
    refusal = around.refusal(ObjectRef("Pod", pod.namespace, pod.name), Delete.verb, now)
    return Reason("DeleteForbidden", refusal.message) if refusal else None


def _no_main(pod: PodSeen, main: str | None) -> Reason | None:
    if main is None or not pod.containers or any(container.name == main for container in pod.containers):
        return None
    message = f"Pod {pod.name} has no container {main}, so its end will not end the task; see spec.mainContainer"
    return Reason("MainContainerNotFound", message)


def _waiting(pod: PodSeen) -> Reason | None:
    if pod.node is None and pod.unscheduled:
        return Reason("Unschedulable", pod.unscheduled)
    for container in pod.containers:
        if container.state is State.WAITING and container.reason:
            return Reason(container.reason, container.message or f"Container {container.name} waits to be started")
    return None


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
