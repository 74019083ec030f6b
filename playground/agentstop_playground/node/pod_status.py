"""What a pod's status says, computed from its containers as the kubelet does. Pure.

Rules: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/ (phases, conditions, container states).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentstop_playground.node.containers import (
    UNKNOWN_EXIT_CODE,
    UNKNOWN_MESSAGE,
    UNKNOWN_REASON,
    Container,
    Role,
    Running,
    State,
    Terminated,
    Waiting,
    in_crash_backoff,
)
from agentstop_playground.times import rfc3339

START_ERROR = "StartError"
START_ERROR_EXIT_CODE = 128
"""What containerd reports for a container whose command could not be started."""

OUR_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


_GROUPS = {
    "containerStatuses": {Role.MAIN},
    "initContainerStatuses": {Role.INIT, Role.SIDECAR},
    "ephemeralContainerStatuses": {Role.EPHEMERAL},
}


@dataclass(frozen=True)
class Moment:
    """Everything but the containers that a status depends on."""

    pod: dict[str, Any]
    address: str
    started_at: datetime
    previous: dict[str, Any]
    """The status before, from which unchanged transition times are taken."""
    terminal: bool
    """The pod is over: every process of it is gone, and none will be started."""
    failure: tuple[str, str] | None
    """Reason and message, if the node itself ended the pod."""
    time: datetime
    clock: float


def state_json(state: State) -> dict[str, Any]:
    """A ``v1.ContainerState``."""
    if isinstance(state, Running):
        return {"running": {"startedAt": rfc3339(state.started_at)}}
    if isinstance(state, Waiting):
        return {"waiting": {"reason": state.reason, **({"message": state.message} if state.message else {})}}
    details: dict[str, Any] = {"exitCode": state.exit_code, "reason": state.reason}
    if state.message:
        details["message"] = state.message
    details["startedAt"] = rfc3339(state.started_at) if state.started_at else None
    details["finishedAt"] = rfc3339(state.finished_at) if state.finished_at else None
    if state.container_id:
        details["containerID"] = state.container_id
    return {"terminated": details}


def initialized(containers: Sequence[Container]) -> bool:
    """Whether all init containers have done their work (sidecars: have started)."""
    for item in containers:
        done = isinstance(item.state, Terminated) and item.state.exit_code == 0
        if item.role is Role.INIT and not done:
            return False
        if item.role is Role.SIDECAR and not item.ever_started:
            return False
    return True


def shown(container: Container, moment: Moment, is_initialized: bool) -> tuple[State, Terminated | None]:
    """The state and last state that users see."""
    state = container.state
    if moment.terminal:
        if isinstance(state, Waiting) and is_initialized:
            return Terminated(UNKNOWN_EXIT_CODE, UNKNOWN_REASON, UNKNOWN_MESSAGE), container.last
        return state, container.last
    if isinstance(state, Terminated) and in_crash_backoff(container, moment.clock):
        if state.reason == START_ERROR:
            return Waiting("RunContainerError", state.message), state
        metadata = moment.pod["metadata"]
        where = f"pod={metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        return Waiting(
            "CrashLoopBackOff", f"back-off {container.pause:g}s restarting failed container={container.name} {where}"
        ), state
    return state, container.last


def container_status(container: Container, moment: Moment, is_initialized: bool) -> dict[str, Any]:
    """A ``v1.ContainerStatus``."""
    state, last = shown(container, moment, is_initialized)
    running = isinstance(state, Running)
    finished_init = container.role is Role.INIT and isinstance(state, Terminated) and state.exit_code == 0
    return {
        "name": container.name,
        "state": state_json(state),
        "lastState": state_json(last) if last else {},
        "ready": running if container.role is not Role.INIT else finished_init,
        "started": running,
        "restartCount": container.restart_count,
        "image": container.spec.get("image") or "",
        "imageID": "",
        **({"containerID": container.container_id} if container.container_id else {}),
    }


def phase(containers: Sequence[Container], moment: Moment) -> str:
    """The pod's phase. It is terminal only once all processes are gone."""
    mains = [item for item in containers if item.role is Role.MAIN]
    if moment.terminal:
        well = all(isinstance(item.state, Terminated) and item.state.exit_code == 0 for item in mains)
        return "Succeeded" if well and moment.failure is None and initialized(containers) else "Failed"
    if not initialized(containers) and not any(item.ever_started for item in mains):
        return "Pending"
    if any(not item.ever_started for item in mains):
        return "Pending"
    return "Running"


def _names(containers: Sequence[Container]) -> str:
    return "[" + " ".join(item.name for item in containers) + "]"


def conditions(containers: Sequence[Container], moment: Moment, pod_phase: str) -> list[dict[str, Any]]:
    """The node's own conditions, and behind them those of others as they were."""
    others = [
        item for item in moment.pod.get("status", {}).get("conditions") or [] if item["type"] not in OUR_CONDITIONS
    ]
    before = {item["type"]: item for item in moment.previous.get("conditions") or []}
    result = [_condition("PodReadyToStartContainers", True, before, moment)]
    serving = [item for item in containers if item.role in {Role.MAIN, Role.SIDECAR}]
    unready = [item for item in serving if not isinstance(item.state, Running)]
    if initialized(containers) or any(item.role is Role.MAIN and item.ever_started for item in containers):
        done = "PodCompleted" if pod_phase == "Succeeded" else ""
        result.append(_condition("Initialized", True, before, moment, done))
    else:
        incomplete = [
            item
            for item in containers
            if (item.role is Role.INIT and not (isinstance(item.state, Terminated) and item.state.exit_code == 0))
            or (item.role is Role.SIDECAR and not item.ever_started)
        ]
        message = f"containers with incomplete status: {_names(incomplete)}"
        result.append(_condition("Initialized", False, before, moment, "ContainersNotInitialized", message))
    for kind in ("Ready", "ContainersReady"):
        if pod_phase == "Succeeded":
            result.append(_condition(kind, False, before, moment, "PodCompleted"))
        elif pod_phase == "Failed":
            result.append(_condition(kind, False, before, moment, "PodFailed"))
        elif unready:
            message = f"containers with unready status: {_names(unready)}"
            result.append(_condition(kind, False, before, moment, "ContainersNotReady", message))
        else:
            result.append(_condition(kind, True, before, moment))
    result.append(_condition("PodScheduled", True, before, moment))
    return result + others


def _condition(
    kind: str, value: bool, before: dict[str, Any], moment: Moment, reason: str = "", message: str = ""
) -> dict[str, Any]:
    status = "True" if value else "False"
    old = before.get(kind) or {}
    since = old.get("lastTransitionTime") if old.get("status") == status else None
    condition: dict[str, Any] = {"type": kind, "status": status}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    condition["lastProbeTime"] = None
    condition["lastTransitionTime"] = since or rfc3339(moment.time)
    return condition


def build(containers: Sequence[Container], moment: Moment) -> dict[str, Any]:
    """The whole status of a pod."""
    ready_to_run = initialized(containers)
    pod_phase = phase(containers, moment)
    status: dict[str, Any] = {
        "phase": pod_phase,
        "conditions": conditions(containers, moment, pod_phase),
        "hostIP": moment.address,
        "hostIPs": [{"ip": moment.address}],
        "podIP": moment.address,
        "podIPs": [{"ip": moment.address}],
        "startTime": rfc3339(moment.started_at),
    }
    for key, group in _GROUPS.items():
        states = [container_status(item, moment, ready_to_run) for item in containers if item.role in group]
        if states or Role.MAIN in group:
            status[key] = states
    if moment.terminal and moment.failure is not None:
        status["reason"], status["message"] = moment.failure
    return status
