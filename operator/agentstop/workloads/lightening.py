"""Objects that somebody has made so large that the API server takes no change of them: what is taken off.

At 1.5 MiB an object can be neither changed nor deleted, with no grace period and by no eviction (tried on 1.36: 500,
`etcdserver: request is too large`); a node cannot write what became of its containers, either. Whoever may patch a pod
can bring it there with labels alone.
"""

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from agentstop.api.meta import GROUP

TOO_LARGE: Final = "TooLarge"
"""Reason of a refusal: the object would be larger than the API server can store."""

IS_HEAVY: Final = "agentstopHeavy"
"""Key that is put into an object as it comes from the API server, where it is near the limit."""

HEAVY: Final = 1_200_000
"""From so many bytes of JSON on an object is near the limit: whoever has to add to it may not be able to."""

BULKY: Final = 65_536
"""Owner references and finalizers stay as they are, unless they are larger than so many bytes."""

OURS: Final = f"{GROUP}/"
JOB_TRACKING: Final = "batch.kubernetes.io/job-tracking"

Operations = list[dict[str, Any]]
"""A JSON patch.

Source: https://www.rfc-editor.org/rfc/rfc6902
"""


def lightened(
    metadata: Mapping[str, Any], keep: Collection[str] = (), mark: Mapping[str, Any] | None = None
) -> Operations:
    """Return what takes the bulk off an object: labels and annotations but ours and those to `keep`, who wrote what.

    Owner references and finalizers go only where they are the bulk; those that a controller goes by stay. `mark` is
    what is to stand in managedFields.
    """
    found: Operations = []
    for part in ("labels", "annotations"):
        former = metadata.get(part) or {}
        left = {key: value for key, value in former.items() if key.startswith(OURS) or key in keep}
        if left != former:
            found.append(_put(part, left))
    if metadata.get("managedFields"):
        found.append(_put("managedFields", [mark or {}]))  # one that is empty the API server takes for none
    owners = metadata.get("ownerReferences") or []
    if _is_bulky(owners):
        found.append(_put("ownerReferences", [each for each in owners if each.get("controller")]))
    finalizers = metadata.get("finalizers") or []
    if _is_bulky(finalizers):
        found.append(_put("finalizers", [each for each in finalizers if each == JOB_TRACKING or each.startswith(OURS)]))
    return found


def mark_of(api_version: str, spec: Mapping[str, Any], manager: str, at: datetime) -> dict[str, Any]:
    """Return the mark of a change in managedFields, as the API server would make it."""
    return {
        "manager": manager,
        "operation": "Update",
        "apiVersion": api_version,
        "time": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {f"f:{name}": {} for name in spec}},
    }


def _put(part: str, value: object) -> dict[str, Any]:
    return {"op": "add", "path": f"/metadata/{part}", "value": value}


def _is_bulky(value: object) -> bool:
    return len(json.dumps(value)) > BULKY
