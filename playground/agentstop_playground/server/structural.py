"""Pruning and defaulting of custom resources by their structural schema.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
(sections "Field pruning" and "Defaulting").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from .wire import dumps, loads

Schema = Mapping[str, Any]

_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED: Final = "x-kubernetes-embedded-resource"
_TYPE_META: Final = frozenset({"apiVersion", "kind", "metadata"})


def prune(value: Any, schema: Schema, path: str = "", *, root: bool = True) -> Iterator[str]:
    """Drop, in place, the fields that the schema does not specify; yields their paths."""
    if isinstance(value, dict):
        properties: Mapping[str, Schema] = schema.get("properties") or {}
        extra = schema.get("additionalProperties")
        preserve = bool(schema.get(_PRESERVE)) or extra is True
        kept = _TYPE_META if root or schema.get(_EMBEDDED) else frozenset()
        for name in list(value):
            inner = f"{path}.{name}" if path else name
            if name in kept:
                continue
            if name in properties:
                yield from prune(value[name], properties[name], inner, root=False)
            elif isinstance(extra, Mapping):
                yield from prune(value[name], extra, inner, root=False)
            elif not preserve:
                del value[name]
                yield inner
    elif isinstance(value, list):
        items = schema.get("items")
        if isinstance(items, Mapping):
            for index, item in enumerate(value):
                yield from prune(item, items, f"{path}[{index}]", root=False)


def default(value: Any, schema: Schema) -> None:
    """Fill in defaults, in place, and drop the nulls of fields that may not be null."""
    if isinstance(value, dict):
        for name, node in (schema.get("properties") or {}).items():
            if name in value and value[name] is None and not node.get("nullable"):
                del value[name]
            if "default" in node and name not in value:
                value[name] = loads(dumps(node["default"]))
            if name in value:
                default(value[name], node)
        extra = schema.get("additionalProperties")
        if isinstance(extra, Mapping):
            known = schema.get("properties") or {}
            for name, item in value.items():
                if name not in known:
                    default(item, extra)
    elif isinstance(value, list):
        items = schema.get("items")
        if isinstance(items, Mapping):
            for item in value:
                default(item, items)
