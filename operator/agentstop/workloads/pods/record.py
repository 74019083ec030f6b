"""The record of a pod: what its evidence and its stop need to know, and no more."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from agentstop.api.workload_status import PodEvidence
from agentstop.lifecycle.verdict import SIGKILL_EXIT_CODE
from agentstop.words.graces import DEFAULT_GRACE_SECONDS, MIN_KUBELET_SECONDS
from agentstop.workloads.objects import PodOnNode
from agentstop.workloads.pods.container import ContainerRecord, State
from agentstop.workloads.pods.restarting import Role

STOP_MANAGER: Final = "agentstop-stop"
"""Field manager of the one change that stops a pod in place. The API server records it with its time in the pod's
managedFields, so the mark of a stop survives a crash of the operator between the change and its own record."""

STOP_DEADLINE_SECONDS: Final = 1
"""The deadline that stops a pod in place: the least that the API server takes, so that nobody can lower it further, and
the field cannot be raised."""

FAILED_PHASE: Final = "Failed"
ENDED_PHASES: Final = frozenset({"Succeeded", FAILED_PHASE})

RUNNING_PHASE: Final = "Running"
"""Phase of a pod whose containers have all been started, once at least.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase
"""

UNKNOWN_PHASE: Final = "Unknown"
"""Kubernetes' own word; here for a pod that others than its kubelet have declared over, or that is gone while its
kubelet may be starting something of it."""

COLLECTED: Final = "DeletionByPodGC"
"""Reason for which the control plane's garbage collector of pods throws one out whose node is gone.

