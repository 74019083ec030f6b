"""The v1 Node as the playground's node writes it. Pure, but for reading the machine's size."""

import os
import platform
import socket
from typing import Any

from agentstop_playground.times import now, rfc3339

ADDRESS = "127.0.0.1"
KUBELET_ANNOTATION = "playground.agentstop.dev/kubelet"
"""With the value ``dead`` the node plays a kubelet that has died."""
VERSION = "v1.36.0-playground"
UNREACHABLE = "node.kubernetes.io/unreachable"
NOT_READY = "node.kubernetes.io/not-ready"
LIFECYCLE_TAINTS = (UNREACHABLE, NOT_READY)
"""Taints that a cluster's node lifecycle controller sets and removes."""
MAX_PODS = 10_000


def new_node(name: str, log_port: int, boot_id: str) -> dict[str, Any]:
    """The object to register."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": architecture(),
            },
        },
        "spec": {},
        "status": status(name, log_port, boot_id, {}),
    }


def architecture() -> str:
    """The machine's architecture in Kubernetes' (Go's) words."""
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def status(name: str, log_port: int, boot_id: str, before: dict[str, Any]) -> dict[str, Any]:
    """The status of a node that is well. ``boot_id``: another one in each life of the node, as nothing outlives it."""
    size = {
        "cpu": str(os.cpu_count() or 1),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 1024}Ki",
        "pods": str(MAX_PODS),
    }
    system = platform.uname()
    return {
        "conditions": conditions(before, "True", "KubeletReady", "the playground's node is running"),
        "addresses": [{"type": "InternalIP", "address": ADDRESS}, {"type": "Hostname", "address": name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": log_port}},
        "capacity": size,
        "allocatable": size,
        "nodeInfo": {
            "architecture": architecture(),
            "bootID": boot_id,
            "containerRuntimeVersion": "process://1",
            "kernelVersion": system.release,
            "kubeProxyVersion": "",
            "kubeletVersion": VERSION,
            "machineID": socket.gethostname(),
            "operatingSystem": "linux",
            "osImage": "none: pods are local processes",
            "systemUUID": "",
        },
    }


def conditions(before: dict[str, Any], value: str, reason: str, message: str) -> list[dict[str, Any]]:
    """The Ready condition; its transition time is kept as long as its value stays."""
    time = rfc3339(now())
    old: dict[str, Any] = next((item for item in before.get("conditions") or [] if item["type"] == "Ready"), {})
    since = old.get("lastTransitionTime") if old.get("status") == value else time
    beat = time if value == "True" else old.get("lastHeartbeatTime") or time
    ready = {
        "type": "Ready",
        "status": value,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": beat,
        "lastTransitionTime": since or time,
    }
    return [ready]


def plays_dead(node: dict[str, Any]) -> bool:
    """Whether the node is to play a dead kubelet."""
    return (node["metadata"].get("annotations") or {}).get(KUBELET_ANNOTATION) == "dead"


def with_taints(node: dict[str, Any], *, unreachable: bool) -> list[dict[str, Any]]:
    """The node's taints, those of the lifecycle controller set or removed."""
    taints: list[dict[str, Any]] = node.get("spec", {}).get("taints") or []
    if not unreachable:
        return [item for item in taints if item["key"] not in LIFECYCLE_TAINTS]
    missing = [
        {"key": UNREACHABLE, "effect": effect, "timeAdded": rfc3339(now())}
        for effect in ("NoSchedule", "NoExecute")
        if not any(item["key"] == UNREACHABLE and item["effect"] == effect for item in taints)
    ]
    return taints + missing
