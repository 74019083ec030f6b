"""How a container starts and ends: how long that may take by its spec, and when it was started."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from agentstop.api.meta import parse_seconds, parse_time
from agentstop.workloads.pods.restarting import Role

_ENDING_PROBES: Final = ("livenessProbe", "startupProbe")


def starts_slowly(container: Mapping[str, Any]) -> bool:
    """Whether its image is pulled anew at every start, or a hook runs then."""
    return container.get("imagePullPolicy") == "Always" or "postStart" in (container.get("lifecycle") or {})


def ends_late(container: Mapping[str, Any], role: Role) -> bool:
    """Whether it may get SIGTERM only when the grace period of its pod is over, and 2 seconds from then on.

    Its own hook runs before; and sidecars are ended after the others.
    Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination-flow
    """
    return role is Role.SIDECAR or "preStop" in (container.get("lifecycle") or {})


def is_probed(container: Mapping[str, Any]) -> bool:
    """Whether its kubelet ends it when a probe of it fails."""
    return any(container.get(each) is not None for each in _ENDING_PROBES)


def probe_grace_seconds(container: Mapping[str, Any]) -> int:
    """Return the grace period with which it is ended when a probe of it fails; 0 where none has one of its own.

    Source: https://kubernetes.io/docs/concepts/workloads/pods/probes/ (probe-level terminationGracePeriodSeconds)
    """
    probes = [container[each] or {} for each in _ENDING_PROBES if each in container]
    return max((parse_seconds(probe.get("terminationGracePeriodSeconds")) for probe in probes), default=0)


def started_at(text: str | None) -> datetime | None:
    """Return when a container was started; a runtime that failed to start it reports the beginning of Unix time."""
    moment = parse_time(text)
    return moment if moment is not None and moment.timestamp() > 0 else None
