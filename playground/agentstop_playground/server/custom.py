"""Custom resources: the strategy made from a CustomResourceDefinition, and the resources that it serves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from . import structural
from .builtin_types import WrongTypeError, prune
from .cel_rules import compile_rules
from .errors import FieldError, bad_request, unchecked
from .resources import Column, Resource, ScaleFields, Strategy
from .selectors import by_path
from .tables import age
from .topology import by_schema
from .validation import SchemaValidator
from .wire import Json, dumps

_PATH_STEP: Final = re.compile(
    r"""\.?([^.\[\]]+)|\[(?:'([^']*)'|"([^"]*)"|(\d+)|\?\(@\.(\w+)\s*==\s*["']([^"']*)["']\))\]"""
)


class CustomStrategy(Strategy):
    """The rules of one version of a custom resource.

    ``schema`` is its ``openAPIV3Schema``; compiling it raises ``cel_rules.RuleError`` for a bad CEL rule.
    """

    counts_generations = True
    unconditional_update = False
    status_may_label = False

    def __init__(self, schema: Mapping[str, Any], *, has_status: bool, preserve: bool = False) -> None:
        self.schema = schema
        self.has_status = has_status
        self.topology = by_schema(schema)
        self._preserve = preserve
        self._validator = SchemaValidator(schema)
        self._rules = compile_rules(schema)

    def decode(self, obj: Json) -> list[str]:
        """Drop the fields that the schema does not specify."""
        metadata = obj.get("metadata")
        unknown: list[str] = []
        if isinstance(metadata, dict):
            try:
                unknown = [f"metadata.{path}" for path in prune(metadata, "V1ObjectMeta")]
            except WrongTypeError as error:
                raise bad_request(str(error)) from error
        if not self._preserve:
            unknown += structural.prune(obj, self.schema)
        return unknown

    def default(self, obj: Json) -> None:
        """Fill in the schema's defaults."""
        structural.default(obj, self.schema)

    def prepare_create(self, obj: Json) -> None:
        """A status can't be set on create, except by the schema's default."""
        if self.has_status:
            obj.pop("status", None)
            self.default(obj)

    def prepare_update(self, new: Json, old: Json) -> None:
        """A status can't be changed through the main resource."""
        if not self.has_status:
            return
        if "status" in old:
            new["status"] = old["status"]
        else:
            new.pop("status", None)

    def validate_create(self, obj: Json) -> list[FieldError]:
        """Check the schema."""
        return self._validator.validate(obj)

    def validate_update(self, new: Json, old: Json, subresource: str) -> list[FieldError]:  # noqa: ARG002
        """Check what changed."""
        return self._validator.validate(new, old)

    def check_rules(self, new: Json, old: Json | None, problems: Sequence[FieldError]) -> list[FieldError]:
        """Run the CEL rules, unless the object is so wrong that they could stumble over it."""
        if self._rules is None:
            return []
        skipped = unchecked(problems)
        return [skipped] if skipped else list(self._rules.check(new, old))

    def same_spec(self, new: Json, old: Json) -> bool:
        """For custom resources everything but metadata and status counts."""
        ignored = {"metadata", "status"} if self.has_status else {"metadata"}
        return all(new.get(name) == old.get(name) for name in {*new, *old} - ignored)


def storage_version(crd: Mapping[str, Any]) -> str:
    """The name of the version that a definition stores."""
    return next(str(version["name"]) for version in crd["spec"]["versions"] if version.get("storage"))


def resources_of(crd: Mapping[str, Any]) -> list[Resource]:
    """The served versions of a definition.

    Raises:
        RuleError: a CEL rule does not compile.
    """
    spec = crd["spec"]
    names = spec["names"]
    stored = f"{spec['group']}/{storage_version(crd)}"
    resources = []
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        schema = (version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
        subresources = version.get("subresources") or {}
        has_status = "status" in subresources
        scale = _scale_fields(subresources)
        preserve = bool(spec.get("preserveUnknownFields"))
        api_version = f"{spec['group']}/{version['name']}"
        resources.append(
            Resource(
                group=spec["group"],
                version=version["name"],
                kind=names["kind"],
                plural=names["plural"],
                singular=names.get("singular", ""),
                short_names=tuple(names.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                namespaced=spec["scope"] == "Namespaced",
                subresources=(*(("status",) if has_status else ()), *(("scale",) if scale else ())),
                strategy=CustomStrategy(schema, has_status=has_status, preserve=preserve),
                columns=_columns(version),
                selectable={
                    field["jsonPath"].removeprefix("."): by_path(field["jsonPath"])
                    for field in version.get("selectableFields") or ()
                },
                schema=schema,
                scale=scale,
                to_storage=None if api_version == stored else _restamp(stored),
                from_storage=None if api_version == stored else _restamp(api_version),
            )
        )
    return resources


def _scale_fields(subresources: Mapping[str, Any]) -> ScaleFields | None:
    scale = subresources.get("scale")
    if scale is None:
        return None
    selector = scale.get("labelSelectorPath")
    return ScaleFields(
        replicas=_keys(scale["specReplicasPath"]),
        observed=_keys(scale["statusReplicasPath"]),
        selector=_keys(selector) if selector else None,
    )


def _keys(path: str) -> tuple[str, ...]:
    return tuple(path.removeprefix(".").split("."))


def _restamp(api_version: str) -> Any:
    def convert(obj: Json) -> Json:
        return {**obj, "apiVersion": api_version}

    return convert


def _columns(version: Mapping[str, Any]) -> tuple[Column, ...]:
    columns = [
        Column(
            name=column["name"],
            read=_cell(column["jsonPath"], column["type"]),
            type=column["type"],
            format=column.get("format", ""),
            description=column.get("description", ""),
            priority=column.get("priority", 0),
        )
        for column in version.get("additionalPrinterColumns") or ()
    ]
    if not columns:
        columns = [Column("Age", lambda obj: age(obj["metadata"].get("creationTimestamp")), "date")]
    return tuple(columns)


def _cell(path: str, kind: str) -> Any:
    """A reader of the value at a JSON path, in the subset that printer columns use."""
    steps = _PATH_STEP.findall(path)

    def read(obj: Mapping[str, Any]) -> Any:
        value: Any = obj
        for plain, quoted, double_quoted, index, key, wanted in steps:
            if key:
                items = value if isinstance(value, list) else []
                value = next((item for item in items if isinstance(item, dict) and item.get(key) == wanted), None)
            elif index:
                value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
            else:
                value = value.get(plain or quoted or double_quoted) if isinstance(value, dict) else None
            if value is None:
                return None
        return _printed(value, kind)

    return read


def _printed(value: Any, kind: str) -> Any:
    match kind:
        case "date":
            return age(value)
        case "integer" | "number":
            return value if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "boolean":
            return value if isinstance(value, bool) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else dumps(value).decode()
