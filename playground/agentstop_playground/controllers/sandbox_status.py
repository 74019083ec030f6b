"""What a Sandbox's pods mean: what to do, and what its status says. Pure.

The behaviour is that of agent-sandbox v1beta1, its odd sides included: an expired Sandbox no longer looks at its
operating mode, and one that controls several pods leaves all of them alone.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from agentstop_playground import times
from agentstop_playground.api_client import Object
from agentstop_playground.controllers.objects import condition, controller_of, deleting, phase, ready, uid

NAME_HASH_LABEL: Final = "agents.x-k8s.io/sandbox-name-hash"
POD_NAME: Final = "agents.x-k8s.io/pod-name"
ADOPTABLE_LABEL: Final = "agents.x-k8s.io/adoptable"

_FNV_OFFSET, _FNV_PRIME = 0x811C9DC5, 0x01000193
_EXPIRED: Final = ("SandboxExpired", "Sandbox has expired")
_FINISHED: Final = {
    "Succeeded": ("PodSucceeded", "Pod completed successfully"),
    "Failed": ("PodFailed", "Pod failed"),
}

Action = Literal["none", "create", "delete", "adopt"]


@dataclass(frozen=True, slots=True)
class Seen:
    """The pods that may be a Sandbox's: those that it controls, and the one that has the name of its pod."""

    controlled: tuple[Object, ...] = ()
    named: Object | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Which pod is the Sandbox's, and what to do with it.

    ``error`` and ``several`` (the number of pods between which it can't choose) mean that this is not known.
    """

    pod: Object | None = None
    action: Action = "none"
    error: str = ""
    several: int = 0


def name_hash(name: str) -> str:
    """The 32-bit FNV-1a hash of a name, in hexadecimal."""
    value = _FNV_OFFSET
    for byte in name.encode():
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return f"{value:08x}"


def pod_name(sandbox: Object) -> str:
    """The name of a Sandbox's pod."""
    tracked = (sandbox["metadata"].get("annotations") or {}).get(POD_NAME)
    return str(tracked or sandbox["metadata"]["name"])


def suspended(sandbox: Object) -> bool:
    """Whether the Sandbox is to have no pod."""
    return bool(sandbox["spec"].get("operatingMode") == "Suspended")


def time_left(sandbox: Object, now: datetime) -> float | None:
    """Seconds until the Sandbox expires; None if it never does."""
    end = times.parse(sandbox["spec"].get("shutdownTime"))
    return None if end is None else (end - now).total_seconds()


def marked_expired(sandbox: Object) -> bool:
    """Whether the status says already that the Sandbox has expired."""
    found = condition((sandbox.get("status") or {}).get("conditions") or (), "Ready")
    return found is not None and found["reason"] == _EXPIRED[0]


def find(sandbox: Object, seen: Seen) -> Finding:
    """Which pod is the Sandbox's, and what is to be done."""
    owned = list(seen.controlled)
    pod = seen.named
    if pod is not None and _owns(sandbox, pod) and uid(pod) not in {uid(item) for item in owned}:
        owned.append(pod)
    if len(owned) > 1:
        return Finding(several=len(owned))
    if owned:
        pod = owned[0]
    if suspended(sandbox):
        doomed = pod is not None and _owns(sandbox, pod) and not deleting(pod)
        return Finding(pod, "delete" if doomed else "none")
    if pod is None:
        return Finding(None, "create")
    if _owns(sandbox, pod):
        return Finding(pod)
    name, owner = pod["metadata"]["name"], controller_of(pod)
    if owner is not None:
        mine = sandbox["metadata"]["name"]
        return Finding(error=f'pod "{name}" is controlled by {owner["kind"]}/{owner["name"]}, not by sandbox "{mine}"')
    labels = pod["metadata"].get("labels") or {}
    tracked = labels.get(NAME_HASH_LABEL) == name_hash(sandbox["metadata"]["name"])
    if labels.get(ADOPTABLE_LABEL) == "true" or tracked:
        return Finding(pod, "adopt")
    return Finding(error=f'pod "{name}" has no controller and is not marked with {ADOPTABLE_LABEL}')


def status(sandbox: Object, found: Finding, now: datetime) -> Object:
    """The status to write for a Sandbox that has not expired."""
    new: Object = dict(sandbox.get("status") or {})
    pod = found.pod
    owned = pod is not None and _owns(sandbox, pod)
    for name in ("podIPs", "nodeName"):
        new.pop(name, None)
    if pod is not None:
        new["selector"] = f"{NAME_HASH_LABEL}={name_hash(sandbox['metadata']['name'])}"
        addresses = [item["ip"] for item in (pod.get("status") or {}).get("podIPs") or ()]
        if owned and addresses:
            new["podIPs"] = addresses
        if owned and pod["spec"].get("nodeName"):
            new["nodeName"] = pod["spec"]["nodeName"]
    conditions = _Conditions(sandbox, now)
    conditions.set("Suspended", *_suspended(sandbox, found))
    finished = _FINISHED.get(phase(pod)) if pod is not None and owned else None
    if finished is not None:
        conditions.set("Finished", "True", *finished)
    else:
        conditions.remove("Finished")
    scheduled = _scheduled(sandbox, found)
    if scheduled is not None:
        conditions.set("PodScheduled", *scheduled)
    else:
        conditions.remove("PodScheduled")
    conditions.set("Ready", *_ready(sandbox, found))
    new["conditions"] = conditions.items
    return new


def expired_status(sandbox: Object, now: datetime, *, cleared: bool) -> Object:
    """The status of a Sandbox that has expired; ``cleared``: its pod's deletion has been accepted."""
    conditions = _Conditions(sandbox, now)
    conditions.set("Ready", "False", *_EXPIRED)
    conditions.remove("PodScheduled")
    kept: Object = {} if cleared else dict(sandbox.get("status") or {})
    return {**kept, "conditions": conditions.items}


class _Conditions:
    """A Sandbox's conditions, changed as the API conventions have it."""

    def __init__(self, sandbox: Object, now: datetime) -> None:
        self.items: list[Object] = [dict(item) for item in (sandbox.get("status") or {}).get("conditions") or ()]
        self._generation = sandbox["metadata"]["generation"]
        self._time = times.rfc3339(now)

    def set(self, kind: str, value: str, reason: str, message: str) -> None:
        old = condition(self.items, kind)
        if old is None:
            old = {"type": kind}
            self.items.append(old)
        if old.get("status") != value:
            old["lastTransitionTime"] = self._time
        old |= {"status": value, "reason": reason, "message": message, "observedGeneration": self._generation}

    def remove(self, kind: str) -> None:
        self.items = [item for item in self.items if item["type"] != kind]


def _owns(sandbox: Object, pod: Object) -> bool:
    owner = controller_of(pod)
    return owner is not None and bool(owner["uid"] == uid(sandbox))


def _unknown(found: Finding) -> bool:
    return bool(found.error or found.several)


def _suspended(sandbox: Object, found: Finding) -> tuple[str, str, str]:
    if not suspended(sandbox):
        return "False", "NotSuspended", "Sandbox is not suspended"
    if _unknown(found):
        return "Unknown", "PodStateUnknown", "Pod state is unknown. Sandbox suspension cannot be confirmed"
    if found.pod is None:
        return "True", "PodTerminated", "Pod has been terminated. Sandbox is suspended"
    if not _owns(sandbox, found.pod):
        return "False", "PodNotOwned", "Refused to delete pod because it is not owned by this sandbox"
    return "False", "PodTerminating", "Pod is terminating. Sandbox is suspending"


def _scheduled(sandbox: Object, found: Finding) -> tuple[str, str, str] | None:
    if _unknown(found):
        return "Unknown", "PodSchedulingUnknown", "Pod state is unknown. Pod scheduling cannot be determined"
    if found.pod is None or not _owns(sandbox, found.pod):
        return None
    item = condition((found.pod.get("status") or {}).get("conditions") or (), "PodScheduled")
    if item is None:
        return "Unknown", "PodSchedulingUnknown", "Pod has not reported a PodScheduled condition yet"
    fallback = "PodScheduled" if item["status"] == "True" else "PodSchedulingUnknown"
    return item["status"], item.get("reason") or fallback, item.get("message") or ""


def _ready(sandbox: Object, found: Finding) -> tuple[str, str, str]:
    if found.several:
        return "False", "MultiplePods", several_message(found.several)
    if found.error:
        return "False", "ReconcilerError", f"Error seen: {found.error}"
    pod = found.pod
    if suspended(sandbox):
        return "False", "SandboxSuspended", "Sandbox is suspending" if pod is not None else "Sandbox is suspended"
    if pod is None:
        return "False", "DependenciesNotReady", "Pod does not exist"
    if phase(pod) in _FINISHED:
        return "False", *_FINISHED[phase(pod)]
    if phase(pod) != "Running":
        return "False", "DependenciesNotReady", f"Pod exists with phase: {phase(pod)}"
    if not ready(pod):
        return "False", "DependenciesNotReady", "Pod is Running but not Ready"
    if not (pod.get("status") or {}).get("podIPs"):
        return "False", "DependenciesNotReady", "Pod is Ready but has no podIPs yet"
    return "True", "DependenciesReady", "Pod is Ready"


def several_message(count: int) -> str:
    """What is said of a Sandbox that controls several pods."""
    return f"multiple Pods ({count}) are controlled by this Sandbox; none is chosen, created or deleted"
