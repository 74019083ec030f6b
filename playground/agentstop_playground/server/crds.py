"""CustomResourceDefinitions as objects: their defaults, what is refused in them, and their status.

Source: https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from agentstop_playground import times

from .cel_rules import RuleError, compile_rules
from .errors import FieldError, invalid, required
from .resources import BuiltinStrategy
from .wire import Json

_CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"


class CrdStrategy(BuiltinStrategy):
    """The rules for definitions. They are established as soon as they are stored."""

    unconditional_update = False

    def __init__(self) -> None:
        super().__init__("V1CustomResourceDefinition", has_status=True, counts_generations=True)

    def default(self, obj: Json) -> None:
        """Fill in names and conversion."""
        spec = obj.setdefault("spec", {})
        names = spec.setdefault("names", {})
        kind = names.get("kind") or ""
        names.setdefault("singular", kind.lower())
        names.setdefault("listKind", f"{kind}List")
        spec.setdefault("conversion", {"strategy": "None"})

    def prepare_create(self, obj: Json) -> None:
        """The status is the server's; a finalizer keeps the definition until its objects are gone."""
        obj["status"] = _status(obj, times.rfc3339(times.now()))
        finalizers = obj["metadata"].setdefault("finalizers", [])
        if _CLEANUP not in finalizers:
            finalizers.append(_CLEANUP)

    def prepare_update(self, new: Json, old: Json) -> None:
        """Keep the status, and the names it accepted in step with the specification."""
        status = dict(old.get("status") or _status(new, times.rfc3339(times.now())))
        spec = new.get("spec") or {}
        status["acceptedNames"] = spec.get("names") or {}
        stored = [str(version.get("name", "")) for version in spec.get("versions") or () if version.get("storage")]
        status["storedVersions"] = sorted({*status.get("storedVersions", ()), *stored})
        new["status"] = status

    def validate_create(self, obj: Json) -> list[FieldError]:
        """What is wrong with a definition."""
        return _check(obj)

    def validate_update(self, new: Json, old: Json, subresource: str) -> list[FieldError]:
        """What is wrong with a changed definition."""
        if subresource:
            return []
        errors = _check(new)
        for path in ("group", "scope"):
            if new["spec"].get(path) != old["spec"].get(path):
                errors.append(invalid(f"spec.{path}", new["spec"].get(path), "field is immutable"))
        return errors


def finalizer_done(obj: Json) -> Json:
    """The definition without the finalizer that waited for its objects."""
    metadata = dict(obj["metadata"])
    metadata["finalizers"] = [item for item in metadata.get("finalizers") or () if item != _CLEANUP]
    return {**obj, "metadata": metadata}


def awaits_cleanup(obj: Json) -> bool:
    """Whether a definition is being deleted and still waits for its objects to go."""
    metadata = obj["metadata"]
    return "deletionTimestamp" in metadata and _CLEANUP in (metadata.get("finalizers") or ())


def _status(obj: Json, time: str) -> Json:
    spec = obj.get("spec") or {}

    def condition(kind: str, reason: str, message: str) -> Json:
        return {"lastTransitionTime": time, "message": message, "reason": reason, "status": "True", "type": kind}

    return {
        "acceptedNames": spec.get("names") or {},
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "storedVersions": [
            str(version.get("name", "")) for version in spec.get("versions") or () if version.get("storage")
        ],
    }


def _check(obj: Json) -> list[FieldError]:
    spec = obj.get("spec") or {}
    names = spec.get("names") or {}
    errors = [required(f"spec.{name}") for name in ("group", "scope") if not spec.get(name)]
    errors += [required(f"spec.names.{name}") for name in ("plural", "kind") if not names.get(name)]
    expected = f"{names.get('plural')}.{spec.get('group')}"
    if not errors and obj["metadata"].get("name") != expected:
        errors.append(invalid("metadata.name", obj["metadata"].get("name"), 'must be spec.names.plural+"."+spec.group'))
    versions: list[Any] = spec.get("versions") or []
    if sum(bool(version.get("storage")) for version in versions) != 1:
        detail = "must have exactly one version marked as storage version"
        errors.append(invalid("spec.versions", versions, detail))
    for index, version in enumerate(versions):
        place = f"spec.versions[{index}].schema.openAPIV3Schema"
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if not schema:
            errors.append(required(place, "schemas are required"))
            continue
        if schema.get("type") != "object":
            errors.append(invalid(f"{place}.type", schema.get("type", ""), "must be object at the root"))
        try:
            compile_rules(schema, place)
        except RuleError as error:
            where, _, why = str(error).partition(": ")
            errors.append(invalid(where, "", why))
        scale = (version.get("subresources") or {}).get("scale")
        if scale is not None:
            errors += _check_scale(scale, f"spec.versions[{index}].subresources.scale")
    return errors


def _check_scale(scale: Json, place: str) -> list[FieldError]:
    errors = []
    for name, roots in (("specReplicasPath", ("spec",)), ("statusReplicasPath", ("status",))):
        path = scale.get(name)
        if not path:
            errors.append(required(f"{place}.{name}"))
        elif not _below(path, roots):
            errors.append(invalid(f"{place}.{name}", path, f"should be a json path under .{roots[0]}"))
    selector = scale.get("labelSelectorPath")
    if selector and not _below(selector, ("spec", "status")):
        detail = "should be a json path under either .spec or .status"
        errors.append(invalid(f"{place}.labelSelectorPath", selector, detail))
    return errors


def _below(path: str, roots: Sequence[str]) -> bool:
    return any(path.startswith(f".{root}.") for root in roots)
