"""Tables and metadata-only views: what ``kubectl get`` asks for in its Accept header.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from agentstop_playground import times

from .resources import Column, Resource
from .wire import Json

_NAME: Final = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a "
    "client to request the generation of an appropriate name automatically."
)


def human_duration(seconds: float) -> str:
    """A duration as kubectl prints ages: ``45s``, ``3m12s``, ``5h``, ``8d``, ``2y33d``."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    total = max(total, 0)
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if total < 120:
        return f"{total}s"
    if minutes < 10:
        return f"{minutes}m{total % 60}s" if total % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    years = days // 365
    if years < 8:
        return f"{years}y{days % 365}d" if days % 365 else f"{years}y"
    return f"{years}y"


def age(timestamp: Any) -> str:
    """The time since an RFC 3339 timestamp, for a cell."""
    moment = times.parse(timestamp)
    if moment is None:
        return "<unknown>"
    return human_duration((times.now() - moment).total_seconds())


def name_of(obj: Mapping[str, Any]) -> Any:
    """The first cell of every row."""
    return obj["metadata"]["name"]


NAME_COLUMN: Final = Column("Name", name_of, "string", "name", _NAME)
AGE_COLUMN: Final = Column(
    "Age", lambda obj: age(obj["metadata"].get("creationTimestamp")), "string", "", "Time since creation."
)


def partial(obj: Mapping[str, Any]) -> Json:
    """An object's metadata as ``PartialObjectMetadata``."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def definitions(resource: Resource) -> list[Json]:
    """The column definitions of a resource's table."""
    return [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in columns(resource)
    ]


def columns(resource: Resource) -> Sequence[Column]:
    """The columns of a resource's table: its own, or name and age."""
    own = resource.columns or (AGE_COLUMN,)
    return (NAME_COLUMN, *own) if resource.name_column else own


def table(
    resource: Resource, objects: Iterable[Mapping[str, Any]], metadata: Json, *, include: str, header: bool = True
) -> Json:
    """A ``Table`` of objects; ``include`` is what each row carries: ``None``, ``Metadata`` or ``Object``.

    In a watch only the first table has a ``header``.
    """
    readers = [column.read for column in columns(resource)]
    rows = []
    for obj in objects:
        row: Json = {"cells": [read(obj) for read in readers]}
        if include == "Object":
            row["object"] = obj
        elif include != "None":
            row["object"] = partial(obj)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions(resource) if header else [],
        "rows": rows,
    }