It writes phase Failed first, whatever the containers do.
Source: https://github.com/kubernetes/kubernetes/blob/v1.36.2/pkg/controller/podgc/gc_controller.go
"""

EVICTED: Final = "TerminationByKubelet"
"""Reason for which a kubelet throws a pod out to have its place; with a hard threshold it leaves it no grace period.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#hard-eviction-thresholds
"""


class Disruption(NamedTuple):
    """Why somebody threw a pod out: the scheduler, the node, or whoever evicts.

    Source: https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
    """

    reason: str
    message: str | None
    at: datetime | None

    @property
    def evicted_at(self) -> datetime | None:
        """When its kubelet threw the pod out to have its place, if that was it."""
        return self.at if self.reason == EVICTED else None


@dataclass(frozen=True, slots=True)
class Controller:
    """The object that controls another one, by its owner reference."""

    kind: str
    name: str
    uid: str
    api_version: str = "v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRecord:
    """What matters of a pod."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    task: str | None
    controller: Controller | None
    let_go: bool = False
    """Whether the reference to that controller was taken off: it neither ends the pod nor counts its end any more."""
    node: str | None
    phase: str
    reason: str | None
    message: str | None
    unscheduled: str | None
    """Why the scheduler found no node for it, in its words."""
    disruption: Disruption | None
    """Why it was thrown out, if it was."""
    bound_at: datetime | None = None
    """When it was bound to its node, to the second; None where that is not known."""
    taken_at: datetime | None
    """When a kubelet took it (its status' start time)."""
    grace_seconds: int
    deadline_seconds: int | None
    marked_at: datetime | None
    """When our stop in place was accepted, to the second; from managedFields."""
    deletion_at: datetime | None
    """When its grace period ends, if it is being deleted."""
    deletion_grace_seconds: int
    soonest_kill: datetime | None
    """When SIGKILL comes at the earliest, if a kubelet shortens a grace period that runs: by any of its deletions, or
    since its kubelet evicted it."""
    deletion_killed_by: datetime | None
    """When the kubelet sends SIGKILL by the first deletion that it heard of: a later one changes nothing for it."""
    deletion_requested_at: datetime | None
    """When it was asked to go, if it was: deletion timestamp less grace period, in the earliest state with one."""
    finalizers: tuple[str, ...]
    heavy: bool = False
    """Whether it is so large that others may not be able to add to it: its node what became of its containers."""
    containers: tuple[ContainerRecord, ...]
    unreadable: str | None = None
    """Why nothing can be made of what it says of itself, if so."""
    account: str = "default"
    """The service account that it runs as."""
    runtime_class: str | None = None
    """The class of runtime that it asks for, where that is not the node's own."""
    watched: str | None = None
    """Name of a container that its kubelet ends where a probe of it fails, if there is one now."""
    token_seconds: int | None = None
    """How long the longest of the tokens lives that are mounted in it; None where none are."""

    @property
    def stopped_in_place_at(self) -> datetime | None:
        """When the deadline that stops it in place took effect, if it has that deadline.

        The deadline itself is what counts: a mark without it is nobody's word but that of who wrote it.
        """
        if self.deadline_seconds != STOP_DEADLINE_SECONDS or self.taken_at is None:
            return None
        return self.marked_at or self.taken_at + timedelta(seconds=STOP_DEADLINE_SECONDS)

    @property
    def ends_in_place(self) -> bool:
        """Whether its kubelet heard of the deadline that stops it before it heard of any deletion."""
        in_place, deleted_at = self.stopped_in_place_at, self.deletion_requested_at
        return in_place is not None and (deleted_at is None or in_place <= deleted_at)

    @property
    def on_node(self) -> PodOnNode:
        """The pod as its node knows it."""
        return PodOnNode(self.namespace, self.uid, self.node)

    @property
    def killed_by(self) -> datetime | None:
        """When the kubelet sends SIGKILL, if the pod is being ended: what it heard of first is what it keeps to."""
        in_place, over_at = self.stopped_in_place_at, self.deletion_killed_by
        if in_place is not None and self.ends_in_place:
            over_at = in_place + timedelta(seconds=max(self.grace_seconds, MIN_KUBELET_SECONDS))
        if over_at is None:
            return None
        later = over_at + timedelta(seconds=MIN_KUBELET_SECONDS)
        served = any(each.ends_late and each.finished_at and each.finished_at >= later for each in self.containers)
        over_at = later if served else over_at
        return min(over_at, self.evicted_by or over_at)

    @property
    def evicted_by(self) -> datetime | None:
        """When an eviction by its kubelet had ended its containers by SIGKILL, if it did."""
        evicted_at = self.disruption.evicted_at if self.disruption is not None else None
        if evicted_at is None:
            return None
        killed = (each.finished_at for each in self.containers if each.exit_code == SIGKILL_EXIT_CODE)
        return max((at for at in killed if at is not None and at >= evicted_at), default=None)

    @property
    def longest_grace_seconds(self) -> int:
        """The longest that may run: that of a deletion; its own; or a probe's and then its own, for the next start."""
        probes = [each.probe_grace_seconds for each in self.containers if each.state is State.RUNNING]
        return max(self.deletion_grace_seconds, max(probes, default=0) + self.grace_seconds)

    @property
    def started_at(self) -> datetime | None:
        """When its first container was started, as far as the states still show it."""
        return min((each.started_at for each in self.containers if each.started_at), default=None)

    @property
    def ran(self) -> bool:
        """Whether any container of it was ever started."""
        return any(container.ran for container in self.containers)

    @property
    def asked_to_go_at(self) -> datetime | None:
        """When it was deleted, or else stopped in place."""
        return self.deletion_requested_at or self.stopped_in_place_at

    @property
    def starting(self) -> ContainerRecord | None:
        """Return a container that a kubelet may be starting at this moment, if there is one."""
        if self.taken_at is None or self.ended:
            return None
        starting = (each for each in self.containers if each.starting and not each.ended_since(self.asked_to_go_at))
        return next(starting, None)

    def restarting(self, *, unseen: bool) -> ContainerRecord | None:
        """Return a container that a kubelet may be starting again though its state does not say so, if there is one.

        `unseen` says that the pod may have changed since; but what was asked to go is not started again.
        """
        if self.taken_at is None or self.ended:
            return None
        later = unseen and self.asked_to_go_at is None
        return next((each for each in self.containers if each.restarting(unseen=later)), None)

    def restarts_slowly(self, *, unseen: bool) -> bool:
        """Whether a container that has run may be in a slow start when the pod goes; for `unseen` see `restarting`."""
        which = self.starting or self.restarting(unseen=unseen)
        return which is not None and which.started_at is not None

    def may_have_started_since(self, moment: datetime) -> bool:
        """Whether a kubelet may have been starting any of its containers at this moment: that shows only later."""
        second = moment.replace(microsecond=0)
        starts = [each for each in self.containers if each.state is State.RUNNING and each.role is not Role.EPHEMERAL]
        return any(each.starts_slowly or (each.started_at or second) >= second for each in starts)

    @property
    def ended(self) -> bool:
        """Whether the node has reported every process of it as gone.

        That is a terminal phase, which the kubelet writes for pods that are being deleted, too, once all is gone; what
        the containers' states say before may be older than the deletion. The phase alone is not enough either: others
        than the kubelet write it on pods of nodes that are lost. Where they say so, nothing but ends counts that the
        kubelet had reported, and a container that waited may have been started since.
        Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase (since 1.27)
        """
        if self.collected:
            return bool(self.containers) and all(container.over for container in self.containers)
        return self.phase in ENDED_PHASES and all(each.state is not State.RUNNING for each in self.containers)

    @property
    def collected(self) -> bool:
        """Whether its phase is the word of a control plane that has lost its node."""
        return self.disruption is not None and self.disruption.reason == COLLECTED

    @property
    def succeeded(self) -> bool:
        """Whether it has ended, and well."""
        if self.collected:
            return self.ended and all(container.exit_code == 0 for container in self.containers)
        return self.phase == "Succeeded"

    @property
    def ended_at(self) -> datetime | None:
        """When the last of its containers ended, as far as the states show it."""
        return max((each.finished_at for each in self.containers if each.finished_at), default=None)

    @property
    def ended_on_request(self) -> bool:
        """Whether it was asked to go before it had ended."""
        asked, at = self.deletion_requested_at, self.ended_at
        return asked is not None and (at is None or at >= asked)

    def following(self, before: "PodRecord") -> "PodRecord":
        """Return this record of a pod, knowing an earlier one of it.

        When the kubelet lets go of a pod, or a shorter grace period is over at once, the API server counts from that
        moment: when the pod was asked to go first shows in the earlier states alone.
        """
        if before.deletion_requested_at is None:
            return self
        kills = [each.soonest_kill for each in (before, self) if each.soonest_kill is not None]
        killed_by = before.deletion_killed_by or self.deletion_killed_by
        return replace(
            self,
            deletion_requested_at=before.deletion_requested_at,
            deletion_killed_by=killed_by,
            soonest_kill=min(kills, default=None),
        )

    def evidence(
        self,
        known: PodEvidence | None = None,
        boot_id: str | None = None,
        *,
        empty_at: datetime | None = None,
        frozen_at: datetime | None = None,
        cut_off: bool = False,
        unseen: bool = True,
    ) -> PodEvidence:
        """Return what a task's status says of it, and of its node where that is needed; `known` is what it says by now.

        `empty_at` is when the kernel said that nothing of it was left, `frozen_at` since when it is frozen by its word.
        `cut_off` says that it is gone, and that something of it may have been started since; `unseen` that it may go,
        or went, in another state than this. What goes without a node is over with that, which nothing tells any more
        who comes later: it was seen to be gone, or it is being deleted, and the API server binds no such pod.
        """
        went_unbound = self.node is None and (self.deletion_at is not None or not unseen)
        over = self.ended or went_unbound
        told = self.ended or (self.phase not in ENDED_PHASES and not cut_off)
        # What somebody put in to debug the pod is no part of its work, and its end none of the stop's.
        own = [each for each in self.containers if each.role is not Role.EPHEMERAL]
        shown = [each for each in own if each.ran or each.role is not Role.INIT]
        return PodEvidence(
            name=self.name,
            uid=self.uid,
            node=self.node,
            resource_version=self._first_version(known) if self.node is None and not over else None,
            boot_id=boot_id,
            grace_period_seconds=self.longest_grace_seconds
            if self.longest_grace_seconds != DEFAULT_GRACE_SECONDS
            else None,
            restarts_slowly=self.restarts_slowly(unseen=unseen) or None,
            runtime_class=self.runtime_class,
            empty_at=empty_at,
            frozen_at=frozen_at if not self.ended else None,
            phase=FAILED_PHASE if went_unbound and not self.ended else self.phase if told else UNKNOWN_PHASE,
            containers=tuple(each.evidence() for each in shown),
        )

    def _first_version(self, known: PodEvidence | None) -> str:
        """Return the version that is on record, so that no later one is a change to be written."""
        return (known.resource_version if known is not None else None) or self.resource_version
