"""How the API server's object becomes the record of a pod."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from sys import intern
from typing import Any

from agentstop.api.meta import LATEST, MAX_DURATION_SECONDS, TASK_LABEL, parse_number, parse_seconds, parse_time
from agentstop.words.graces import DEFAULT_GRACE_SECONDS, MIN_KUBELET_SECONDS
from agentstop.workloads.lightening import IS_HEAVY
from agentstop.workloads.pods.container import ContainerRecord, State
from agentstop.workloads.pods.container_spec import (
    ends_late,
    is_probed,
    probe_grace_seconds,
    started_at,
    starts_slowly,
)
from agentstop.workloads.pods.kept import token_seconds
from agentstop.workloads.pods.record import STOP_MANAGER, Controller, Disruption, PodRecord
from agentstop.workloads.pods.restarting import (
    Restart,
    Role,
    may_restart,
    restart_after,
    restarts_all,
    rules_restart_all,
)


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
    containers = tuple(_containers(spec, status))
    held = bool(metadata.get("finalizers")) and deletion_at is not None and _outlives(containers, deletion_at)
    killed_by = _deletion_killed_by(deletion_at, deletion_grace, held=held)
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
        soonest_kill=min(filter(None, (killed_by, disruption.evicted_at if disruption else None)), default=None),
        deletion_killed_by=killed_by,
        deletion_requested_at=requested_at,
        finalizers=tuple(metadata.get("finalizers") or ()),
        heavy=IS_HEAVY in raw,
        containers=containers,
        account=intern(spec.get("serviceAccountName") or "default"),
        runtime_class=_intern(spec.get("runtimeClassName")),
        watched=_intern(_watched(spec, status)),
        token_seconds=token_seconds(spec),
    )


def _outlives(containers: Iterable[ContainerRecord], deletion_at: datetime) -> bool:
    """Whether a container has not ended by the moment at which a deletion is over."""
    own = [each for each in containers if each.role is not Role.EPHEMERAL]
    return any(
        each.state is State.RUNNING or (each.finished_at is not None and each.finished_at > deletion_at) for each in own
    )


def _deletion_killed_by(deletion_at: datetime | None, grace_seconds: int, *, held: bool) -> datetime | None:
    """Return when a deletion has SIGKILL sent.

    Without a grace period it is the kubelet's own, which lets go of a pod that has ended; or somebody's by force, of a
    pod that is `held` there by a finalizer while it runs: then its kubelet hears of that, and leaves it the least.
    """
    if deletion_at is None or (grace_seconds <= 0 and not held):
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


def _watched(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str | None:
    """Return the name of a container that its kubelet ends when a probe fails; a startup probe, until it succeeds.

    Source: https://kubernetes.io/docs/concepts/workloads/pods/probes/
    """
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    started = {each["name"] for each in statuses if each.get("started") is True}
    for each in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        name: str = each["name"]
        starts = each.get("startupProbe") is not None and name not in started
        if each.get("livenessProbe") is not None or starts:
            return name
    return None


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
