"""Hostile values: what an API server or an operator may stumble over in a field of an object."""

import json
from random import Random
from typing import Any


class Raw(str):
    """JSON as it stands: for what `json.dumps` would not write."""


def dumps(value: Any) -> bytes:
    """Write JSON; what is `Raw` in it goes in as it is."""
    return _text(value).encode()


def _text(value: Any) -> str:
    if isinstance(value, Raw):
        return value
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_text, value)) + "]"
    return json.dumps(value)


NUMBERS = (
    *(Raw(sign + str(2**bits + off)) for bits in (31, 32, 53, 63, 64) for off in (-1, 0, 1) for sign in ("", "-")),
    *map(Raw, ("0", "-0", "-1", "1", "0.5", "-1.5", "1e3", "1e18", "1e400", "-1e400", "1E-400", "9" * 400)),
)

TIMES = (
    "0001-01-01T00:00:00Z",
    "0000-00-00T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "2016-12-31T23:59:60Z",
    "2026-02-30T25:61:61Z",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59.999999999999Z",
    "10000-01-01T00:00:00Z",
    "2026-01-01T00:00:00+23:59",
    "2026-01-01",
    "now",
    "",
)

TEXTS = (
    "",
    " ",
    "\0",
    "\ud800",
    "\udfff\ud800",
    "\u202eevil\u2066",
    "e" + "\u0301" * 500,
    "\U0001f4a3" * 50,
    "\ufeff\u2028\u2029\u0085",
    "\x1b[2J\x1b]0;owned\x07",
    "a\r\nForged: line",
    "$(touch owned)`id`;'\"",
    "../../../api/v1/pods",
    "%s%n%x{0}{{.}}",
    "ß" * 253,
    "-" * 64,
    "NaN",
    "null",
)

LENGTHS = (63, 64, 253, 254, 1_024, 16_384, 131_072, 262_144, 700_000, 1_200_000, 1_500_000)
"""In characters; etcd takes objects of 1.5 MB."""

DEPTHS = (60, 480, 980, 1_100, 1_300, 3_000, 9_000, 9_940, 9_980, 9_997, 10_001, 30_000)
"""In levels; Kubernetes takes JSON up to 10,000, Python's parser about 1,000."""

MANY = (1, 30, 1_000, 20_000)


def number(rng: Random) -> Raw:
    """Return a number at an edge of what some type can hold."""
    return rng.choice(NUMBERS)


def time(rng: Random) -> str:
    """Return what may be a time."""
    return rng.choice(TIMES)


def text(rng: Random) -> str:
    """Return text that is hard to store, to print or to compare."""
    return rng.choice(TEXTS) * rng.choice((1, 1, 1, 3))


def long_text(rng: Random) -> str:
    """Return text of any length up to what an object may weigh."""
    return rng.choice("ax0é\U0001f4a3") * rng.choice(LENGTHS)


def deep(rng: Random) -> Raw:
    """Return an object, or an array in one, that is nested deep."""
    levels = rng.choice(DEPTHS)
    # The first one is what managedFields are made of.
    opening, closing = rng.choice((*[('{"f:a":', "}")] * 3, ("[", "]"), ('[{"k":', "}]")))
    inner = opening * levels + "{}" + closing * levels
    return Raw(inner if opening.startswith("{") else '{"f:a":' + inner + "}")


def anything(rng: Random) -> Any:
    """Return a value of any type."""
    return rng.choice((number, time, text, _word, _constant, _collection))(rng)


def labels(rng: Random) -> dict[str, str]:
    """Return labels or annotations that are accepted: few or very many, with values of any length."""
    many = rng.choice(MANY)
    width = rng.choice((1, 63))
    return {f"x{number}.example.com/{'k' * width}": "v" * width for number in range(many)}


def padding(size: int, apart: str) -> dict[str, str]:
    """Return labels that weigh about so many bytes; `apart` tells them from others."""
    return {f"p{apart}-{number}": "v" * 63 for number in range(max(1, size // 80))}


def strange_labels(rng: Random) -> dict[str, Any]:
    """Return labels or annotations of which most are refused."""
    return {text(rng) or "k": anything(rng) for _ in range(rng.randint(1, 3))}


def _word(rng: Random) -> str:
    return rng.choice(("a", "Stop", "default", "true"))


def _constant(rng: Random) -> Any:
    return rng.choice((None, True, False, {}, []))


def _collection(rng: Random) -> Any:
    return rng.choice(([None], [[]], {"": {}}, [{"name": text(rng)}], {"a": number(rng)}))
