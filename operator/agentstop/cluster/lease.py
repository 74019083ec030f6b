"""A Lease as the replicas of the operator read and write it.

Source: https://kubernetes.io/docs/concepts/architecture/leases/
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from agentstop.api.meta import format_time
from agentstop.cluster.resources import LEASE_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedLease:
    """What one replica saw of the lease last."""

    raw: Mapping[str, Any] | None = None
    """The object; None where there is none."""
    holder: str = ""
    """Who holds it; empty after it was given back."""
    duration: float = 0.0
    """Seconds that it is held for without a sign of life."""
    seen_at: float = 0.0
    """When this sign of life was seen first, in seconds of a clock of the replica's own that is never set."""

    def is_free_for(self, identity: str, now: float, slack: float) -> bool:
        """Whether a replica may take it now.

        The clocks of two replicas are never compared: what counts is how long nothing new was seen. `slack` seconds are
        what the last sign of life may be older than its sighting.
        """
        return self.holder in {"", identity} or now - self.seen_at >= self.duration - slack


def see(before: ObservedLease, raw: Mapping[str, Any] | None, now: float) -> ObservedLease:
    """Return what is known once the lease was read, or once there was none to be read.

    Without an object, its last holder may not know that yet: it is waited for all the same.
    """
    if raw is None:
        return replace(before, raw=None)
    if before.raw is not None and _version(before.raw) == _version(raw):
        return before
    spec = raw.get("spec") or {}
    return ObservedLease(
        raw=raw,
        holder=spec.get("holderIdentity") or "",
        duration=float(spec.get("leaseDurationSeconds") or 0),
        seen_at=now,
    )


def body(
    term: ObservedLease, name: str, namespace: str, identity: str, duration: float, now: datetime
) -> dict[str, Any]:
    """Return the lease as held by a replica from now on, or as held by none."""
    old: Mapping[str, Any] = term.raw or {}
    spec: Mapping[str, Any] = old.get("spec") or {}
    changes = spec.get("holderIdentity") != identity
    return {
        "apiVersion": LEASE_VERSION,
        "kind": "Lease",
        "metadata": {**(old.get("metadata") or {}), "name": name, "namespace": namespace},
        "spec": {
            **spec,
            "holderIdentity": identity,
            "leaseDurationSeconds": round(duration),
            "acquireTime": format_time(now) if changes else spec.get("acquireTime"),
            "renewTime": format_time(now),
            "leaseTransitions": (spec.get("leaseTransitions") or 0) + (1 if changes and identity and old else 0),
        },
    }


def _version(raw: Mapping[str, Any]) -> tuple[str, str]:
    metadata = raw["metadata"]
    return metadata["uid"], metadata["resourceVersion"]
