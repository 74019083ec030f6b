"""Validation of custom resources against their OpenAPI v3 schema, with the real server's wording.

``jsonschema`` finds what is wrong; this module feeds it the Kubernetes dialect (``nullable``, int-or-string, list-type
keys, formats) and words the findings as apiextensions-apiserver does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from agentstop_playground import times

from .errors import ROOT, FieldError, duplicate, invalid, not_supported, required, too_long, too_many, type_invalid
from .topology import Rule, item_key
from .wire import dumps

_KEPT: Final = [
    "type",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "multipleOf",
    "minProperties",
    "maxProperties",
    "required",
    "enum",
]
_LIST_TYPE: Final = "x-kubernetes-list-type"
_LIST_KEYS: Final = "x-kubernetes-list-map-keys"
_PLAIN: Final = frozenset(
    {
        *("type", "format", "required", "properties", "items", "additionalProperties"),
        *("minimum", "maximum", "maxLength", "maxItems", "maxProperties"),
    }
)
_RANGES: Final = {"int32": 2**31, "int64": 2**63}


def to_json_schema(schema: Mapping[str, Any], *, root: bool = False) -> dict[str, Any]:
    """The JSON schema (draft 4) of a structural schema."""
    out: dict[str, Any] = {name: schema[name] for name in _KEPT if name in schema}
    if schema.get("x-kubernetes-int-or-string"):
        out["type"] = ["integer", "string"]
    if schema.get("nullable") and "type" in out:
        types = out["type"] if isinstance(out["type"], list) else [out["type"]]
        out["type"] = [*types, "null"]
        if "enum" in out:
            out["enum"] = [*out["enum"], None]
    for name in (_LIST_TYPE, _LIST_KEYS):
        if name in schema:
            out[name] = schema[name]
    properties = {name: to_json_schema(node) for name, node in (schema.get("properties") or {}).items()}
    if root:
        # Object metadata is checked for every kind alike, before the schema is looked at.
        for name in ("apiVersion", "kind", "metadata"):
            properties.pop(name, None)
    if properties:
        out["properties"] = properties
    for name in ("items", "not", "additionalProperties"):
        if isinstance(schema.get(name), Mapping):
            out[name] = to_json_schema(schema[name])
    for name in ("allOf", "anyOf", "oneOf"):
        if name in schema:
            out[name] = [to_json_schema(node) for node in schema[name]]
    return out


def _properties(validator: Any, properties: Any, instance: Any, _: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for name, node in properties.items():
            if name in instance and not _fits(instance[name], node):
                yield from validator.descend(instance[name], node, path=name, schema_path=name)


def _fits(value: Any, node: Mapping[str, Any]) -> bool:
    """Whether a value is plainly what a schema says; where it takes more to tell, ``jsonschema`` has to.

    It takes 20 us for each word of a pod template, which was half of the time of a request.
    """
    if not node.keys() <= _PLAIN:
        return False
    match node.get("type"):
        case "string" | ["integer", "string"]:
            return type(value) is str and "format" not in node and len(value) <= node.get("maxLength", len(value))
        case "integer":
            within = type(value) is int and abs(value) < _RANGES["int32"]
            return within and node.get("minimum", value) <= value <= node.get("maximum", value)
        case "boolean":
            return type(value) is bool
        case "array":
            items = node.get("items", {})
            return (
                type(value) is list
                and len(value) <= node.get("maxItems", len(value))
                and all(_fits(item, items) for item in value)
            )
        case "object" if type(value) is dict:
            if len(value) > node.get("maxProperties", len(value)) or any(
                n not in value for n in node.get("required", ())
            ):
                return False
            properties, others = node.get("properties", {}), node.get("additionalProperties")
            return all(
                _fits(item, properties[name]) if name in properties else others is None or _fits(item, others)
                for name, item in value.items()
            )
    return False


def _required(_: Any, names: Any, instance: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for name in names:
            if name not in instance:
                yield ValidationError(name)


def _format(_: Any, name: Any, instance: Any, __: Any) -> Iterator[ValidationError]:
    if not _well_formed(name, instance):
        yield ValidationError(name)


def _well_formed(name: str, value: Any) -> bool:
    if name in _RANGES and isinstance(value, int | float) and not isinstance(value, bool):
        return value == int(value) and -_RANGES[name] <= value < _RANGES[name]
    if name == "date-time" and isinstance(value, str):
        return times.parse(value) is not None
    return True


def _list_type(_: Any, kind: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, list) or kind == "atomic":
        return
    rule: Rule = "set" if kind == "set" else tuple(schema.get(_LIST_KEYS) or ())
    seen: set[Any] = set()
    for index, item in enumerate(instance):
        key = item_key(rule, item)
        if key is None:
            continue
        if key in seen:
            names = schema.get(_LIST_KEYS) or ()
            value = item if kind == "set" else {name: item.get(name) for name in names}
            error = ValidationError("duplicate", path=[index])
            error.cause = _DuplicateError(value)
            yield error
        seen.add(key)


class _DuplicateError(Exception):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


def _max_bytes(_: Any, limit: Any, instance: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and len(instance) > limit:
        yield ValidationError("long")


_Validator: Final[Any] = extend(  # type: ignore[no-untyped-call]
    Draft4Validator,
    {
        "properties": _properties,
        "required": _required,
        "format": _format,
        _LIST_TYPE: _list_type,
        "maxLength": _max_bytes,
    },
)


class SchemaValidator:
    """A schema, ready to validate objects."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        document = to_json_schema(schema, root=True)
        children: Mapping[str, Any] = document.get("properties") or {}
        self._children = {name: _Validator(node) for name, node in children.items()}
        self._root = _Validator({name: value for name, value in document.items() if name != "properties"})

    def validate(self, obj: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> list[FieldError]:
        """What is wrong with an object; parts that are as they were in ``old`` are not held against it.

        Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-ratcheting
        """
        errors = [_worded(error, ()) for error in self._root.iter_errors(obj)]
        for name, validator in self._children.items():
            if name not in obj:
                continue
            before = old.get(name) if old is not None else None
            if old is not None and name in old and before == obj[name]:
                continue
            errors.extend(
                _worded(error, (name,))
                for error in validator.iter_errors(obj[name])
                if not _as_before(obj[name], before, error.absolute_path)
            )
        return errors


def _as_before(new: Any, old: Any, path: Iterable[str | int]) -> bool:
    for part in path:
        # Items of a list have no name by which to find what they were.
        if not (isinstance(new, dict) and isinstance(old, dict) and part in old):
            return False
        new, old = new[part], old[part]
        if new == old:
            return True
    return False


def dotted(path: tuple[str | int, ...]) -> str:
    """``spec.containers[0].name``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _json_type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def _worded(error: ValidationError, prefix: tuple[str | int, ...]) -> FieldError:
    path = dotted((*prefix, *error.absolute_path))
    value: Any = error.instance
    limit: Any = error.validator_value
    schema: Any = error.schema
    body = f"{path} in body"
    match error.validator:
        case "required":
            return required(f"{path}.{error.message}" if path else error.message)
        case "type":
            wanted = [name for name in ([limit] if isinstance(limit, str) else limit) if name != "null"]
            got = _json_type(value)
            form = schema.get("format")
            if form and not isinstance(value, str | list):
                wanted, got = [form], {"number": "float64", "integer": "int64"}.get(got, "")
            return type_invalid(path, got, f'{body} must be of type {",".join(wanted)}: "{got}"')
        case "enum":
            allowed = [item if isinstance(item, str) else dumps(item).decode() for item in limit if item is not None]
            return not_supported(path, value, allowed)
        case "maxLength":
            return too_long(path, limit)
        case "minLength":
            return invalid(path, value, f"{body} should be at least {limit} chars long")
        case "pattern":
            return invalid(path, value, f"{body} should match '{limit}'")
        case "maximum":
            word = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
            return invalid(path, value, f"{body} should be {word} {limit}")
        case "minimum":
            word = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
            return invalid(path, value, f"{body} should be {word} {limit}")
        case "multipleOf":
            return invalid(path, value, f"{body} should be a multiple of {limit}")
        case "maxItems" | "maxProperties":
            return too_many(path, len(value), limit)
        case "minItems":
            return invalid(path, len(value), f"{body} should have at least {limit} items")
        case "minProperties":
            return invalid(path, len(value), f"{body} should have at least {limit} properties")
        case "uniqueItems":
            return invalid(path, value, f"{body} shouldn't contain duplicates")
        case "format" if limit in _RANGES:
            return invalid(ROOT, "", f"Checked value must be of type integer with format {limit} in {path}")
        case "format":
            return invalid(path, value, f"{body} must be of type {limit}: {dumps(value).decode()}")
        case "x-kubernetes-list-type":
            return duplicate(path, error.cause.value if isinstance(error.cause, _DuplicateError) else value)
        case "anyOf":
            return invalid(path, "", f'"{path}" must validate at least one schema (anyOf)')
        case "oneOf":
            return invalid(path, "", f'"{path}" must validate one and only one schema (oneOf). Found none valid')
        case "not":
            return invalid(path, "", f'"{path}" must not validate the schema (not)')
    return invalid(path, value, error.message)
