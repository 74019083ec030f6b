"""What an expression of PromQL asks for, as far as can be told without a parser: none on PyPI is alive."""

import re

from .exposition import TARGET_LABELS, samples

_SELECTOR = re.compile(r"\b(agentstop_\w+)(?:\{([^}]*)\})?")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")


def mistakes(expression: str) -> list[str]:
    """Return what an expression asks for and neither operator nor gateway exposes."""
    found = [
        f"unbalanced {pair}" for pair in ("()", "{}", "[]") if expression.count(pair[0]) != expression.count(pair[1])
    ]
    selectors = _SELECTOR.findall(expression)
    if not selectors:
        found.append("no metric of ours")
    known: set[str] = set(TARGET_LABELS)
    for name, matchers in selectors:
        if name not in samples():
            found.append(f"no metric {name}")
            continue
        known |= samples()[name]
        asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        found += [f"{name} has no label {label}" for label in asked - samples()[name] - TARGET_LABELS]
    for labels in _GROUPING.findall(expression):
        asked = {label.strip() for label in labels.split(",") if label.strip()}
        found += [f"nothing has the label {label}" for label in asked - known]
    return found
