"""Cuts from the API server's messages what an object holds: they go into status, Events and logs, which others read.

A message of validation has the form `FIELD: KIND OF ERROR: VALUE: RULE`. Field and rule say what is wrong; the value
may be a key that somebody put into the wrong place. A message of admission may have any form.
Source: https://pkg.go.dev/k8s.io/apimachinery/pkg/util/validation/field#Error
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from agentstop.cluster.decoding import UnreadableError, decode_at

WITHHELD: Final = "(withheld)"

SHORTEST: Final = 6
"""Shorter texts of an object are not searched for in a message: they are words that may stand in any."""

_ERROR = r"(Invalid value|Duplicate value|Unsupported value|Not found|Too long|Too many|Internal error)"
_QUOTED: Final = re.compile(_ERROR + r': "(?:[^"\\]|\\.)*"')
_OBJECT: Final = re.compile(_ERROR + r": (?=[{\[])")
_PLAIN: Final = re.compile(_ERROR + rf": (?!{re.escape(WITHHELD)})(?!(?:-?[\d.]+|true|false|null|must|may)\b).*")
"""What is neither a text, a number, a word of the rule nor JSON is an object of which nobody can tell where it ends."""


def without_values(message: str) -> str:
    """Return a message of validation without the values that it quotes; of several lines, which show objects, the
    first."""
    first, more, _ = message.partition("\n")
    text = _QUOTED.sub(rf"\1: {WITHHELD}", _without_objects(first))
    text = _PLAIN.sub(rf"\1: {WITHHELD}", text)
    return f"{text.rstrip()} {WITHHELD}" if more else text


def _without_objects(text: str) -> str:
    kept, rest = "", text
    while (found := _OBJECT.search(rest)) is not None:
        try:
            _, end = decode_at(rest, found.end())
        except UnreadableError:
            break  # it is no JSON, and cut to its end
        kept += f"{rest[: found.end()]}{WITHHELD}"
        rest = rest[end:]
    return kept + rest


def without(message: str, texts: Iterable[str]) -> str:
    """Return a message without these texts, as they are or as they are quoted."""
    for text in sorted({*texts}, key=len, reverse=True):
        for form in {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}:
            message = message.replace(form, WITHHELD)
    return message


def private_texts(pod: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts of a pod that only its agent is to see: commands, arguments, environment, annotations."""
    yield from _texts((pod.get("metadata") or {}).get("annotations"))
    spec = pod.get("spec") or {}
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            if isinstance(container, Mapping):
                for part in ("command", "args", "env", "lifecycle"):
                    yield from _texts(container.get(part))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) >= SHORTEST:
            yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
