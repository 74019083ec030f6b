"""OpenAPI v3 documents: what ``kubectl explain`` prints and what ``kubectl apply`` asks before it validates.

Built-in kinds are described by the official client's models, custom resources by their own schemas.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from . import builtin_types
from .builtin_kinds import REVIEWS
from .registry import Registry
from .resources import BuiltinStrategy, Resource
from .wire import Json

_PATCHES: Final = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")
_SCALARS: Final[Mapping[str, Json]] = {
    "str": {"type": "string"},
    "int": {"type": "integer", "format": "int64"},
    "bool": {"type": "boolean"},
    "float": {"type": "number"},
    "datetime": {"type": "string", "format": "date-time"},
    "bytes": {"type": "string", "format": "byte"},
    "bytearray": {"type": "string", "format": "byte"},
}
_TYPE_META: Final[Mapping[str, str]] = {
    "apiVersion": (
        "APIVersion defines the versioned schema of this representation of an object. Servers should convert "
        "recognized schemas to the latest internal value, and may reject unrecognized values."
    ),
    "kind": (
        "Kind is a string value representing the REST resource this object represents. Servers may infer this from the "
        "endpoint the client submits requests to. Cannot be updated. In CamelCase."
    ),
}
_PREFIX: Final = "#/components/schemas/"


def index(registry: Registry) -> Json:
    """``/openapi/v3``: where the documents are. The hash in each address changes with what is served."""
    paths = {}
    versions = {*registry.group_versions(), *((group, "v1") for group, _ in REVIEWS)}
    for group, version in sorted(versions):
        path = f"apis/{group}/{version}" if group else f"api/{version}"
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={registry.generation}"}
    return {"paths": paths}


def document(registry: Registry, group: str, version: str) -> Json:
    """The document of one group and version."""
    schemas: dict[str, Json] = {}
    paths: dict[str, Json] = {}
    for resource in registry.in_group_version(group, version):
        name = _schema(resource, schemas)
        paths.update(_paths(resource, name))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _schema(resource: Resource, schemas: dict[str, Json]) -> str:
    identity = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    if resource.schema is None:
        strategy = resource.strategy
        model = strategy.model if isinstance(strategy, BuiltinStrategy) else "V1ObjectMeta"
        _model(model, schemas)
        schemas[_short(model)]["x-kubernetes-group-version-kind"] = [identity]
        return _short(model)
    _model("V1ObjectMeta", schemas)
    name = ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])
    schema = dict(resource.schema)
    properties: dict[str, Any] = {key: {"type": "string", "description": text} for key, text in _TYPE_META.items()}
    properties["metadata"] = {
        "description": "Standard object's metadata.",
        "allOf": [{"$ref": f"{_PREFIX}ObjectMeta"}],
    }
    properties.update({key: node for key, node in (schema.get("properties") or {}).items() if key not in properties})
    schema["properties"] = properties
    schema["x-kubernetes-group-version-kind"] = [identity]
    schemas[name] = schema
    return name


def _short(model: str) -> str:
    """The name that users see: ``PodSpec`` for ``V1PodSpec``."""
    return re.sub(r"^(?:Core|Events)?V\d+(?=[A-Z])", "", model)


def _model(name: str, schemas: dict[str, Json]) -> None:
    """Add the schema of a client model, and those that it refers to."""
    if _short(name) in schemas:
        return
    texts = builtin_types.descriptions(name)
    schema: Json = {"type": "object", "description": texts[""], "properties": {}}
    schemas[_short(name)] = schema
    required = builtin_types.required(name)
    if required:
        schema["required"] = list(required)
    for field, kind in builtin_types.fields(name).items():
        schema["properties"][field] = {**_typed(kind, schemas), "description": texts.get(field, "")}


def _typed(kind: str, schemas: dict[str, Json]) -> Json:
    if kind in _SCALARS:
        return dict(_SCALARS[kind])
    inner = builtin_types.inner_type(kind)
    if inner is not None:
        container, item = inner
        if container == "List":
            return {"type": "array", "items": _typed(item, schemas)}
        return {"type": "object", "additionalProperties": _typed(item, schemas)}
    if not builtin_types.is_model(kind):
        return {"type": "object"} if kind == "object" else {}
    _model(kind, schemas)
    return {"allOf": [{"$ref": _PREFIX + _short(kind)}]}


def _paths(resource: Resource, schema: str) -> dict[str, Json]:
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    if resource.namespaced:
        base += "/namespaces/{namespace}"
    identity = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    answer = {"200": {"description": "OK", "content": {"application/json": {"schema": {"$ref": _PREFIX + schema}}}}}
    parameters = [
        {"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": True}}
        for name, kind in (
            ("dryRun", "string"),
            ("fieldManager", "string"),
            ("fieldValidation", "string"),
            ("force", "boolean"),
        )
    ]

    def operation(action: str, **more: Any) -> Json:
        return {"x-kubernetes-action": action, "x-kubernetes-group-version-kind": identity, "responses": answer, **more}

    body = {"content": {"application/json": {"schema": {"$ref": _PREFIX + schema}}}}
    # Strategic merge is left out on purpose: without merge keys here, kubectl has to go by its own knowledge of them.
    patch_body = {"content": {media_type: {"schema": {"type": "object"}} for media_type in _PATCHES}}
    return {
        f"{base}/{resource.plural}": {
            "get": operation("list"),
            "post": operation("post", parameters=parameters, requestBody=body),
        },
        f"{base}/{resource.plural}/{{name}}": {
            "get": operation("get"),
            "put": operation("put", parameters=parameters, requestBody=body),
            "patch": operation("patch", parameters=parameters, requestBody=patch_body),
            "delete": operation("delete"),
        },
    }
