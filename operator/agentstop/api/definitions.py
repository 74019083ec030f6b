"""Whether the definitions in a cluster are those of this version: for `agentstop check`, and for the operator's log."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from agentstop.api.crd import crds

INSTALL: Final = "agentstop crds | kubectl apply -f -"
"""What installs the definitions of this version. The chart does it itself, unless crds.enabled is false."""

_NAMED: Final = 3
"""So many fields are named."""


def definitions() -> dict[str, dict[str, Any]]:
    """Return the definitions of this version, by the names of their objects."""
    return {each["metadata"]["name"]: each for each in crds().values()}


def difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """Return in which way a definition in a cluster is not the one of this version; None where it is the same."""
    if _essence(found) == _essence(wanted):
        return None
    there, here = set(_fields(found)), set(_fields(wanted))
    if here - there:
        return f"is another version's, which lacks {_listed(here - there)}"
    if there - here:
        return f"is another version's, which has {_listed(there - here)} besides"
    return "is another version's"


def _listed(fields: set[str]) -> str:
    # Of a field that is missing with all that is below it, the field itself is enough.
    whole = sorted(each for each in fields if each.rpartition(".")[0] not in fields)
    more = f" and {len(whole) - _NAMED} more" if len(whole) > _NAMED else ""
    return ", ".join(whole[:_NAMED]) + more


def _essence(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return what matters of a definition, in the form in which the API server keeps it."""
    spec = definition["spec"]
    return {
        "scope": spec["scope"],
        "names": spec["names"],
        "versions": [
            {
                name: version.get(name)
                for name in ("name", "served", "storage", "schema", "subresources", "selectableFields")
            }
            | {
                "columns": [
                    {**each, "priority": each.get("priority", 0)}
                    for each in version.get("additionalPrinterColumns") or ()
                ]
            }
            for version in spec["versions"]
        ],
    }


def _fields(definition: Mapping[str, Any]) -> Iterator[str]:
    for version in definition["spec"]["versions"]:
        yield from _below((version.get("schema") or {}).get("openAPIV3Schema") or {}, "")


def _below(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, field in (schema.get("properties") or {}).items():
        here = f"{path}.{name}".removeprefix(".")
        yield here
        yield from _below(field, here)
    items = schema.get("items")
    if isinstance(items, dict):
        yield from _below(items, path)
