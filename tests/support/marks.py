"""Marks in the environment, by which the processes of pods and of workloads are found on this machine."""

from pathlib import Path

from tests.support.kube import Object

POD = "AGENTSTOP_TEST_MARK"
"""Variable that says which pod a process belongs to."""

WORKLOAD = "AGENTSTOP_TEST_WORKLOAD"
"""Variable that says which Job, Deployment or the like a process belongs to."""

_POD_NAME = "AGENTSTOP_TEST_POD"


def for_pod(namespace: str, name: str) -> list[Object]:
    """Return the variables of a pod whose name is known."""
    return [{"name": POD, "value": f"{namespace}/{name}"}]


def for_template(namespace: str) -> list[Object]:
    """Return the variables of pods that get their names later."""
    name = {"name": _POD_NAME, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    return [name, {"name": POD, "value": f"{namespace}/$({_POD_NAME})"}]


def for_workload(namespace: str, kind: str, name: str) -> list[Object]:
    """Return the variables of all pods of one workload."""
    return [*for_template(namespace), {"name": WORKLOAD, "value": f"{namespace}/{kind}/{name}"}]


def pod_of(pid: int) -> str:
    """Return which pod a process belongs to; empty where it has ended or is none of ours."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_text(encoding="utf-8", errors="replace").split("\0")
    except OSError:
        return ""
    return next((each.partition("=")[2] for each in entries if each.startswith(f"{POD}=")), "")


def put(spec: Object, variables: list[Object]) -> Object:
    """Return a pod spec with variables in each of its containers."""
    groups = {
        group: [{**each, "env": [*each.get("env", ()), *variables]} for each in spec[group]]
        for group in ("initContainers", "containers")
        if isinstance(spec.get(group), list)
    }
    return {**spec, **groups}


def of_pod(namespace: str, name: str) -> list[int]:
    """Return the ids of this machine's processes that belong to a pod."""
    return _marked(f"{POD}={namespace}/{name}")


def of_workload(namespace: str, kind: str, name: str) -> list[int]:
    """Return the ids of this machine's processes that belong to a workload's pods."""
    return _marked(f"{WORKLOAD}={namespace}/{kind}/{name}")


def _marked(entry: str) -> list[int]:
    return [int(folder.name) for folder in Path("/proc").iterdir() if _has(folder, entry.encode())]


def _has(folder: Path, entry: bytes) -> bool:
    if not folder.name.isdigit():
        return False
    try:
        return entry in (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
