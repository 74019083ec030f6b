"""What no two runs have in common, and what is written in its place."""

import re
from typing import Final

_MASKED: Final = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UID"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"), "TIME"),
    (re.compile(r"\b\d\d:\d\d:\d\d UTC\b"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? ?(s|seconds?)\b"), "SECONDS"),
)

_RANDOM: Final = "[bcdfghjklmnpqrstvwxz2456789]"
"""What API servers and controllers make names of. Without vowels it is in no name that people give."""

_GENERATED: Final = (
    (re.compile(rf"-([0-9a-f]{{8,10}}|{_RANDOM}{{8,10}})(?=-{_RANDOM}{{5}}(?![\w-])|(?![\w-]))"), "-HASH"),
    (re.compile(rf"-{_RANDOM}{{5}}(?![\w-])"), "-RANDOM"),
    (re.compile(r"\.[0-9a-f]{16}(?![\w-])"), ".RANDOM"),
)


def without_moments(text: str) -> str:
    """Return a text without UIDs, times and durations."""
    for pattern, name in _MASKED:
        text = pattern.sub(name, text)
    return text


def without_generated(text: str) -> str:
    """Return a text in which names have no parts that an API server, a controller or the operator thought of."""
    for pattern, name in _GENERATED:
        text = pattern.sub(name, text)
    return text
