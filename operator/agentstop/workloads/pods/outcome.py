"""How a pod's work ended: by itself, by a stop of ours, or by somebody else's hand."""

from typing import Final

from agentstop.lifecycle.ended import main_succeeded
from agentstop.lifecycle.observation import Ending, Reason
from agentstop.lifecycle.verdict import OUT_OF_MEMORY, SIGTERM_EXIT_CODE
from agentstop.workloads.objects import CacheEntry
from agentstop.workloads.pods.container import LOST_CONTAINER, ContainerRecord
from agentstop.workloads.pods.record import Disruption, PodRecord
from agentstop.workloads.pods.restarting import Restart, Role

DEADLINE_EXCEEDED: Final = "DeadlineExceeded"
"""Reason that the kubelet gives a pod that it ended for its deadline, ours included."""

THROWN_OUT: Final = frozenset({"Evicted", "NodeShutdown", "Preempting", "Shutdown", "Terminated"})
"""Reasons that a kubelet gives a pod which it ends to have its place.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/
and https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/
"""


def lost(name: str) -> Ending:
    """Return the ending of a pod that went away by another's hand, and not by its own."""
    message = f"Pod {name} was deleted by somebody else before it ended"
    return Ending(succeeded=False, word=Reason("WorkloadLost", message), at=None)


def taken_away(pod: PodRecord) -> Ending:
    """Return the ending of a pod whose object is gone, and whose end was not reported."""
    thrown_out = _thrown_out(pod)
    return Ending(succeeded=False, word=thrown_out, at=None) if thrown_out is not None else lost(pod.name)


def ending_of(pod: PodRecord, entry: CacheEntry) -> Ending | None:
    """Return how the pod ended, or None while it has not."""
    if not pod.ended:
        return None
    at = pod.ended_at
    if entry.signaled_at is not None or (
        pod.marked_at is not None and pod.stopped_in_place_at is not None and pod.reason == DEADLINE_EXCEEDED
    ):
        return Ending(succeeded=False, word=Reason("Stopped", "The workload was stopped"), at=at, by_stop=True)
    thrown_out = _thrown_out(pod)
    if thrown_out is not None:
        return Ending(succeeded=False, word=thrown_out, at=None if pod.ended_on_request else at)
    if pod.ended_on_request:
        return lost(pod.name)
    if pod.succeeded:
        return Ending(succeeded=True, word=Reason("Completed", "All containers ended with exit code 0"), at=at)
    return Ending(succeeded=False, word=_failure(pod), at=at)


def main_ending_of(pod: PodRecord, main: str, entry: CacheEntry) -> Ending | None:
    """Return how the container that does the task's work ended, or None while it has not, or a stop ended it."""
    container = next((each for each in pod.containers if each.name == main), None)
    if container is None:
        return None
    signaled_at = entry.signaled_at or pod.stopped_in_place_at or pod.deletion_requested_at
    before = container.succeeded_before
    if before is not None and (signaled_at is None or before <= signaled_at):
        # Its kubelet was starting it once more when the pod was asked to go, and hears of nothing meanwhile.
        return main_succeeded(main, before)
    if not _ended_for_good(container):
        return None
    if signaled_at is not None and (container.finished_at is None or container.finished_at > signaled_at):
        return None
    if container.exit_code == 0:
        return main_succeeded(main, container.finished_at)
    return Ending(succeeded=False, word=_container_failure(container), at=container.finished_at)


def _ended_for_good(container: ContainerRecord) -> bool:
    """Whether it is over; success ends the main container even where the pod's policy would start it again.

    Not where its own policy or rules do: these were written for this container, so that is what its author wants.
    """
    succeeded = container.exit_code == 0 and container.finished_at is not None
    return container.over or (succeeded and container.restart is not Restart.OWN_RULE)


def _thrown_out(pod: PodRecord) -> Reason | None:
    """Return why a pod was thrown out before its work was done, if it was: its exit code 0 is no success then.

    An eviction that leaves nothing but an Event cannot be told from an end.
    """
    disruption = pod.disruption
    if disruption is not None and not _ended_before(pod, disruption):
        return Reason(disruption.reason, disruption.message or f"Pod {pod.name} was thrown out before it ended")
    if pod.reason in THROWN_OUT:
        return Reason(pod.reason, pod.message or f"Pod {pod.name} was thrown out before it ended")
    return None


def _ended_before(pod: PodRecord, disruption: Disruption) -> bool:
    if not pod.ended or disruption.at is None or pod.ended_at is None:
        return False
    return pod.ended_at < disruption.at


def _failure(pod: PodRecord) -> Reason:
    if pod.reason:
        return Reason(pod.reason, pod.message or f"Pod {pod.name} failed")
    failed = [each for each in pod.containers if each.exit_code not in {None, 0} and each.role is not Role.SIDECAR]
    if failed:
        return _container_failure(failed[0])
    return Reason("PodFailed", pod.message or f"Pod {pod.name} failed")


def _container_failure(container: ContainerRecord) -> Reason:
    if not container.ran and container.reason not in {None, LOST_CONTAINER}:
        # The runtime's own words quote the command, and so what stands in it: they are for who may read the pod.
        message = f"Container {container.name} could not be started; kubectl describe pod says why"
        return Reason(container.reason, message)
    if container.reason == LOST_CONTAINER:  # whose exit code 137 stands for one that nobody knows
        message = f"Node lost container {container.name}, so nobody knows how it ended: {container.message}"
        return Reason("ContainerFailed", message)
    if container.reason == OUT_OF_MEMORY and container.exit_code != SIGTERM_EXIT_CODE:
        return Reason(OUT_OF_MEMORY, f"Container {container.name} ran out of memory")
    return Reason("ContainerFailed", f"Container {container.name} ended with exit code {container.exit_code}")
