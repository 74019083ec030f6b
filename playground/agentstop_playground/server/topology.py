"""Which lists merge by key and which maps are replaced whole: what patches and field ownership go by.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy and the list-type markers of
the built-in types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

Rule = Literal["atomic", "granular", "struct", "set"] | tuple[str, ...]
"""How a list or map merges: as one value, by member, as a set of scalars, or by these keys of its items.

A ``struct`` merges by member and is always there, so that no one owns it as such.
"""

Path = tuple[str, ...]
"""Property names from the root; list items add nothing."""

Topology = Callable[[Path, Any], Rule]
"""The rule for the list or map found at a path."""

_LIST_KEYS: Final[Mapping[str, Rule]] = {
    "conditions": ("type",),
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "secrets": ("name",),
    "ownerReferences": ("uid",),
    "finalizers": "set",
    "podIPs": ("ip",),
    "hostIPs": ("ip",),
    "podCIDRs": "set",
    "hostAliases": ("ip",),
    "schedulingGates": ("name",),
    "resourceClaims": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "addresses": ("type",),
}
_ATOMIC_MAPS: Final = frozenset(
    {
        "nodeSelector",
        "selector",
        "labelSelector",
        "secretKeyRef",
        "configMapKeyRef",
        "fieldRef",
        "resourceFieldRef",
        "claimRef",
        "involvedObject",
        "regarding",
        "related",
    }
)
_TEMPLATE: Final = ("spec", "template")
_STRUCTS: Final = frozenset(
    {
        ("spec",),
        ("status",),
        ("source",),
        ("spec", "strategy"),
        ("spec", "updateStrategy"),
        _TEMPLATE,
        (*_TEMPLATE, "metadata"),
        (*_TEMPLATE, "spec"),
    }
)
_METADATA: Final = "metadata"


def builtin(path: Path, value: Any) -> Rule:
    """The rules of the built-in kinds, by the property's name."""
    name = path[-1] if path else ""
    if isinstance(value, list):
        if name == "ports":
            return ("containerPort", "protocol") if "containers" in path or "initContainers" in path else ("port",)
        return _LIST_KEYS.get(name, "atomic")
    if path and path[0] == _METADATA:
        return "granular"
    if path in _STRUCTS:
        return "struct"
    return "atomic" if name in _ATOMIC_MAPS else "granular"


def by_schema(schema: Mapping[str, Any]) -> Topology:
    """The rules that a custom resource's schema states with ``x-kubernetes-list-type`` and its kin."""

    def rule(path: Path, value: Any) -> Rule:
        if path and path[0] == _METADATA:
            return builtin(path, value)
        node = _descend(schema, path)
        if isinstance(value, list):
            match node.get("x-kubernetes-list-type"):
                case "map":
                    return tuple(node.get("x-kubernetes-list-map-keys") or ())
                case "set":
                    return "set"
            return "atomic"
        return "atomic" if node.get("x-kubernetes-map-type") == "atomic" else "granular"

    return rule


def _descend(schema: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    node: Any = schema
    for name in path:
        while isinstance(node.get("items"), Mapping) and "properties" not in node:
            node = node["items"]
        properties = node.get("properties") or {}
        node = properties.get(name, node.get("additionalProperties"))
        if not isinstance(node, Mapping):
            return {}
    return node if isinstance(node, Mapping) else {}


def item_key(rule: Rule, item: Any) -> tuple[Any, ...] | None:
    """The identity of a list item under a rule; ``None`` when it has none."""
    if rule == "set":
        return (item,) if not isinstance(item, dict | list) else None
    if not isinstance(rule, tuple) or not isinstance(item, dict):
        return None
    if rule == ("containerPort", "protocol"):
        return item.get("containerPort"), item.get("protocol", "TCP")
    return tuple(item.get(key) for key in rule)
