"""Reading tasks as the API server has them."""

from collections.abc import Mapping
from datetime import datetime
from sys import intern
from typing import Any, Final

from agentstop.api.meta import REQUESTED_BY_ANNOTATION, STOP_FINALIZER, parse_number, parse_time
from agentstop.api.task import AgentTaskSpec, AgentTaskStatus, Phase
from agentstop.lifecycle.seen import Task

_USED_TEMPLATE: Final[dict[str, Any]] = {}
"""Stands for a template whose pod was made: only a pause makes it needed again, and it would be most of what a task
weighs."""


def read_task(raw: Mapping[str, Any], *, trust_requested_by: bool = False) -> Task:
    """Return the task of the API server's object.

    `trust_requested_by` is whether only admission can have written its annotation that names who asked for the stop.
    Raises pydantic.ValidationError if the object is not of this version.
    """
    metadata = raw["metadata"]
    status = AgentTaskStatus.model_validate(raw.get("status") or {})
    spec = AgentTaskSpec.model_validate(raw.get("spec") or {})
    held = spec.paused or status.phase in {Phase.PAUSING, Phase.PAUSED}
    if spec.pod_template is not None and status.workload is not None and not held:
        spec = spec.but(pod_template=_USED_TEMPLATE)
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
        labels={intern(key): intern(value) for key, value in (metadata.get("labels") or {}).items()},
        requested_at=_requested_at(metadata, spec),
        created_at=parse_time(metadata.get("creationTimestamp")),
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
