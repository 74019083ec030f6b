"""The table of pods: READY, STATUS and RESTARTS as kubectl users know them.

The status word follows the printer of the real server (``pkg/printers/internalversion``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .resources import Column
from .tables import AGE_COLUMN, age

_LOST: Final = "NodeLost"


def _statuses(obj: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (obj.get("status") or {}).get(name) or []
    return found


def _sidecars(obj: Mapping[str, Any]) -> set[str]:
    spec = obj.get("spec") or {}
    return {item["name"] for item in spec.get("initContainers") or () if item.get("restartPolicy") == "Always"}


def ready(obj: Mapping[str, Any]) -> str:
    """``1/2``: containers that are ready, of all that are to run side by side."""
    sidecars = _sidecars(obj)
    total = len((obj.get("spec") or {}).get("containers") or ()) + len(sidecars)
    running = [item for item in _statuses(obj, "containerStatuses") if item.get("ready")]
    helpers = [
        item for item in _statuses(obj, "initContainerStatuses") if item["name"] in sidecars and item.get("ready")
    ]
    return f"{len(running) + len(helpers)}/{total}"


def restarts(obj: Mapping[str, Any]) -> str:
    """``0``, or ``3 (12s ago)``: how often containers were restarted, and when last."""
    sidecars = _sidecars(obj)
    items = _statuses(obj, "containerStatuses") + [
        item for item in _statuses(obj, "initContainerStatuses") if item["name"] in sidecars
    ]
    count = sum(item.get("restartCount", 0) for item in items)
    times = [((item.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for item in items]
    last = max(filter(None, times), default=None)
    return f"{count} ({age(last)} ago)" if count and last else str(count)


def _ending(terminated: Mapping[str, Any]) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _init_status(obj: Mapping[str, Any], sidecars: set[str]) -> str | None:
    total = len((obj.get("spec") or {}).get("initContainers") or ())
    for index, item in enumerate(_statuses(obj, "initContainerStatuses")):
        state = item.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated and terminated.get("exitCode", 0) == 0:
            continue
        if item["name"] in sidecars and item.get("started"):
            continue
        if terminated:
            return f"Init:{_ending(terminated)}"
        if waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{total}"
    return None


def status(obj: Mapping[str, Any]) -> str:
    """The STATUS word."""
    state = obj.get("status") or {}
    word = state.get("reason") or state.get("phase") or "Unknown"
    for condition in state.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            word = "SchedulingGated"
    initializing = _init_status(obj, _sidecars(obj))
    if initializing is not None and state.get("phase") not in ("Succeeded", "Failed"):
        word = initializing
    else:
        has_running = False
        for item in reversed(_statuses(obj, "containerStatuses")):
            current = item.get("state") or {}
            waiting, terminated = current.get("waiting") or {}, current.get("terminated")
            if waiting.get("reason"):
                word = waiting["reason"]
            elif terminated is not None:
                word = _ending(terminated)
            elif item.get("ready") and "running" in current:
                has_running = True
        if word == "Completed" and has_running:
            word = "Running" if _is_ready(obj) else "NotReady"
    if "deletionTimestamp" in obj["metadata"]:
        if state.get("reason") == _LOST:
            return "Unknown"
        if state.get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return str(word)


def _is_ready(obj: Mapping[str, Any]) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)


def _or_none(value: Any) -> str:
    return str(value) if value else "<none>"


def _gates(obj: Mapping[str, Any]) -> str:
    gates = (obj.get("spec") or {}).get("readinessGates") or ()
    if not gates:
        return "<none>"
    conditions = {item["type"]: item["status"] for item in (obj.get("status") or {}).get("conditions") or ()}
    return f"{sum(conditions.get(gate['conditionType']) == 'True' for gate in gates)}/{len(gates)}"


POD_COLUMNS: Final = (
    Column("Ready", ready, description="The aggregate readiness state of this pod for accepting traffic."),
    Column("Status", status, description="The aggregate status of the containers in this pod."),
    Column("Restarts", restarts, description="The number of times the containers in this pod have been restarted."),
    AGE_COLUMN,
    Column("IP", lambda obj: _or_none((obj.get("status") or {}).get("podIP")), priority=1),
    Column("Node", lambda obj: _or_none((obj.get("spec") or {}).get("nodeName")), priority=1),
    Column("Nominated Node", lambda obj: _or_none((obj.get("status") or {}).get("nominatedNodeName")), priority=1),
    Column("Readiness Gates", _gates, priority=1),
)
