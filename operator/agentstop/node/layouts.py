"""Where kubelets put the cgroup of a pod: the layouts of both cgroup drivers, below one root.

Source: https://github.com/kubernetes/kubernetes/blob/v1.36.2/pkg/kubelet/cm/cgroup_manager_linux.go
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

POD_UID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The form of every UID that the API server gives a pod. It becomes part of a path, and nothing else may."""

PODS: Final = "kubepods"
"""What the cgroup of all pods is called; a kubelet with a `cgroupRoot` of its own puts that before it."""

QOS_CLASSES: Final = ("", "burstable", "besteffort")
"""Pods of class Guaranteed have no level of their own."""

SLICE: Final = ".slice"
POD: Final = "pod"


def is_pod_uid(text: str) -> bool:
    """Whether a text can be the UID of a pod."""
    return POD_UID.fullmatch(text) is not None


def pod_cgroup(root: Path, uid: str) -> Path | None:
    """Return the cgroup of the pod with this UID below a root that is resolved; None where there is none.

    Raises ValueError for what is no UID.
    """
    if not is_pod_uid(uid):
        raise ValueError(f"{uid!r} is not the UID of a pod")
    # Whatever leads somewhere else than its name says is not the pod's.
    return next((place for place in _places(root, uid) if place.is_dir() and place.resolve() == place), None)


def pod_uids(root: Path) -> Iterator[str]:
    """Yield the UIDs of all pods that have a cgroup below a root that is resolved."""
    for folder, prefix in _parents(root):
        for name in _names(folder):
            uid = name.removeprefix(prefix).removesuffix(SLICE).replace("_", "-")
            if name == _name(prefix, uid) and is_pod_uid(uid):
                yield uid


def _places(root: Path, uid: str) -> Iterator[Path]:
    for folder, prefix in _parents(root):
        yield folder / _name(prefix, uid)


def _parents(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield where the cgroups of pods are, and how their names begin there."""
    for qos in QOS_CLASSES:
        yield root / PODS / qos, POD
    for top in (root / f"{PODS}{SLICE}", *sorted(root.glob(f"*-{PODS}{SLICE}"))):
        stem = top.name.removesuffix(SLICE)
        for qos in QOS_CLASSES:
            name = f"{stem}-{qos}" if qos else stem
            yield (top / f"{name}{SLICE}" if qos else top), f"{name}-{POD}"


def _name(prefix: str, uid: str) -> str:
    # The driver `systemd` has slices: there a dash stands for a level.
    return f"{prefix}{uid}" if prefix == POD else f"{prefix}{uid.replace('-', '_')}{SLICE}"


def _names(folder: Path) -> list[str]:
    try:
        return [each.name for each in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
