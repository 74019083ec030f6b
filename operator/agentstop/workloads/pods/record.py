"""The record of a pod: what its evidence and its stop need to know, and no more."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from sys import intern
from typing import Any, Final, NamedTuple

from agentstop.api.meta import LATEST, MAX_DURATION_SECONDS, TASK_LABEL, parse_number, parse_seconds, parse_time
from agentstop.api.task import ContainerEnd, PodEvidence
from agentstop.lifecycle.graces import MIN_KUBELET_SECONDS
from agentstop.lifecycle.verdict import SIGKILL_EXIT_CODE
from agentstop.workloads.lightening import IS_HEAVY
from agentstop.workloads.pods.container_spec import (
    DEFAULT_GRACE_SECONDS,
    ends_late,
    is_probed,
    probe_grace_seconds,
    started_at,
    starts_slowly,
)
from agentstop.workloads.pods.restarting import (
    Restart,
    Role,
    may_restart,
    restart_after,
    restarts_all,
    rules_restart_all,
)

STOP_MANAGER: Final = "agentstop-stop"
"""Field manager of the one change that stops a pod in place. The API server records it with its time in the pod's
managedFields, so the mark of a stop survives a crash of the operator between the change and its own record."""

STOP_DEADLINE_SECONDS: Final = 1
"""The deadline that stops a pod in place: the least that the API server takes, so that nobody can lower it further, and
the field cannot be raised."""

ENDED_PHASES: Final = frozenset({"Succeeded", "Failed"})
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

LOST_CONTAINER: Final = "ContainerStatusUnknown"
"""Reason that the kubelet gives for a container that it cannot find any more."""


class State(StrEnum):
    """The state of a container."""

    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """One container of a pod; where it waits to be restarted, the end of its last run."""

    name: str
    role: Role
    state: State
    reason: str | None
    message: str | None
    exit_code: int | None
    signal: int | None
    started_at: datetime | None
    finished_at: datetime | None
    restart: Restart
    """Whether the kubelet starts it again after the end that it had, and by whose rule."""
    starts_slowly: bool
    ends_late: bool
    is_probed: bool
    probe_grace_seconds: int
    """How it starts and ends, by the functions of these names."""
    restarts_slowly: bool
    """Whether it may be started again after some end, and that takes its time."""
    succeeded_before: datetime | None = None
    """When it ended with exit code 0 in the run before the one that is shown; None where its own rules want more."""

    @property
    def ran(self) -> bool:
        """Whether a process of it was ever started."""
        if self.started_at is not None or self.state is State.RUNNING:
            return True
        return self.reason == LOST_CONTAINER and "used to be Running" in (self.message or "")

    @property
    def over(self) -> bool:
        """Whether it has ended and is not started again."""
        return self.state is State.TERMINATED and self.restart is Restart.NO

    @property
    def starting(self) -> bool:
        """Whether the kubelet may be busy with starting it, or have started it without saying so yet.

        It says nothing, and hears nothing, while it pulls an image, waits for a volume or runs a start hook, however
        long that takes. To start a container again takes it a moment, if neither image nor hook holds it up.
        Source: https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/
        """
        again = self.finished_at is not None
        comes = self.state is State.WAITING or (self.state is State.TERMINATED and self.restart is not Restart.NO)
        return comes and self.role is not Role.EPHEMERAL and (self.starts_slowly or not again)

    def restarting(self, *, unseen: bool) -> bool:
        """Whether the kubelet may be starting it again though its state does not say so.

        It ends a container whose probe has failed, and starts it again, without a word in between. `unseen` says that
        the state may be an older one: the container may have ended since, or the pod got another sandbox, for which its
        init containers run once more.
        Source: SyncPod in kubernetes/kubernetes v1.36.2, pkg/kubelet/kuberuntime/kuberuntime_manager.go
        """
        if self.state is State.RUNNING:
            return self.restarts_slowly and (unseen or self.is_probed)
        return self.restarts_slowly and unseen and self.role is Role.INIT

    def ended_since(self, moment: datetime | None) -> bool:
        """Whether it ended after this moment, if there is one: no container of a pod that is to go is started again."""
        over_at = self.finished_at if self.state is State.TERMINATED else None
        return moment is not None and over_at is not None and over_at >= moment.replace(microsecond=0)

    def evidence(self) -> ContainerEnd:
        """Return what a task's status says of it: no exit code where nothing ran, whatever stands in for one."""
        if not self.ran:
            return ContainerEnd(name=self.name, reason=self.reason)
        return ContainerEnd(
            name=self.name,
            exit_code=self.exit_code,
            signal=self.signal,
            reason=self.reason,
            started_at=self.started_at,
            finished_at=self.finished_at,
        )


