"""Which pods the node takes, and why it takes others not. Pure.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

import re
from collections.abc import Mapping
from typing import Any

DEFAULT_SCHEDULER = "default-scheduler"

_QUANTITY = re.compile(r"([0-9.]+(?:[eE][0-9]+)?)([a-zA-Z]*)")
_SUFFIXES = {
    "": 1.0,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
}


def wants_scheduling(pod: Mapping[str, Any]) -> bool:
    """Whether the pod waits for this node's scheduler."""
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and not pod["metadata"].get("deletionTimestamp")
        and not spec.get("schedulingGates")
        and (spec.get("schedulerName") or DEFAULT_SCHEDULER) == DEFAULT_SCHEDULER
        and (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}
    )


def unschedulable(pod: Mapping[str, Any], node: Mapping[str, Any]) -> str | None:
    """Why the pod cannot run on the node, in the scheduler's words; None if it can."""
    spec, node_spec = pod["spec"], node.get("spec") or {}
    labels = node["metadata"].get("labels") or {}
    reason = None
    if node_spec.get("unschedulable") and not _tolerated(
        spec, {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    ):
        reason = "node(s) were unschedulable"
    elif any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        reason = "node(s) didn't match Pod's node affinity/selector"
    else:
        for taint in node_spec.get("taints") or []:
            if taint.get("effect") in {"NoSchedule", "NoExecute"} and not _tolerated(spec, taint):
                reason = f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}"
                break
        else:
            short = _insufficient(spec, node.get("status", {}).get("allocatable") or {})
            reason = f"Insufficient {short}" if short else None
    if reason is None:
        return None
    none = "0/1 nodes are available"
    return f"{none}: 1 {reason}. preemption: {none}: 1 Preemption is not helpful for scheduling."


def _tolerated(spec: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    for item in spec.get("tolerations") or []:
        if item.get("effect") and item["effect"] != taint.get("effect"):
            continue
        if item.get("operator") == "Exists":
            if not item.get("key") or item["key"] == taint["key"]:
                return True
        elif item.get("key") == taint["key"] and (item.get("value") or "") == (taint.get("value") or ""):
            return True
    return False


def quantity(text: str) -> float:
    """A resource quantity as a number; 0 for one that is not understood."""
    match = _QUANTITY.fullmatch(str(text))
    if match is None or match.group(2) not in _SUFFIXES:
        return 0.0
    return float(match.group(1)) * _SUFFIXES[match.group(2)]


def _insufficient(spec: Mapping[str, Any], allocatable: Mapping[str, str]) -> str | None:
    """The resource of which this pod alone wants more than the machine has.

    Pods are not added up: a thousand small ones that reserve a tenth of a CPU each are what a playground is for.
    """
    wanted: dict[str, float] = {}
    for container in spec.get("containers") or []:
        resources = container.get("resources") or {}
        for name, value in {**(resources.get("limits") or {}), **(resources.get("requests") or {})}.items():
            wanted[name] = wanted.get(name, 0.0) + quantity(value)
    for name, value in sorted(wanted.items()):
        if name == "ephemeral-storage":
            continue
        if value > quantity(allocatable.get(name, "0")):
            return name
    return None
