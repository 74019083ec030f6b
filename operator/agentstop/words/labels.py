"""Label selectors as kubectl writes them, turned into the form that an order's spec takes.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

import re
from typing import Any, Final

_KEY: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
_VALUE: Final = r"[A-Za-z0-9]?[A-Za-z0-9._-]*"
_EQUAL: Final = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_AMONG: Final = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_THERE: Final = re.compile(rf"(!?)\s*({_KEY})")


def parse_selector(text: str) -> dict[str, Any]:
    """Return `matchLabels` and `matchExpressions` of a selector such as `team=a,tier!=test`. Raises ValueError."""
    labels: dict[str, str] = {}
    expressions: list[dict[str, Any]] = []
    for part in _split(text):
        if found := _EQUAL.fullmatch(part):
            key, sign, value = found.groups()
            if sign == "!=":
                expressions.append({"key": key, "operator": "NotIn", "values": [value]})
            elif labels.setdefault(key, value) != value:
                expressions.append({"key": key, "operator": "In", "values": [value]})
        elif found := _AMONG.fullmatch(part):
            key, word, among = found.groups()
            values = [value.strip() for value in among.split(",")]
            expressions.append({"key": key, "operator": "In" if word == "in" else "NotIn", "values": values})
        elif found := _THERE.fullmatch(part):
            expressions.append({"key": found[2], "operator": "DoesNotExist" if found[1] else "Exists"})
        else:
            raise ValueError(
                f"{part or text!r} is no label selector: write it as KEY=VALUE, KEY!=VALUE or KEY in (A,B)"
            )
    return ({"matchLabels": labels} if labels else {}) | ({"matchExpressions": expressions} if expressions else {})


def _split(text: str) -> list[str]:
    """Split at the commas that are not in parentheses."""
    return [part.strip() for part in re.split(r",(?![^()]*\))", text)]