class Disruption(NamedTuple):
    """Why somebody threw a pod out: the scheduler, the node, or whoever evicts.

    Source: https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
    """

    reason: str
    message: str | None
    at: datetime | None


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
        evicted_at = _evicted_at(self.disruption)
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
        cut_off: bool = False,
        unseen: bool = True,
    ) -> PodEvidence:
        """Return what a task's status says of it, and of its node where that is needed; `known` is what it says by now.

        `cut_off` says that it is gone, and that something of it may have been started since; `unseen` that it may go,
        or went, in another state than this.
        """
        told = self.ended or (self.phase not in ENDED_PHASES and not cut_off)
        # What somebody put in to debug the pod is no part of its work, and its end none of the stop's.
        own = [each for each in self.containers if each.role is not Role.EPHEMERAL]
        shown = [each for each in own if each.ran or each.role is not Role.INIT]
        return PodEvidence(
            name=self.name,
            uid=self.uid,
            node=self.node,
            resource_version=self._first_version(known) if self.node is None and not self.ended else None,
            boot_id=boot_id,
            grace_period_seconds=self.longest_grace_seconds
            if self.longest_grace_seconds != DEFAULT_GRACE_SECONDS
            else None,
            restarts_slowly=self.restarts_slowly(unseen=unseen) or None,
            phase=self.phase if told else UNKNOWN_PHASE,
            containers=tuple(each.evidence() for each in shown),
        )

    def _first_version(self, known: PodEvidence | None) -> str:
        """Return the version that is on record, so that no later one is a change to be written."""
        return (known.resource_version if known is not None else None) or self.resource_version


def read_pod(raw: Mapping[str, Any]) -> PodRecord:
    """Return the record of a pod from the API server's object."""
    metadata, spec, status = raw["metadata"], raw.get("spec", {}), raw.get("status", {})
    conditions = {each.get("type"): each for each in status.get("conditions") or ()}
    disruption = _disruption(conditions)
    deletion_at = parse_time(metadata.get("deletionTimestamp"))
    deletion_grace = parse_seconds(metadata.get("deletionGracePeriodSeconds"))
    requested_at = deletion_at - timedelta(seconds=deletion_grace) if deletion_at is not None else None
    if deletion_at is not None and deletion_grace == MAX_DURATION_SECONDS:
        # The API server's own sum overflows, and says that it was over when it was asked for.
        requested_at, deletion_at = deletion_at, LATEST
    return PodRecord(
        namespace=intern(metadata["namespace"]),
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        task=(metadata.get("labels") or {}).get(TASK_LABEL),
        controller=read_controller(metadata.get("ownerReferences") or ()),
        node=_intern(spec.get("nodeName")),
        phase=intern(status.get("phase") or "Pending"),
        reason=_intern(status.get("reason")),
        message=status.get("message"),
        unscheduled=_unscheduled(conditions),
        disruption=disruption,
        bound_at=_bound_at(metadata, spec, conditions),
        taken_at=parse_time(status.get("startTime")),
        grace_seconds=parse_seconds(spec.get("terminationGracePeriodSeconds"), DEFAULT_GRACE_SECONDS),
        deadline_seconds=_deadline(spec.get("activeDeadlineSeconds")),
        marked_at=_marked_at(metadata.get("managedFields") or ()),
        deletion_at=deletion_at,
        deletion_grace_seconds=deletion_grace,
        soonest_kill=min(
            filter(None, (_deletion_killed_by(deletion_at, deletion_grace), _evicted_at(disruption))), default=None
        ),
        deletion_killed_by=_deletion_killed_by(deletion_at, deletion_grace),
        deletion_requested_at=requested_at,
        finalizers=tuple(metadata.get("finalizers") or ()),
        heavy=IS_HEAVY in raw,
        containers=tuple(_containers(spec, status)),
    )


def _deletion_killed_by(deletion_at: datetime | None, grace_seconds: int) -> datetime | None:
    if deletion_at is None or grace_seconds <= 0:
        return None
    return deletion_at + timedelta(seconds=max(0, MIN_KUBELET_SECONDS - grace_seconds))


def _intern(text: str | None) -> str | None:
    return intern(text) if text is not None else None


def _deadline(value: object) -> int | None:
    return parse_seconds(value) if value is not None else None


def _exit_number(value: object) -> int | None:
    return parse_number(value) if value is not None else None


