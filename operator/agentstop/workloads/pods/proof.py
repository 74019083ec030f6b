"""Whether the processes of one pod are gone for certain: by its own last state, or by the state of its node."""

from datetime import datetime
from typing import Final, NamedTuple

from agentstop.api.task import StopStatus
from agentstop.api.workload_status import PodEvidence
from agentstop.lifecycle.conditions import KUBELET_BUSY, NODE_UNREACHABLE
from agentstop.lifecycle.observation import Proof, Reason
from agentstop.workloads.objects import CacheEntry, Lister, ObjectRef
from agentstop.workloads.pods.departures import being_started, due_of, may_have_been_bound
from agentstop.workloads.pods.node import SETTLING, NodeRecord, is_deleted, is_out_of_service
from agentstop.workloads.pods.node_kills import emptied_at, is_reported_late
from agentstop.workloads.pods.node_looks import overdue
from agentstop.workloads.pods.record import PodRecord
from agentstop.workloads.pods.recorded import may_be_starting
from agentstop.workloads.requests import Get

NODE_DELETED: Final = "NodeDeleted"
"""Reason of what waits for a machine whose Node is gone."""

NODE_UNKNOWN: Final = "NodeUnknown"
"""Reason of what waits for somebody's word, since nobody knows which node could tell."""

Finding = tuple[Proof | None, Reason | None]
"""Why no process can be left, if that is proven; and what keeps it from being proven."""


def proof_of(
    pod: PodRecord,
    entry: CacheEntry,
    stop: StopStatus | None,
    lister: Lister,
    now: datetime,
    boot_id: str | None = None,
    *,
    known: PodEvidence | None = None,
    unreachable: bool = False,
) -> Finding:
    """Say what is proven about the processes of a pod that was seen; for `boot_id` see `proof_by_boot`.

    `known` is what is on record of it.

    `unreachable` is whether its node had not answered before, by the record.
    """
    if pod.ended and not pod.ran and is_out_of_service(pod.node, lister):
        return Proof.NODE_FENCED, None  # its phase is the word of who cleans up there, and it may have run
    if pod.ended:
        return (Proof.ENDED if pod.ran else Proof.NEVER_STARTED), None
    if pod.unreadable is not None and not entry.absent:
        message = f"Nothing can be made of what pod {pod.name} says of itself ({pod.unreadable}); delete it"
        return None, Reason("PodUnreadable", message)
    # One that is wanted may be started anew, in another cgroup. Of one that is gone no kubelet reports any more.
    late = entry.absent or (pod.asked_to_go_at is not None and is_reported_late(pod.on_node, lister, now))
    if late and emptied_at(pod.on_node, pod.runtime_class, known, lister) is not None:
        return Proof.EMPTIED, None
    going = entry.absent or pod.deletion_at is not None
    if pod.node is None and may_have_been_bound(pod, entry):
        return None, _node_unknown(pod.name)
    if pod.node is None:
        # The API server binds no pod that is being deleted, so none of its containers can be started any more.
        return (Proof.NEVER_STARTED if going else None), None
    what, due = being_started(pod, entry), due_of(pod, entry)
    if what is not None:
        return proof_by_boot(pod.name, what, pod.node, boot_id, due, lister, now, unreachable=unreachable)
    if entry.absent:
        proof, blocked = proof_by_node(pod.node, due, lister, now, unreachable=unreachable)
        if proof is Proof.GONE and pod.taken_at is None and pod.deletion_at is not None:
            return Proof.NEVER_STARTED, None
        return proof, blocked
    node = lister.node(pod.node) if overdue(pod, stop, now) else None
    if node is None or (isinstance(node.seen, NodeRecord) and node.seen.ready and not node.absent):
        return None, None
    if pod.finalizers and pod.deletion_at is not None and node.absent:
        message = f"Node {pod.node} is gone, and finalizer {pod.finalizers[0]} holds pod {pod.name}"
        return None, Reason("BlockedByFinalizer", message)
    if node.absent and not unreachable:
        message = (
            f"Node {pod.node} was deleted before it had reported the end of pod {pod.name}, and its machine may run on;"
            " Kubernetes removes the pod soon"
        )
        return None, Reason(NODE_DELETED, message)
    return None, _unreachable(pod.node)


def proof_by_node(node: str, due: datetime, lister: Lister, now: datetime, *, unreachable: bool = False) -> Finding:
    """Say what the node's state proves of a pod that is gone, and whose processes are to be ended by `due`.

    The object may have been removed by force, while the kubelet still gives the processes their grace period.
    """
    known = _order_effect(node, due, lister, now, unreachable=unreachable)
    if not isinstance(known, _OrderEffect):
        return known
    if not known.seen.ready:
        return None, _unreachable(node)
    return (Proof.GONE if known.seen.has_ended(due, known.at) else None), None


