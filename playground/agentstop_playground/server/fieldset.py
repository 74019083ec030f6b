"""Sets of fields in the form of ``managedFields[].fieldsV1``: nested dicts with ``f:``, ``k:`` and ``v:`` keys.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management. A key ``.`` means that the
map or list item itself belongs to the set, not only what is in it; an empty dict is a leaf.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from .topology import Path, Rule, Topology, item_key

FieldSet = dict[str, Any]

_UNTRACKED: Final = frozenset({("apiVersion",), ("kind",), ("metadata",)})
_UNTRACKED_METADATA: Final = frozenset(
    {
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "selfLink",
        "generation",
        "managedFields",
        "generateName",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    }
)
_ALWAYS_THERE: Final = frozenset({"containers"})
"""Lists that the built-in types have even when they are empty."""
_MISSING: Final = object()


def segment(rule: Rule, item: Any) -> str | None:
    """The fieldsV1 key of a list item under a list rule."""
    key = item_key(rule, item)
    if key is None:
        return None
    if rule == "set":
        return "v:" + json.dumps(item, separators=(",", ":"))
    names = rule if isinstance(rule, tuple) else ()
    return "k:" + json.dumps(dict(zip(names, key, strict=False)), separators=(",", ":"), sort_keys=True)


def changed(old: Mapping[str, Any], new: Mapping[str, Any], topology: Topology) -> FieldSet:
    """The fields of ``new`` that are not, or not with the same value, in ``old``."""
    return _changed(old, new, topology, ()) or {}


def all_fields(obj: Mapping[str, Any], topology: Topology) -> FieldSet:
    """Every field of an object, as an apply configuration owns them."""
    return _changed({}, obj, topology, (), implied=False) or {}


def _tracked(path: Path) -> bool:
    return path not in _UNTRACKED and not (len(path) == 2 and path[0] == "metadata" and path[1] in _UNTRACKED_METADATA)


def _changed(old: Any, new: Any, topology: Topology, path: Path, *, implied: bool = True) -> FieldSet | None:
    """``None`` when nothing changed; an empty dict for a changed leaf."""
    if isinstance(new, dict):
        rule = topology(path, new)
        if rule in ("granular", "struct"):
            return _changed_map(old, new, topology, path, implied=implied, own=rule == "granular")
    if isinstance(new, list):
        rule = topology(path, new)
        if rule not in ("atomic", "granular"):
            own = path[-1] not in _ALWAYS_THERE
            return _changed_list(old, new, rule, topology, path, implied=implied, own=own)
    return None if old is not _MISSING and old == new and type(old) is type(new) else {}


def _changed_map(
    old: Any, new: dict[str, Any], topology: Topology, path: Path, *, implied: bool, own: bool = True
) -> FieldSet | None:
    before: Mapping[str, Any] = old if isinstance(old, dict) else {}
    fields: FieldSet = {}
    if implied and own and not isinstance(old, dict) and path:
        fields["."] = {}
    for name, value in new.items():
        inner = (*path, name)
        if inner == ("metadata",):
            if isinstance(value, dict):
                found = _changed_map(before.get(name, {}), value, topology, inner, implied=implied)
                if found:
                    fields["f:metadata"] = found
            continue
        if not _tracked(inner):
            continue
        was = before.get(name, _MISSING)
        if was is value:
            continue
        found = _changed(was, value, topology, inner, implied=implied)
        if found is not None:
            fields[f"f:{name}"] = found
    if fields == {".": {}} and not new:
        return {}
    if not fields:
        return {} if (not new and not isinstance(old, dict) and path) else None
    return fields


def _changed_list(
    old: Any, new: list[Any], rule: Rule, topology: Topology, path: Path, *, implied: bool, own: bool
) -> FieldSet | None:
    before = {segment(rule, item): item for item in old} if isinstance(old, list) else {}
    fields: FieldSet = {}
    if implied and own and not isinstance(old, list):
        fields["."] = {}
    for item in new:
        key = segment(rule, item)
        if key is None:
            return None if old == new else {}
        if rule == "set":
            if key not in before:
                fields[key] = {}
            continue
        found = _changed(before.get(key, _MISSING), item, topology, path, implied=implied)
        if found is not None:
            if key not in before:
                found = {".": {}, **found}
            fields[key] = found
    return fields or (None if isinstance(old, list) else {})


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """The fields of either set."""
    merged = dict(left)
    for key, value in right.items():
        merged[key] = union(merged[key], value) if key in merged else value
    return merged


def without(fields: FieldSet, taken: FieldSet) -> FieldSet | None:
    """``fields`` less ``taken``; ``None`` when nothing is left. A leaf of ``taken`` takes all that is below it."""
    if not taken:
        return fields or None
    left: FieldSet = {}
    for key, value in fields.items():
        if key not in taken:
            left[key] = value
        elif value and taken[key]:
            rest = without(value, taken[key])
            if rest:
                left[key] = rest
        elif not value and taken[key] and "." not in taken[key]:
            left[key] = value
    return left or None


def less(fields: FieldSet, kept: FieldSet) -> FieldSet | None:
    """``fields`` less the very members of ``kept``; ``None`` when nothing is left. A leaf stands for itself alone."""
    left: FieldSet = {}
    for key, value in fields.items():
        if key not in kept:
            left[key] = value
        elif value:
            rest = less(value, kept[key] or {".": {}})
            if rest:
                left[key] = rest
    return left or None


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """The leaves that are in both sets."""
    both: FieldSet = {}
    for key in left.keys() & right.keys():
        if not left[key] or not right[key]:
            both[key] = left[key] or right[key] if left[key] and right[key] else {}
            continue
        inner = intersection(left[key], right[key])
        if inner:
            both[key] = inner
    return both


def leaves(fields: FieldSet, path: str = "") -> Iterator[str]:
    """The dotted paths of a set's leaves, as conflict messages print them: ``.spec.containers[name="a"].image``."""
    for key in sorted(fields):
        value = fields[key]
        if key == ".":
            continue
        if key.startswith("f:"):
            inner = f"{path}.{key[2:]}"
        elif key.startswith("k:"):
            pairs = json.loads(key[2:])
            inner = path + "[" + ",".join(f"{name}={json.dumps(item)}" for name, item in sorted(pairs.items())) + "]"
        else:
            inner = f"{path}[={key[2:]}]"
        if any(name != "." for name in value):
            yield from leaves(value, inner)
        else:
            yield inner


def remove(obj: Any, fields: FieldSet, topology: Topology, path: Path = ()) -> Any:
    """A copy of ``obj`` without the fields of a set; maps and lists that become empty by it go too."""
    taken: Any
    if isinstance(obj, dict):
        kept = {}
        for name, value in obj.items():
            taken = fields.get(f"f:{name}", _MISSING)
            if taken is _MISSING:
                kept[name] = value
            elif taken and isinstance(value, dict | list):
                rest = remove(value, taken, topology, (*path, name))
                if rest:
                    kept[name] = rest
        return kept
    if isinstance(obj, list):
        rule = topology(path, obj)
        items = []
        for item in obj:
            key = segment(rule, item)
            taken = fields.get(key, _MISSING) if key is not None else _MISSING
            if taken is _MISSING:
                items.append(item)
            elif taken and isinstance(item, dict) and "." not in taken:
                items.append(remove(item, taken, topology, path))
        return items
    return obj