def read_controller(owners: Iterable[Mapping[str, Any]]) -> Controller | None:
    """Return the controller among the owner references of an object."""
    for owner in owners:
        if owner.get("controller"):
            return Controller(intern(owner["kind"]), owner["name"], owner["uid"], intern(owner["apiVersion"]))
    return None


def _unscheduled(conditions: Mapping[str, Mapping[str, Any]]) -> str | None:
    condition = conditions.get("PodScheduled", {})
    if condition.get("status") != "False":
        return None
    return condition.get("message") or condition.get("reason")


def _bound_at(
    metadata: Mapping[str, Any], spec: Mapping[str, Any], conditions: Mapping[str, Mapping[str, Any]]
) -> datetime | None:
    if spec.get("nodeName") is None:
        return None
    scheduled = conditions.get("PodScheduled", {})
    bound_at = scheduled.get("lastTransitionTime") if scheduled.get("status") == "True" else None
    return parse_time(bound_at or metadata.get("creationTimestamp"))  # whoever made it may have bound it, too


def _disruption(conditions: Mapping[str, Mapping[str, Any]]) -> Disruption | None:
    condition = conditions.get("DisruptionTarget", {})
    if condition.get("status") != "True":
        return None
    reason = condition.get("reason") or "DisruptionTarget"
    return Disruption(intern(reason), condition.get("message"), parse_time(condition.get("lastTransitionTime")))


def _evicted_at(disruption: Disruption | None) -> datetime | None:
    return disruption.at if disruption is not None and disruption.reason == EVICTED else None


def _marked_at(managers: Iterable[Mapping[str, Any]]) -> datetime | None:
    for entry in managers:
        if entry.get("manager") == STOP_MANAGER and not entry.get("subresource"):
            return parse_time(entry.get("time"))
    return None


def _containers(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Iterable[ContainerRecord]:
    policy = spec.get("restartPolicy") or "Always"
    groups = (
        ("initContainers", "initContainerStatuses", Role.INIT),
        ("containers", "containerStatuses", Role.MAIN),
        ("ephemeralContainers", "ephemeralContainerStatuses", Role.EPHEMERAL),
    )
    everything, any_time = restarts_all(spec, status), rules_restart_all(spec)
    for specs, statuses, role in groups:
        own = {each["name"]: each for each in spec.get(specs) or ()}
        for entry in status.get(statuses) or ():
            wanted = own.get(entry["name"], {})
            sidecar = role is Role.INIT and wanted.get("restartPolicy") == "Always"
            again = any_time or may_restart(wanted, policy, role)
            seen = _container(entry, wanted, Role.SIDECAR if sidecar else role, policy, again=again)
            yield replace(seen, restart=Restart.OWN_RULE) if everything and role is not Role.EPHEMERAL else seen


def _container(
    entry: Mapping[str, Any], wanted: Mapping[str, Any], role: Role, policy: str, *, again: bool
) -> ContainerRecord:
    state, details = next(iter((entry.get("state") or {"waiting": {}}).items()))
    details = details or {}
    kind = State(state)
    end = details if kind is State.TERMINATED else {}
    if kind is State.WAITING:
        end = (entry.get("lastState") or {}).get("terminated") or {}
    exit_code = _exit_number(end.get("exitCode"))
    return ContainerRecord(
        name=intern(entry["name"]),
        role=role,
        state=kind,
        reason=_intern(end.get("reason") or details.get("reason")),
        message=end.get("message") or details.get("message"),
        exit_code=exit_code,
        signal=_exit_number(end.get("signal")),
        started_at=started_at(end.get("startedAt") or details.get("startedAt")),
        finished_at=parse_time(end.get("finishedAt")),
        restart=restart_after(wanted, policy, role, exit_code),
        starts_slowly=starts_slowly(wanted),
        ends_late=ends_late(wanted, role),
        is_probed=is_probed(wanted),
        probe_grace_seconds=probe_grace_seconds(wanted),
        restarts_slowly=again and role is not Role.EPHEMERAL and starts_slowly(wanted),
        succeeded_before=_succeeded_before(entry, wanted, policy, role) if kind is not State.WAITING else None,
    )


def _succeeded_before(entry: Mapping[str, Any], wanted: Mapping[str, Any], policy: str, role: Role) -> datetime | None:
    last = (entry.get("lastState") or {}).get("terminated") or {}
    if _exit_number(last.get("exitCode")) != 0 or restart_after(wanted, policy, role, 0) is Restart.OWN_RULE:
        return None
    return parse_time(last.get("finishedAt"))
