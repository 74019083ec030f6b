"""Label and field selectors, parsed once and asked for each object.

Syntax: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#api and
https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import bad_request

_LABEL_TERM = re.compile(
    r"""\s*(?:
        (?P<absent>!)\s*(?P<absent_key>[^\s=!,()<>]+)
      | (?P<key>[^\s=!,()<>]+)\s*(?:
            (?P<in>in|notin)\s*\((?P<values>[^()]*)\)
          | (?P<op>==|=|!=)\s*(?P<value>[^\s=!,()<>]*)
        )?
    )\s*(?:,|$)""",
    re.VERBOSE,
)

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term: ``operator`` is one of ``in notin exists absent``."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Labels) -> bool:
        """Whether an object with these labels satisfies the term."""
        present = self.key in labels
        match self.operator:
            case "exists":
                return present
            case "absent":
                return not present
            case "in":
                return present and labels[self.key] in self.values
        return not present or labels[self.key] not in self.values


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Parse a label selector.

    Raises:
        ApiError: 400, when it is not one.
    """
    terms: list[Requirement] = []
    position = 0
    text = text.strip()
    while position < len(text):
        found = _LABEL_TERM.match(text, position)
        if found is None or found.end() == position:
            raise bad_request(f'unable to parse requirement: found "{text[position:]}", expected: a label selector')
        position = found.end()
        if found["absent"]:
            terms.append(Requirement(found["absent_key"], "absent"))
        elif found["in"]:
            values = frozenset(value.strip() for value in found["values"].split(","))
            terms.append(Requirement(found["key"], found["in"], values))
        elif found["op"]:
            operator = {"=": "in", "==": "in", "!=": "notin"}[found["op"]]
            terms.append(Requirement(found["key"], operator, frozenset({found["value"]})))
        else:
            terms.append(Requirement(found["key"], "exists"))
    return tuple(terms)


_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}


def of_object(selector: Mapping[str, Any]) -> tuple[Requirement, ...]:
    """The terms of a ``LabelSelector`` object (``matchLabels`` and ``matchExpressions``), by key."""
    terms = [Requirement(key, "in", frozenset({value})) for key, value in (selector.get("matchLabels") or {}).items()]
    for item in selector.get("matchExpressions") or ():
        operator = _OPERATORS.get(item["operator"], item["operator"])
        terms.append(Requirement(item["key"], operator, frozenset(item.get("values") or ())))
    return tuple(sorted(terms, key=lambda term: term.key))


def as_text(terms: Iterable[Requirement]) -> str:
    """Terms in the form of the ``labelSelector`` parameter: ``app=web,tier in (a,b)``."""
    texts = []
    for term in terms:
        values = ",".join(sorted(term.values))
        match term.operator:
            case "in" if len(term.values) == 1:
                texts.append(f"{term.key}={values}")
            case "exists":
                texts.append(term.key)
            case "absent":
                texts.append(f"!{term.key}")
            case _:
                texts.append(f"{term.key} {term.operator} ({values})")
    return ",".join(texts)


FieldGetter = Callable[[Mapping[str, Any]], str]


def by_path(path: str) -> FieldGetter:
    """A getter of the string form of the field at a dotted path; absent fields read as the empty string."""
    keys = tuple(path.removeprefix(".").split("."))

    def read(obj: Mapping[str, Any]) -> str:
        value: Any = obj
        for key in keys:
            if not isinstance(value, Mapping):
                return ""
            value = value.get(key)
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value)

    return read


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector and a field selector together."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[tuple[FieldGetter, bool, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.labels or self.fields)

    def matches(self, obj: Mapping[str, Any]) -> bool:
        """Whether the object is selected."""
        if self.labels:
            labels = obj["metadata"].get("labels") or {}
            if not all(term.matches(labels) for term in self.labels):
                return False
        return all((read(obj) == value) is equal for read, equal, value in self.fields)


def parse(label_selector: str, field_selector: str, known: Mapping[str, FieldGetter]) -> Selector:
    """Parse both selectors of a request; ``known`` are the fields that may be selected on.

    Raises:
        ApiError: 400, for bad syntax or a field that can't be selected on.
    """
    fields = []
    for term in filter(None, (part.strip() for part in field_selector.split(","))):
        found = re.fullmatch(r"([^=!]+)(==|!=|=)(.*)", term)
        if found is None:
            raise bad_request(f"invalid selector: '{field_selector}'; can't understand '{term}'")
        name, operator, value = found.groups()
        if name not in known:
            raise bad_request(f"field label not supported: {name}")
        fields.append((known[name], operator != "!=", value))
    return Selector(parse_labels(label_selector), tuple(fields))
