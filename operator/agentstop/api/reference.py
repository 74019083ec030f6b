"""The field reference, generated from the CRDs: what `kubectl explain` shows, on one page."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from agentstop.api.crd import crds

_HEAD = """\
# Field reference

Generated from the models by `make crds`; `kubectl explain agenttask.spec --recursive` shows the same on a cluster.
"""

_ELSEWHERE: Final = frozenset({"podTemplate.spec"})
"""What Kubernetes' own reference describes."""


def reference() -> str:
    """Return the fields of all kinds as Markdown."""
    return "\n".join([_HEAD, *(part for crd in crds().values() for part in _kind(crd))])


def _kind(crd: Mapping[str, Any]) -> Iterator[str]:
    names, version = crd["spec"]["names"], crd["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    yield f"## {names['kind']}\n"
    api_version = f"{crd['spec']['group']}/{version['name']}"
    yield f"`{api_version}`, short name `{names['shortNames'][0]}`. {schema['description']}\n"
    for part in (each for each in ("spec", "status") if each in schema["properties"]):
        yield f"### {part}\n"
        yield "| field | type | meaning |"
        yield "|---|---|---|"
        yield from _fields(schema["properties"][part], "")
        yield ""
    yield "### What the API server refuses\n"
    yield from (f"- {each['message']}." for each in schema["x-kubernetes-validations"])


def _fields(schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield f"| `{path}` | {_type(field)} | {_meaning(field)} |"
        if path in _ELSEWHERE:
            continue
        yield from _fields(field, f"{path}.")
        yield from _fields(field.get("items", {}), f"{path}[].")


def _type(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    kind = str(field["type"])
    if kind == "array":
        return f"list of {field['items']['type']}s"
    return {"date-time": "time"}.get(field.get("format", ""), kind)


def _meaning(field: Mapping[str, Any]) -> str:
    limits = []
    if "minimum" in field or "maximum" in field:
        limits.append(f"{field.get('minimum', 0)} to {field['maximum']:,}" if "maximum" in field else "0 or more")
    if "maxLength" in field:
        limits.append(f"at most {field['maxLength']} characters")
    if "maxProperties" in field:
        longest = field["additionalProperties"]["maxLength"]
        limits.append(f"at most {field['maxProperties']}, each of at most {longest:,} characters")
    if "default" in field:
        limits.append(f"default `{str(field['default']).lower() if field['type'] == 'boolean' else field['default']}`")
    text = str(field["description"]).replace("|", "\\|")
    return f"{text} ({'; '.join(limits)})" if limits else text
