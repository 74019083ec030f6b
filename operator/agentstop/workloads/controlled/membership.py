"""Which pods are a workload's: by the chain of their controllers, by its selector, or since its status lists them."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from agentstop.api.workload_status import PodEvidence
from agentstop.workloads.controlled.owned_pod import OwnedPod
from agentstop.workloads.controlled.owned_pods import OwnedPods
from agentstop.workloads.controlled.record import OwnerRecord
from agentstop.workloads.objects import Lister, ObjectRef, PodGroup, PodOnNode
from agentstop.workloads.pods.node_freezes import frozen_at
from agentstop.workloads.pods.node_kills import emptied_at
from agentstop.workloads.pods.node_looks import awaits_boot, boot_id_of
from agentstop.workloads.pods.record import Controller, PodRecord
from agentstop.workloads.pods.recorded import may_be_starting

MAX_CHAIN: Final = 4
"""So many controllers may stand between a workload and its pods: a Deployment has one, its ReplicaSet."""


def controller_ref(controller: Controller, namespace: str) -> ObjectRef:
    """Return the object that a controller reference points at."""
    return ObjectRef(controller.kind, namespace, controller.name, controller.api_version)


class Whose(StrEnum):
    """To whom a pod belongs."""

    OURS = "ours"
    DOUBTFUL = "doubtful"
    """Nobody can tell any more: a controller in between is gone."""
    OTHERS = "others"


def belongs(pod: PodRecord, uid: str, lister: Lister) -> Whose | ObjectRef:
    """Say whether the chain of a pod's controllers leads to this UID; or what has to be read first to tell."""
    controller = pod.controller
    for _ in range(MAX_CHAIN):
        if controller is None:
            return Whose.OTHERS
        if controller.uid == uid:
            return Whose.OURS
        ref = controller_ref(controller, pod.namespace)
        entry = lister.entries.get(ref)
        if entry is None:
            return ref
        if entry.absent or not isinstance(entry.seen, OwnerRecord) or entry.seen.uid != controller.uid:
            return Whose.DOUBTFUL
        controller = entry.seen.controller
    return Whose.OTHERS


def owned_pods_of(
    uid: str,
    namespace: str,
    group: PodGroup | None,
    known: Iterable[PodEvidence],
    lister: Lister,
    *,
    by_label: bool = False,
) -> OwnedPods:
    """Return the pods of the workload with this UID. What its status lists is its own, whatever it says by now.

    `by_label` is whether its selector has its UID in it: then what has no controller is what its own would take back,
    or would have before it was deleted.
    Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#specifying-your-own-pod-selector
    """
    listed = {each.uid: each for each in known}
    seen: list[OwnedPod] = []
    strangers: list[ObjectRef] = []
    for pod_uid, entry in (group.pods if group is not None else {}).items():
        pod = entry.seen
        if not isinstance(pod, PodRecord):
            continue
        ours = pod_uid in listed or (by_label and pod.controller is None)
        whose = Whose.OURS if ours else belongs(pod, uid, lister)
        if isinstance(whose, ObjectRef):
            strangers.append(whose)
        elif whose is not Whose.OTHERS:
            on_record = listed.pop(pod_uid, None)
            boot_id = boot_id_of(pod.node, on_record, entry.at, lister) if awaits_boot(pod, entry) else None
            empty_at = emptied_at(pod.on_node, pod.runtime_class, on_record, lister)
            cold = frozen_at(pod.on_node, on_record, lister)
            seen.append(OwnedPod(pod, entry, whose is Whose.OURS, on_record, boot_id, empty_at, cold))
    vanished = tuple(_by_its_node(each, namespace, group, lister) for each in listed.values())
    return OwnedPods(namespace, tuple(seen), vanished, tuple(dict.fromkeys(strangers)))


def _by_its_node(evidence: PodEvidence, namespace: str, group: PodGroup | None, lister: Lister) -> PodEvidence:
    """Return what is on record of a pod that is gone, with what its node said of it.

    That is when its kernel had nothing of it left, and its boot ID where only a reboot proves the end.
    """
    where = PodOnNode(namespace, evidence.uid, evidence.node)
    empty_at = emptied_at(where, evidence.runtime_class, evidence, lister)
    evidence = evidence.but(empty_at=empty_at) if empty_at != evidence.empty_at else evidence
    entry = group.pods.get(evidence.uid) if group is not None else None
    if entry is None or not entry.absent or may_be_starting(evidence) is None:
        return evidence
    return evidence.but(boot_id=boot_id_of(evidence.node, evidence, entry.at, lister))
