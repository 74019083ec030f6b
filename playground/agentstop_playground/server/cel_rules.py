"""``x-kubernetes-validations``: the CEL rules of a custom resource's schema, compiled once and run on every write.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings

from .errors import OMIT, ROOT, FieldError
from .topology import item_key
from .validation import dotted

Place = tuple[str | int, ...]

_RULES: Final = "x-kubernetes-validations"
_OLD: Final = re.compile(r"\boldSelf\b")
# With optionalOldSelf, oldSelf is a CEL optional; the evaluator takes none from Python, so the expression makes it.
_OPTIONAL_OLD: Final = "(oldSelf == null ? optional.none() : optional.of(oldSelf))"


class RuleError(ValueError):
    """A rule that does not compile; the message names the place in the schema and what the compiler said."""


@cache
def _environment() -> Any:
    variables = {"self": cel.Type.DYN, "oldSelf": cel.Type.DYN}
    return cel.NewEnv(variables=variables, extensions=[ext_optional.ExtOptional(), ext_strings.ExtStrings()])


@dataclass(frozen=True, slots=True)
class _Rule:
    program: Any
    source: str
    message: str
    message_program: Any
    reason: str
    field_path: str
    transition: bool
    optional_old: bool


@dataclass(frozen=True, slots=True)
class RuleTree:
    """The rules at one schema node, and the nodes below it that have any."""

    type: str
    rules: tuple[_Rule, ...]
    properties: Mapping[str, RuleTree]
    items: RuleTree | None
    list_rule: tuple[str, ...]
    additional: RuleTree | None
    branches: tuple[RuleTree, ...]

    def check(self, value: Any, old: Any = None, place: Place = (), *, root: bool = True) -> Iterator[FieldError]:
        """Run the rules on a value and everything in it; ``old`` is what was there before, ``None`` for nothing."""
        if value is None or (old is not None and value is old):
            return
        if self.rules:
            new_self, old_self = (_identity_only(value), _identity_only(old)) if root else (value, old)
            # What is as it was is not held against a rule that came later, unless the rule is about changes.
            unchanged = old is not None and value == old
            for rule in self.rules:
                if rule.transition or not unchanged:
                    yield from self._run(rule, new_self, old_self, place)
        for branch in self.branches:
            yield from branch.check(value, old, place, root=False)
        if isinstance(value, dict):
            before = old if isinstance(old, dict) else {}
            for name, tree in self.properties.items():
                if name in value:
                    yield from tree.check(value[name], before.get(name), (*place, name), root=False)
            if self.additional is not None:
                for name, item in value.items():
                    if name not in self.properties:
                        yield from self.additional.check(item, before.get(name), (*place, name), root=False)
        elif isinstance(value, list) and self.items is not None:
            earlier = {item_key(self.list_rule, item): item for item in old or ()} if self.list_rule else {}
            for index, item in enumerate(value):
                was = earlier.get(item_key(self.list_rule, item)) if self.list_rule else None
                yield from self.items.check(item, was, (*place, index), root=False)

    def _run(self, rule: _Rule, new: Any, old: Any, place: Place) -> Iterator[FieldError]:
        if rule.transition and old is None and not rule.optional_old:
            return
        data = {"self": new, "oldSelf": old}
        result = rule.program.eval(data=data)
        field = dotted(place) or ROOT
        if result.type() == cel.Type.ERROR:
            detail = f"{result.value()} evaluating rule: {_described(rule)}"
            yield FieldError("FieldValueInvalid", field, self.type, detail)
            return
        if result.value() is True:
            return
        message = rule.message or f"failed rule: {rule.source}"
        if rule.message_program is not None:
            worded = rule.message_program.eval(data=data)
            if worded.type() == cel.Type.STRING and worded.value().strip() and "\n" not in worded.value():
                message = worded.value()
        shown = OMIT if self.type in ("object", "array") else new
        if rule.field_path:
            field = (dotted(place) + rule.field_path).lstrip(".")
        yield FieldError(rule.reason, field, shown, message)


def _described(rule: _Rule) -> str:
    return rule.message or rule.source


def _identity_only(obj: Any) -> Any:
    """At the root, rules see no more of the metadata than the name."""
    if not isinstance(obj, dict) or "metadata" not in obj:
        return obj
    metadata = obj["metadata"]
    return {**obj, "metadata": {name: metadata[name] for name in ("name", "generateName") if name in metadata}}


def compile_rules(schema: Mapping[str, Any], place: str = "openAPIV3Schema") -> RuleTree | None:
    """The rules of a schema; ``None`` when it has none.

    Raises:
        RuleError: a rule does not compile.
    """
    rules = tuple(_compiled(rule, f"{place}.{_RULES}[{index}]") for index, rule in enumerate(schema.get(_RULES) or ()))
    properties: dict[str, RuleTree] = {}
    for name, node in (schema.get("properties") or {}).items():
        tree = compile_rules(node, f"{place}.properties[{name}]")
        if tree is not None:
            properties[name] = tree
    items = _below(schema, "items", place)
    additional = _below(schema, "additionalProperties", place)
    branches = tuple(
        tree
        for index, node in enumerate(schema.get("allOf") or ())
        if (tree := compile_rules(node, f"{place}.allOf[{index}]")) is not None
    )
    if not (rules or properties or items or additional or branches):
        return None
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
    return RuleTree(str(schema.get("type", "")), rules, properties, items, keys, additional, branches)


def _below(schema: Mapping[str, Any], name: str, place: str) -> RuleTree | None:
    node = schema.get(name)
    return compile_rules(node, f"{place}.{name}") if isinstance(node, Mapping) else None


def _compiled(rule: Mapping[str, Any], place: str) -> _Rule:
    source = str(rule.get("rule", "")).strip()
    expression = rule.get("messageExpression")
    optional_old = bool(rule.get("optionalOldSelf"))
    return _Rule(
        program=_program(_OLD.sub(_OPTIONAL_OLD, source) if optional_old else source, f"{place}.rule"),
        source=source,
        message=str(rule.get("message") or "").strip(),
        message_program=_program(str(expression), f"{place}.messageExpression") if expression else None,
        reason=str(rule.get("reason") or "FieldValueInvalid"),
        field_path=str(rule.get("fieldPath") or ""),
        transition=_OLD.search(source) is not None,
        optional_old=optional_old,
    )


def _program(source: str, place: str) -> Any:
    try:
        return _environment().compile(source)
    except RuntimeError as error:
        raise RuleError(f"{place}: compilation failed: {error}") from error
