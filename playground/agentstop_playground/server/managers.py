"""Who owns which fields: the upkeep of ``metadata.managedFields`` on every write.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from . import fieldset
from .errors import apply_conflict
from .fieldset import FieldSet
from .topology import Path, Rule, Topology, item_key
from .wire import Json

APPLY: Final = "Apply"
UPDATE: Final = "Update"


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes: the field manager, the API version it speaks, the subresource it writes through, and when."""

    manager: str
    api_version: str
    subresource: str
    time: str


def _identity(entry: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return (
        entry.get("manager", ""),
        entry.get("operation", ""),
        entry.get("apiVersion", ""),
        entry.get("subresource", ""),
    )


def _entry(writer: Writer, operation: str, fields: FieldSet) -> Json:
    entry: Json = {
        "manager": writer.manager,
        "operation": operation,
        "apiVersion": writer.api_version,
        "time": writer.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    if writer.subresource:
        entry["subresource"] = writer.subresource
    return entry


def _in_order(entries: list[Json]) -> list[Json]:
    def rank(entry: Json) -> tuple[bool, str, str, str, str]:
        manager, operation, version, subresource = _identity(entry)
        return operation != APPLY, entry.get("time", ""), manager, version, subresource

    return sorted(entries, key=rank)


def rewritten(given: Any, before: list[Json]) -> list[Json]:
    """The record of owners that a write begins with: as the client gives it, if it can be read; else as it was.

    A list with one empty entry is how a client asks for it to be emptied.
    """
    if given == [{}]:
        return []
    readable = isinstance(given, list) and all(
        isinstance(entry, dict)
        and entry.get("operation") in {APPLY, UPDATE}
        and isinstance(entry.get("fieldsV1"), dict)
        and entry.get("manager")
        for entry in given
    )
    return given if readable and given else before


def record_update(old: Json | None, new: Json, writer: Writer, topology: Topology) -> None:
    """Set ``new``'s managedFields after an update or patch that made it from ``old`` (``None``: it was created).

    What the write changed or added belongs to the writer alone; what it removed belongs to no one.
    """
    before = old or {}
    entries: list[Json] = (before.get("metadata") or {}).get("managedFields") or []
    touched = fieldset.changed(before, new, topology)
    removed = fieldset.without(fieldset.changed(new, before, topology), touched) if old else None
    if not touched and not removed:
        _set(new, entries)
        return
    mine = (writer.manager, UPDATE, writer.api_version, writer.subresource)
    gone = fieldset.union(touched, removed or {})
    kept: list[Json] = []
    owned: FieldSet = {}
    for entry in entries:
        own = _identity(entry) == mine
        fields = entry.get("fieldsV1") or {}
        taken = removed if own else gone
        rest = fieldset.without(fields, taken) if taken else fields
        if own:
            owned = rest or {}
        elif rest:
            kept.append(entry if rest is fields else {**entry, "fieldsV1": rest})
    owned = fieldset.union(owned, touched)
    if owned:
        kept.append(_entry(writer, UPDATE, owned))
    _set(new, _in_order(kept))


def _set(obj: Json, entries: list[Json]) -> None:
    if entries:
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)


def apply(live: Json, config: Json, writer: Writer, topology: Topology, *, force: bool) -> Json:
    """The object that a server-side apply of ``config`` makes of ``live``.

    Raises:
        ApiError: 409, when the configuration changes fields that others own and ``force`` is not set.
    """
    mine = (writer.manager, APPLY, writer.api_version, writer.subresource)
    entries: list[Json] = live["metadata"].get("managedFields") or []
    previous = next((entry for entry in entries if _identity(entry) == mine), None)
    others = [entry for entry in entries if entry is not previous]
    wanted = fieldset.all_fields(config, topology)
    merged: Json = merge(live, config, topology)
    if previous is not None:
        dropped: FieldSet | None = fieldset.less(previous.get("fieldsV1") or {}, wanted)
        for entry in others:
            dropped = fieldset.less(dropped, entry.get("fieldsV1") or {}) if dropped else None
        if dropped:
            merged = fieldset.remove(merged, dropped, topology)
    changed = fieldset.changed(live, merged, topology)
    conflicts = [
        (_named(entry), path)
        for entry in others
        for path in fieldset.leaves(fieldset.intersection(changed, entry.get("fieldsV1") or {}))
    ]
    if conflicts and not force:
        raise apply_conflict(conflicts)
    kept: list[Json] = []
    for entry in others:
        fields = entry.get("fieldsV1") or {}
        rest = fieldset.without(fields, changed) if changed else fields
        if rest:
            kept.append(entry if rest is fields else {**entry, "fieldsV1": rest})
    unchanged = previous is not None and previous.get("fieldsV1") == wanted and not changed
    kept.append(previous if unchanged and previous is not None else _entry(writer, APPLY, wanted))
    merged["metadata"] = dict(merged["metadata"])
    _set(merged, _in_order(kept))
    return merged


def _named(entry: Json) -> str:
    name = f'"{entry.get("manager", "")}"'
    if entry.get("subresource"):
        name += f' with subresource "{entry["subresource"]}"'
    if entry.get("operation") == UPDATE:
        name += f" using {entry.get('apiVersion', '')}"
    return name


def merge(live: Any, config: Any, topology: Topology, path: Path = ()) -> Any:
    """``live`` with the values of ``config`` laid over it; nothing is removed, lists with keys merge by item."""
    if isinstance(live, dict) and isinstance(config, dict) and topology(path, config) in ("granular", "struct"):
        merged = dict(live)
        for name, value in config.items():
            merged[name] = merge(live[name], value, topology, (*path, name)) if name in live else value
        return merged
    if isinstance(live, list) and isinstance(config, list):
        rule = topology(path, config)
        if rule not in ("atomic", "granular"):
            return _merge_lists(live, config, rule, topology, path)
    return config


def _merge_lists(live: list[Any], config: list[Any], rule: Rule, topology: Topology, path: Path) -> list[Any]:
    wanted = {item_key(rule, item): item for item in config}
    if None in wanted:
        return config
    merged = []
    seen = set()
    for item in live:
        key = item_key(rule, item)
        seen.add(key)
        merged.append(merge(item, wanted[key], topology, path) if key in wanted else item)
    merged.extend(item for item in config if item_key(rule, item) not in seen)
    return merged
