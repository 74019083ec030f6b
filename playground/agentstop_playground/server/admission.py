"""From what a client sent to an object that may be stored: decoding, and what no client may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from . import errors
from .errors import FieldError, forbidden_field, invalid
from .resources import Resource
from .wire import Json, dumps, loads

STRICT: Final = "Strict"
IGNORE: Final = "Ignore"


@dataclass(slots=True)
class WriteOptions:
    """What a write was asked to do besides its object."""

    manager: str = "unknown"
    dry_run: bool = False
    field_validation: str = "Warn"
    force: bool = False
    subresource: str = ""
    duplicates: Sequence[str] = ()
    """Paths of fields that the body had twice."""
    patching: bool = False
    """Set by the write: the object came out of a patch."""
    warnings: list[str] = field(default_factory=list)
    """Filled by the write: what to send in ``Warning`` headers."""


def decode(resource: Resource, body: Any, options: WriteOptions) -> Json:
    """The object in a body, without the fields that its kind does not know.

    Raises:
        ApiError: 400 for what is no such object, and for unknown fields where these are not allowed.
    """
    unrecognized = f"the object provided is unrecognized (must be of type {resource.kind})"
    if not isinstance(body, dict):
        raise errors.bad_request(unrecognized)
    if resource.schema is not None:
        for key, word in (("kind", "Kind"), ("apiVersion", "apiVersion")):
            if not body.get(key):
                sent = dumps(body).decode()
                raise errors.bad_request(f"{unrecognized}: Object '{word}' is missing in '{sent}' ({sent[:30]} ...)")
    body["apiVersion"] = body.get("apiVersion") or resource.api_version
    body["kind"] = kind = body.get("kind") or resource.kind
    _check_kind(resource, body["apiVersion"], kind, body)
    if body.get("metadata") is None:
        body["metadata"] = {}
    if not isinstance(body["metadata"], dict):
        raise errors.bad_request(f"{unrecognized}: metadata is not an object")
    sent = dumps(body).decode() if options.patching and options.field_validation == STRICT else ""
    unknown = resource.strategy.decode(body)
    if options.field_validation == IGNORE:
        return body
    found = [f'unknown field "{path}"' for path in unknown]
    found += [f'duplicate field "{path}"' for path in options.duplicates]
    if not found or options.field_validation != STRICT:
        options.warnings += found
        return body
    message = "strict decoding error: " + ", ".join(found)
    if options.patching:
        raise errors.unprocessable("", "", "", [invalid("patch", sent, message)])
    raise errors.bad_request(f'{kind} in version "{resource.version}" cannot be handled as a {kind}: {message}')


def _check_kind(resource: Resource, api_version: Any, kind: Any, body: Mapping[str, Any]) -> None:
    if api_version != resource.api_version:
        expected = f"the expected API version ({resource.api_version})"
        raise errors.bad_request(f"the API version in the data ({api_version}) does not match {expected}")
    if kind != resource.kind and resource.schema is not None:
        name = str((body.get("metadata") or {}).get("name", ""))
        raise errors.unprocessable(resource.group, str(kind), name, [invalid("kind", kind, f"must be {resource.kind}")])
    if kind != resource.kind:
        what = f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        raise errors.bad_request(f"{what}: converting ({kind}) to ({resource.kind}): unknown conversion")


def check_namespace(resource: Resource, namespace: str, metadata: Mapping[str, Any]) -> None:
    """Refuse an object whose namespace is not the one in the path."""
    stated = metadata.get("namespace") or ""
    if resource.namespaced and stated not in ("", namespace):
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if not resource.namespaced and stated:
        raise errors.bad_request("namespace may not be set on cluster-scoped objects")


def deep_copy(obj: Json) -> Json:
    """A deep copy."""
    copied: Json = loads(dumps(obj))
    return copied


def without_status(obj: Json, has_status: bool) -> Json:
    """The object without its status, if that has a subresource of its own."""
    return {key: value for key, value in obj.items() if key != "status"} if has_status else obj


def restore(metadata: Json, before: Mapping[str, Any]) -> None:
    """Put back what no client may change."""
    for key in (
        "uid",
        "namespace",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
    ):
        if key in before:
            metadata[key] = before[key]
        else:
            metadata.pop(key, None)
    metadata.pop("selfLink", None)
    omit_empty(metadata)


def omit_empty(metadata: Json) -> None:
    """Leave out the lists and maps with nothing in them, as the real server does."""
    for key in ("labels", "annotations", "finalizers", "ownerReferences"):
        if key in metadata and not metadata[key]:
            del metadata[key]


def status_only(new: Json, old: Json, *, may_label: bool) -> Json:
    """The object as it was, with the new status."""
    metadata = {**old["metadata"], "managedFields": new["metadata"].get("managedFields", [])}
    if may_label:
        for key in ("labels", "annotations"):
            if key in new["metadata"]:
                metadata[key] = new["metadata"][key]
            else:
                metadata.pop(key, None)
    changed = {**old, "metadata": metadata}
    if "status" in new:
        changed["status"] = new["status"]
    else:
        changed.pop("status", None)
    return changed


def debug_containers_only(new: Json, old: Json) -> Json:
    """The pod as it was, with the new ephemeral containers."""
    metadata = {**old["metadata"], "managedFields": new["metadata"].get("managedFields", [])}
    spec = {key: value for key, value in old["spec"].items() if key != "ephemeralContainers"}
    added = (new.get("spec") or {}).get("ephemeralContainers")
    return {**old, "metadata": metadata, "spec": {**spec, **({"ephemeralContainers": added} if added else {})}}


def check_finalizers(metadata: Mapping[str, Any], before: Mapping[str, Any]) -> list[FieldError]:
    """What is wrong with the finalizers: an object that is being deleted takes no new ones."""
    if "deletionTimestamp" not in before:
        return []
    added = [item for item in metadata.get("finalizers") or () if item not in (before.get("finalizers") or ())]
    if not added:
        return []
    names = ", ".join(f'"{item}"' for item in added)
    detail = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{names}}}"
    return [forbidden_field("metadata.finalizers", detail)]
