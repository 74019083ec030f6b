"""What a Lease says that tasks are tethered to, from the raw object as the API server has it.

Source: https://kubernetes.io/docs/concepts/architecture/leases/
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from agentstop.words.tasks import Object, clean, condition

LEASES_ROOT: Final = "/apis/coordination.k8s.io/v1"
LEASES_PLURAL: Final = "leases"

TETHER_LABEL: Final = "agentstop.dev/tether"
"""Label, with the value true, on every Lease that tasks may be tethered to: the Lease of a leader election has none."""

ENDED_ANNOTATION: Final = "agentstop.dev/tether-ended"
"""Annotation on any one of the tasks that are tethered to a Lease: its holder has ended in order. A change of it has
the Lease looked at, which nobody watches; it stops nothing by itself. The value is the Lease's UID."""

LEAST_SECONDS: Final = 5
MOST_SECONDS: Final = 3600
"""The shortest and the longest time that a Lease lasts without a renewal. What says less or more counts as these."""

HELD_SECONDS: Final = 15
"""How long a Lease lasts that a tether makes, where nobody says otherwise."""

DEFAULT_SECONDS: Final = 60
"""How long a Lease lasts that does not say it, and how long one that is not there is waited for."""

_ANSWER_SHARE: Final = 1 / 5
_LEAST_ANSWER_SECONDS: Final = 1.0
_MOST_ANSWER_SECONDS: Final = 10.0

MOST_WORDS: Final = 128
"""Characters of a holder's name that are shown."""


def answer_seconds(duration: float) -> float:
    """Return how long a holder waits for the answer to a renewal before it tries again, by the Lease's time."""
    return min(max(duration * _ANSWER_SHARE, _LEAST_ANSWER_SECONDS), _MOST_ANSWER_SECONDS)


def is_tether(lease: Object) -> bool:
    """Whether a Lease is there for tasks to be tethered to."""
    labels = (lease.get("metadata") or {}).get("labels")
    return isinstance(labels, dict) and labels.get(TETHER_LABEL) == "true"


def holder_of(lease: Object) -> str:
    """Return who says to renew it; empty where nobody does."""
    return clean(_spec(lease).get("holderIdentity") or "")[:MOST_WORDS]


def seconds_of(lease: Object) -> int:
    """Return how long it lasts without a renewal."""
    said = _spec(lease).get("leaseDurationSeconds")
    if not isinstance(said, int) or isinstance(said, bool):
        return DEFAULT_SECONDS
    return min(max(said, LEAST_SECONDS), MOST_SECONDS)


def renewed_at(lease: Object) -> datetime | None:
    """Return when `spec.renewTime` was changed last, by the API server's clock and cut off to the second.

    What stands in it was written by the holder's clock, which may be an hour off. When it was written the API server
    notes itself, in managedFields. None where somebody has emptied those.
    Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
    """
    return max(_written_at(lease), default=None)


def standing(task: Object) -> str | None:
    """Return what condition Tethered means for a task that goes on; None for a free one."""
    found = condition(task, "Tethered")
    says = {
        "True": "it is tethered",
        "False": "its tether does not hold",
        "Unknown": "it is not known whether its tether holds",
    }.get(str(found.get("status")))
    return f"{says}: {found.get('message') or ''}" if says is not None else None


def _written_at(lease: Object) -> Iterator[datetime]:
    """Yield when each manager that has the field wrote last: all of this may be in anybody's words."""
    entries = (lease.get("metadata") or {}).get("managedFields")
    for entry in entries if isinstance(entries, list) else ():
        fields: Any = entry
        for name in ("fieldsV1", "f:spec", "f:renewTime"):
            fields = fields.get(name) if isinstance(fields, dict) else None
        if fields is None:
            continue
        try:
            at = datetime.fromisoformat(entry.get("time") or "")
        except (TypeError, ValueError):
            continue
        yield at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _spec(lease: Object) -> Object:
    found = lease.get("spec")
    return found if isinstance(found, dict) else {}
