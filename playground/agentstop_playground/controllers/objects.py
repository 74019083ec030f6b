"""What controllers ask of objects. Pure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from agentstop_playground.api_client import Object
from agentstop_playground.controllers.kinds import Kind

_SAFE = "bcdfghjklmnpqrstvwxz2456789"
FINISHED_PHASES = frozenset({"Succeeded", "Failed"})


def uid(obj: Mapping[str, Any]) -> str:
    """An object's UID."""
    return str(obj["metadata"]["uid"])


def deleting(obj: Mapping[str, Any]) -> bool:
    """Whether an object's deletion has begun."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def controller_of(obj: Mapping[str, Any]) -> Object | None:
    """The owner reference of the object's controller, if it has one."""
    owners: Sequence[Object] = obj["metadata"].get("ownerReferences") or ()
    return next((item for item in owners if item.get("controller")), None)


def owner_reference(kind: Kind, owner: Mapping[str, Any]) -> Object:
    """A reference that makes ``owner`` the controller of an object."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def phase(pod: Mapping[str, Any]) -> str:
    """A pod's phase."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def active(pod: Mapping[str, Any]) -> bool:
    """Whether a pod has neither ended nor begun to be deleted."""
    return phase(pod) not in FINISHED_PHASES and not deleting(pod)


def terminating(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is being deleted and its processes have not been reported to have ended."""
    return deleting(pod) and phase(pod) not in FINISHED_PHASES


def ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod's Ready condition holds."""
    return (condition((pod.get("status") or {}).get("conditions") or (), "Ready") or {}).get("status") == "True"


def selects(selector: Mapping[str, Any], obj: Mapping[str, Any]) -> bool:
    """Whether a ``LabelSelector`` selects an object; an empty one selects nothing here, as no controller's may."""
    labels: Mapping[str, str] = obj["metadata"].get("labels") or {}
    wanted = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or ()
    if not wanted and not expressions:
        return False
    return wanted.items() <= labels.items() and all(_meets(labels, item) for item in expressions)


def _meets(labels: Mapping[str, str], expression: Mapping[str, Any]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
    return value is None


def condition(conditions: Sequence[Object], kind: str) -> Object | None:
    """The condition of a type."""
    return next((item for item in conditions if item["type"] == kind), None)


def template_hash(template: Mapping[str, Any]) -> str:
    """A short hash of a pod template, fit for a label and a name."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(_SAFE[byte % len(_SAFE)] for byte in digest[:10])


def removal_rank(pod: Mapping[str, Any]) -> tuple[bool, bool, bool, float, str]:
    """The sorting key by which pods are removed when there are too many: what serves least goes first."""
    created = str(pod["metadata"].get("creationTimestamp") or "")
    newest_first = -float("".join(filter(str.isdigit, created)) or 0)
    assigned = bool(pod["spec"].get("nodeName"))
    return assigned, phase(pod) != "Pending", ready(pod), newest_first, str(pod["metadata"]["name"])