class _OrderEffect(NamedTuple):
    """A node that is there and not out of service."""

    seen: NodeRecord
    at: datetime
    """When it was read."""


def _order_effect(
    node: str, due: datetime, lister: Lister, now: datetime, *, unreachable: bool
) -> _OrderEffect | Finding:
    """Return a node that has to tell of what runs on it; or what is proven, or not, where it can't.

    That it was deleted or declared out of service counts at once where it had not answered before. Else its kubelet may
    live, and gives what it runs its time.
    """
    if lister.rejection(ObjectRef("Node", "", node), Get.verb, now) is not None:
        return None, _unreadable(node)
    entry = lister.node(node)
    if entry is None:
        return None, None
    seen = entry.seen
    if entry.absent or (isinstance(seen, NodeRecord) and seen.out_of_service):
        return (Proof.NODE_FENCED if unreachable or due + SETTLING <= now else None), None
    if not isinstance(seen, NodeRecord):
        return None, _unreachable(node)  # whatever it is: it proves nothing
    return _OrderEffect(seen, entry.at)


def proof_by_boot(
    pod: str,
    what: str,
    node: str,
    boot_id: str | None,
    due: datetime,
    lister: Lister,
    now: datetime,
    *,
    unreachable: bool = False,
) -> Finding:
    """Say what is proven of a pod that went while its kubelet may have been starting `what` of it.

    Such a kubelet does not hear of a removal by force before the start is done: until then it pulls, waits or runs a
    hook, and starts the container all the same. That the node answers proves nothing, however long; nor does it that
    somebody deleted the Node object. Only the end of the machine does, or its reboot (another boot ID than `boot_id`,
    the one on record).
    Source: https://github.com/kubernetes/kubernetes/issues/116032
    """
    if is_deleted(node, lister) and not unreachable:
        message = (
            f"Node {node} was deleted while its kubelet may have been starting {what} of pod {pod}, which may run on or"
            f" be started yet; shut the machine down, then boot it, or make a Node {node} with taint"
            " node.kubernetes.io/out-of-service"
        )
        return None, Reason(NODE_DELETED, message)
    known = _order_effect(node, due, lister, now, unreachable=unreachable)
    if not isinstance(known, _OrderEffect):
        return known
    if boot_id is not None and known.seen.boot_id is not None and known.seen.boot_id != boot_id:
        return Proof.GONE, None
    if not known.seen.ready:
        return None, _unreachable(node)
    message = (
        f"Pod {pod} went while the kubelet of node {node} may have been starting {what}, which may run on or be started"
        f" yet; end it there, and reboot node {node}, or shut it down and taint it with"
        " node.kubernetes.io/out-of-service"
    )
    return None, Reason(KUBELET_BUSY, message)


def proof_on_record(
    evidence: PodEvidence, due: datetime, lister: Lister, now: datetime, *, unreachable: bool = False
) -> Finding:
    """Say what is proven of a pod that is on record, has not ended by it, and went while nobody looked.

    `due` is when the processes are to be ended that its node had started. `evidence` has its node's word already.
    """
    if evidence.empty_at is not None and evidence.runtime_class is None:
        return Proof.EMPTIED, None
    if evidence.node is None:
        return None, _node_unknown(evidence.name or evidence.uid)
    what = may_be_starting(evidence)
    if what is None:
        return proof_by_node(evidence.node, due, lister, now, unreachable=unreachable)
    return proof_by_boot(
        evidence.name or evidence.uid, what, evidence.node, evidence.boot_id, due, lister, now, unreachable=unreachable
    )


def _node_unknown(pod: str) -> Reason:
    message = (
        f"Pod {pod} went while nobody looked, and had no node by the last that is known of it: it may have been bound"
        " since, and its containers may run or be started yet, on nobody knows which node; look for them on the nodes,"
        " and set spec.stop.onUnconfirmed to MarkStopped once there are none"
    )
    return Reason(NODE_UNKNOWN, message)


def _unreadable(node: str) -> Reason:
    message = f"The pod is gone, and node {node} may not be read, so nobody knows whether the processes still run"
    return Reason("NodeReadForbidden", message)


def _unreachable(node: str) -> Reason:
    message = (
        f"Node {node} does not answer, so nobody knows whether the processes still run; bring it back,"
        " delete it, or taint it with node.kubernetes.io/out-of-service once it is shut down"
    )
    return Reason(NODE_UNREACHABLE, message)
