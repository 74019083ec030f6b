"""The two forms of an Event: core/v1 and events.k8s.io/v1 are the same object, stored as the former.

Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .resources import Column
from .tables import age
from .wire import Json

_RENAMED: Final = (
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
)


def to_core(obj: Json) -> Json:
    """The core/v1 form of an events.k8s.io/v1 Event."""
    return _renamed(obj, dict(_RENAMED), "v1")


def from_core(obj: Json) -> Json:
    """The events.k8s.io/v1 form of a core/v1 Event."""
    return _renamed(obj, {core: new for new, core in _RENAMED}, "events.k8s.io/v1")


def _renamed(obj: Json, names: Mapping[str, str], api_version: str) -> Json:
    converted = {names.get(name, name): value for name, value in obj.items()}
    converted["apiVersion"] = api_version
    return converted


def _field(obj: Mapping[str, Any], core: str) -> Any:
    value = obj.get(core)
    if value is None:
        value = next((obj.get(new) for new, old in _RENAMED if old == core), None)
    return value


def _last_seen(obj: Mapping[str, Any]) -> str:
    series = obj.get("series") or {}
    seen = series.get("lastObservedTime") or _field(obj, "lastTimestamp") or obj.get("eventTime")
    return age(seen or obj["metadata"].get("creationTimestamp"))


def _first_seen(obj: Mapping[str, Any]) -> str:
    seen = _field(obj, "firstTimestamp") or obj.get("eventTime")
    return age(seen or obj["metadata"].get("creationTimestamp"))


def _count(obj: Mapping[str, Any]) -> int:
    series = obj.get("series") or {}
    return int(series.get("count") or _field(obj, "count") or 1)


def _source(obj: Mapping[str, Any]) -> str:
    source = _field(obj, "source") or {}
    component = source.get("component") or _field(obj, "reportingComponent") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component


def event_columns(subject: str) -> tuple[Column, ...]:
    """The table of events; ``subject`` is the name of the field with the object that an event is about."""

    def about(obj: Mapping[str, Any]) -> str:
        reference = obj.get(subject) or {}
        return f"{str(reference.get('kind', '')).lower()}/{reference.get('name', '')}"

    def part(obj: Mapping[str, Any]) -> str:
        return str((obj.get(subject) or {}).get("fieldPath", ""))

    def text(obj: Mapping[str, Any]) -> str:
        return str(_field(obj, "message") or "").strip()

    return (
        Column("Last Seen", _last_seen),
        Column("Type", lambda obj: obj.get("type", "")),
        Column("Reason", lambda obj: obj.get("reason", "")),
        Column("Object", about),
        Column("Subobject", part, priority=1),
        Column("Source", _source, priority=1),
        Column("Message", text),
        Column("First Seen", _first_seen, priority=1),
        Column("Count", _count, "integer", priority=1),
        Column("Name", lambda obj: obj["metadata"]["name"], priority=1),
    )
