"""The volumes that a pod waits for: ConfigMaps and Secrets that must be there before any container of it is started.

https://kubernetes.io/docs/concepts/storage/volumes/#configmap and #secret
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agentstop_playground.node.environment import KINDS, Reader

INJECTED_VOLUMES = "kube-api-access-"
"""Volumes that admission adds to every pod by itself; nobody asked for them in so many words."""

_NAME_FIELDS = {"configmaps": ("configMap", "name"), "secrets": ("secret", "secretName")}
"""Where a volume of its own names its object; a part of a projected volume has ``name`` for both."""


@dataclass(frozen=True)
class Need:
    """An object that a volume is made of."""

    volume: str
    resource: str
    name: str
    keys: tuple[str, ...] = ()


def needs_of(pod: Mapping[str, Any]) -> list[Need]:
    """What must be there for the volumes that the pod's containers mount; optional objects need not."""
    spec = pod["spec"]
    mounted = {
        mount["name"]
        for group in ("initContainers", "containers")
        for container in spec.get(group) or ()
        for mount in container.get("volumeMounts") or ()
    }
    volumes = [item for item in spec.get("volumes") or () if item["name"] in mounted]
    return [need for item in volumes if not item["name"].startswith(INJECTED_VOLUMES) for need in _needs(item)]


def _needs(volume: Mapping[str, Any]) -> Iterable[Need]:
    parts = [(volume, True), *((part, False) for part in (volume.get("projected") or {}).get("sources") or ())]
    for part, whole in parts:
        for resource, (field, own_name) in _NAME_FIELDS.items():
            source = part.get(field)
            if source and not source.get("optional"):
                keys = tuple(item["key"] for item in source.get("items") or ())
                yield Need(volume["name"], resource, source.get(own_name if whole else "name") or "", keys)


async def problem_of(need: Need, read: Reader) -> str | None:
    """Why a volume can't be mounted now, in the kubelet's words; None if it can. Raises what ``read`` does."""
    holder = await read(need.resource, need.name)
    failed = f'MountVolume.SetUp failed for volume "{need.volume}" : '
    kind = KINDS[need.resource]
    if holder is None:
        return f'{failed}{kind} "{need.name}" not found'
    have = {**(holder.get("data") or {}), **(holder.get("binaryData") or {})}
    absent = next((key for key in need.keys if key not in have), None)
    return f"{failed}references non-existent {kind} key: {absent}" if absent is not None else None
