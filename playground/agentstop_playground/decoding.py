"""Reads JSON that anybody may have had a hand in: one object that cannot be read would take its whole list with it.

Python's own decoder gives up a document for one object that is nested too deep, and for one number that is too long.
"""

import json
import re
from typing import Any, Final

MAX_DEPTH: Final = 100
"""So many levels are read, and what is deeper is null. A list of pods with all their fields has less than 30."""

MAX_DIGITS: Final = 400
"""A longer number is null; Kubernetes' own have 20 digits at most."""

_MARK: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"|[{}\[\]]', re.DOTALL)
"""A bracket, or a text with whatever it holds."""


def decode(data: bytes) -> Any:
    """Return what a document says. Raises ValueError where it is no JSON."""
    return json.loads(_shallow(data.decode(errors="replace")), strict=False, parse_int=_short)


def _shallow(text: str) -> str:
    kept, kept_from, depth = [], 0, 0
    for mark in _MARK.finditer(text):
        if mark[0] in "{[":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept.append(text[kept_from : mark.start()] + "null")
        elif mark[0] in "}]":
            if depth == MAX_DEPTH + 1:
                kept_from = mark.end()
            depth -= 1
    return "".join(kept) + text[kept_from:]


def _short(digits: str) -> int | None:
    return int(digits) if len(digits) <= MAX_DIGITS else None
