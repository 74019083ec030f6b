"""Reading tasks as the API server has them."""

from collections.abc import Mapping
from datetime import datetime
from itertools import chain
from sys import intern
from typing import Any, Final

from agentstop.api.meta import REQUESTED_BY_ANNOTATION, STOP_FINALIZER, parse_number, parse_time
from agentstop.api.task import AgentTaskSpec, AgentTaskStatus
from agentstop.lifecycle.observation import Task
from agentstop.words.leases import ENDED_ANNOTATION

_TEMPLATE: Final[dict[str, Any]] = {}
"""Stands for a template: it is needed once, and would be most of what a task weighs."""

MAX_UID: Final = 63
"""So much is kept of what is to be the UID of a Lease."""

MAX_LABELS: Final = 256
MAX_LABEL_CHARACTERS: Final = 65_536
"""So many labels of a task are kept. One with more is taken to have any label that an order asks for."""


def read_task(raw: Mapping[str, Any], *, trust_requested_by: bool = False) -> Task:
    """Return the task of the API server's object.

    `trust_requested_by` is whether only admission can have written its annotation that names who asked for the stop.
    Raises pydantic.ValidationError if the object is not of this version.
    """
    metadata = raw["metadata"]
    status = AgentTaskStatus.model_validate(raw.get("status") or {})
    given = raw.get("spec") or {}
    if isinstance(given.get("podTemplate"), dict):
        given = {**given, "podTemplate": _TEMPLATE}
    spec = AgentTaskSpec.model_validate(given)
    labels = metadata.get("labels") or {}
    overlabelled = len(labels) > MAX_LABELS or sum(map(len, chain(labels, labels.values()))) > MAX_LABEL_CHARACTERS
    return Task(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=parse_number(metadata.get("generation")),
        spec=spec,
        status=status,
        requested_by=(metadata.get("annotations") or {}).get(REQUESTED_BY_ANNOTATION) if trust_requested_by else None,
        deleting="deletionTimestamp" in metadata,
        labels={} if overlabelled else {intern(key): intern(value) for key, value in labels.items()},
        overlabelled=overlabelled,
        requested_at=_requested_at(metadata, spec),
        created_at=parse_time(metadata.get("creationTimestamp")),
        tether_ended=str((metadata.get("annotations") or {}).get(ENDED_ANNOTATION, ""))[:MAX_UID]
        if spec.tether
        else "",
        protected=STOP_FINALIZER in (metadata.get("finalizers") or ()),
    )


def _requested_at(metadata: Mapping[str, Any], spec: AgentTaskSpec) -> datetime | None:
    """Return since when the switch is set, or the object deleted; the first who manages the switch has set it.

    Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#managed-fields
    """
    if not spec.stop_requested:
        return parse_time(metadata.get("deletionTimestamp"))
    times = [
        entry.get("time")
        for entry in metadata.get("managedFields") or ()
        if "f:stopRequested" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    return min((moment for moment in map(parse_time, times) if moment is not None), default=None)
