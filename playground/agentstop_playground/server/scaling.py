"""The ``scale`` subresource: how many replicas an object asks for and has, in the same form for every kind.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#scale-subresource
and the server's ``pkg/registry/apps/deployment/storage``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from . import errors, patches
from .admission import WriteOptions, decode, deep_copy
from .engine import Engine
from .errors import invalid
from .resources import BuiltinStrategy, Column, Resource, ScaleFields
from .selectors import as_text, of_object
from .store import Record
from .tables import AGE_COLUMN
from .wire import Json, dumps

SCALE: Final = Resource(
    "autoscaling",
    "v1",
    "Scale",
    "scales",
    BuiltinStrategy("V1Scale"),
    columns=(
        Column("Desired", lambda obj: obj["spec"].get("replicas", 0), "integer"),
        Column("Available", lambda obj: obj["status"]["replicas"], "integer"),
        AGE_COLUMN,
    ),
)
"""How a scale is decoded and shown; it is stored nowhere."""

_COPIED: Final = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


class Scaling:
    """Reads and writes scales of the objects in an engine. Methods raise ``ApiError`` and return a scale's record."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, resource: Resource, namespace: str, name: str) -> Record:
        """The scale of an object."""
        return self._scale(resource, self._engine.get(resource, namespace, name), reading=True)

    def patch(
        self, resource: Resource, namespace: str, name: str, media_type: str, patch: Any, options: WriteOptions
    ) -> Record:
        """Change an object's scale by a patch of the scale."""
        record = self._engine.get(resource, namespace, name)
        live = deep_copy(self._scale(resource, record).obj)
        if media_type == patches.JSON_PATCH:
            # 0 is left out when a scale is shown, and still is there to be replaced.
            live["spec"].setdefault("replicas", 0)
            patched = patches.json_patch(live, patch)
        elif not isinstance(patch, dict):
            raise errors.bad_request("error decoding patch: the patch has to be a JSON object")
        elif media_type == patches.MERGE_PATCH:
            patched = patches.merge_patch(live, patch)
        elif media_type == patches.STRATEGIC_PATCH and resource.schema is None:
            patched = patches.strategic_patch(live, patch)
        else:
            raise errors.unsupported_media_type((patches.JSON_PATCH, patches.MERGE_PATCH))
        if not isinstance(patched, dict) or not isinstance(patched.get("metadata"), dict):
            raise errors.bad_request("the patch does not leave an object with metadata")
        options.patching = True
        wanted = decode(SCALE, patched, options)
        self._check_name(wanted["metadata"].get("name"), name)
        return self._write(resource, record, wanted, options)

    def _write(self, resource: Resource, record: Record, wanted: Json, options: WriteOptions) -> Record:
        self._check(resource, record, wanted)
        new = self._engine.copy(resource, record)
        version = wanted["metadata"].get("resourceVersion")
        if version:
            new["metadata"]["resourceVersion"] = version
        _put(new, _fields(resource).replicas, (wanted.get("spec") or {}).get("replicas", 0))
        return self._scale(resource, self._engine.replace(resource, record, new, options))

    def _check(self, resource: Resource, record: Record, wanted: Json) -> None:
        name = record.obj["metadata"]["name"]
        replicas = (wanted.get("spec") or {}).get("replicas", 0)
        if replicas < 0:
            problem = invalid("spec.replicas", replicas, "must be greater than or equal to 0")
            raise errors.unprocessable(SCALE.group, SCALE.kind, name, [problem])
        uid = wanted["metadata"].get("uid")
        if uid and uid != record.uid:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {record.uid}"
            raise errors.conflict(resource.group, f"{resource.plural}/scale", name, why)

    def _check_name(self, stated: Any, name: str) -> None:
        if stated != name:
            message = f"the name of the object ({stated}) does not match the name on the URL ({name})"
            raise errors.bad_request(message)

    def _scale(self, resource: Resource, record: Record, *, reading: bool = False) -> Record:
        obj = record.obj if resource.from_storage is None else resource.from_storage(record.obj)
        fields = _fields(resource)
        replicas = _at(obj, fields.replicas)
        if reading and not isinstance(replicas, int):
            path = "." + ".".join(fields.replicas)
            raise errors.internal(f'the spec replicas field "{path}" does not exist')
        scale: Json = {
            "kind": SCALE.kind,
            "apiVersion": SCALE.api_version,
            "metadata": {key: obj["metadata"][key] for key in _COPIED if key in obj["metadata"]},
            "spec": {"replicas": replicas} if replicas else {},
            "status": {"replicas": _at(obj, fields.observed) or 0},
        }
        selector = _at(obj, fields.selector) if fields.selector else None
        text = as_text(of_object(selector)) if isinstance(selector, Mapping) else selector
        if text:
            scale["status"]["selector"] = text
        return Record(scale, dumps(scale), record.version)


def _fields(resource: Resource) -> ScaleFields:
    if resource.scale is None:
        raise errors.no_such_path()
    return resource.scale


def _at(obj: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = obj
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _put(obj: Json, path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        inner = obj.get(key)
        if not isinstance(inner, dict):
            inner = obj[key] = {}
        obj = inner
    obj[path[-1]] = value
