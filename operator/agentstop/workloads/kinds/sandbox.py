"""Sandboxes of agent-sandbox: their operating mode is set to suspended."""

from collections.abc import Mapping
from typing import Any, Final

from agentstop.api.meta import parse_time
from agentstop.lifecycle.observation import Ending, Reason
from agentstop.workloads.controlled.kind import Controlled
from agentstop.workloads.controlled.kind_spec import KindSpec
from agentstop.workloads.controlled.record import (
    OwnerRecord,
    conditions_of,
    holds,
    identity,
    is_current,
    stop_accepted_at,
)
from agentstop.workloads.objects import ObjectRef

SANDBOX_API: Final = "agents.x-k8s.io/v1beta1"
SANDBOX_LABEL: Final = "agents.x-k8s.io/sandbox-name-hash"
EXPIRED: Final = "SandboxExpired"


def read_sandbox(raw: Mapping[str, Any]) -> OwnerRecord:
    """Return the record of a Sandbox (agents.x-k8s.io/v1beta1).

    Source: https://agent-sandbox.sigs.k8s.io/docs/api/
    """
    metadata, spec, status = raw["metadata"], raw.get("spec", {}), raw.get("status") or {}
    conditions = conditions_of(status)
    suspended = conditions.get("Suspended", {})
    current = is_current(suspended, metadata)
    ready = conditions.get("Ready", {})
    halted = spec.get("operatingMode") == "Suspended"
    marked_at = stop_accepted_at(metadata, "operatingMode")
    # An expired one makes no pod whatever its spec says, so it never says of a suspension that it took place.
    expired = ready.get("reason") == EXPIRED and is_current(ready, metadata)
    ending = _sandbox_ending(metadata["name"], conditions)
    if halted and ending is not None and (marked_at is None or ending.at is None or ending.at >= marked_at):
        ending = None  # a pod that ends because its Sandbox is suspended makes it finished for a moment
    return OwnerRecord(
        **identity(raw),
        halted=halted,
        settled=expired or (current and suspended.get("status") == "True"),
        unsettled=_sandbox_trouble(metadata["name"], suspended, ready),
        selector=status.get("selector") or sandbox_selector(metadata["name"]),
        marked_at=marked_at,
        ending=ending,
        remakes=ready.get("reason") != EXPIRED,
    )


def _sandbox_trouble(name: str, suspended: Mapping[str, Any], ready: Mapping[str, Any]) -> Reason | None:
    if suspended.get("reason") == "PodNotOwned":
        message = f"A pod with the name of Sandbox {name} is not controlled by it, so it is left alone: {{}}"
        return Reason("PodNotOwned", message.format(suspended.get("message") or "see its owner references"))
    if ready.get("reason") == "MultiplePods":
        return Reason("MultiplePods", f"Sandbox {name} has several pods, and its controller ends none of them")
    return None


def _sandbox_ending(name: str, conditions: Mapping[str, Mapping[str, Any]]) -> Ending | None:
    if holds(conditions, "Finished"):
        finished = conditions["Finished"]
        at = parse_time(finished.get("lastTransitionTime"))
        if finished.get("reason") == "PodSucceeded":
            return Ending(succeeded=True, word=Reason("Completed", f"The pod of Sandbox {name} succeeded"), at=at)
        return Ending(succeeded=False, word=Reason("SandboxFailed", f"The pod of Sandbox {name} failed"), at=at)
    ready = conditions.get("Ready", {})
    if ready.get("reason") == EXPIRED:
        at = parse_time(ready.get("lastTransitionTime"))
        return Ending(succeeded=False, word=Reason(EXPIRED, f"Sandbox {name} reached its shutdown time"), at=at)
    return None


def sandbox_selector(name: str) -> str:
    """Return the label selector of the pods of the Sandbox of this name."""
    return f"{SANDBOX_LABEL}={_fnv1a(name):08x}"


def _fnv1a(text: str) -> int:
    """Return the 32-bit FNV-1a hash, by which agent-sandbox labels pods."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def _unclaimed(ref: ObjectRef, owner: OwnerRecord) -> Reason | None:
    if owner.controller is None or owner.controller.kind != "SandboxWarmPool":
        return None
    pool = owner.controller.name
    message = (
        f"Sandbox {ref.name} waits in warm pool {pool}, and nobody has claimed it; point workloadRef at a SandboxClaim"
    )
    return Reason("SandboxUnclaimed", message)


SANDBOX_SPEC: Final = KindSpec(
    read=read_sandbox,
    halt={"spec": {"operatingMode": "Suspended"}},
    resume=lambda _: {"spec": {"operatingMode": "Running"}},
    deed="suspended",
    refuses=_unclaimed,
)

SANDBOX: Final = Controlled(SANDBOX_SPEC)
