"""What a request asks for: its path, the form of the answer, and how to read its body."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import yaml

from . import protobuf
from .errors import bad_request, not_acceptable, unsupported_media_type
from .patches import APPLY_PATCH

PLAIN: Final = "plain"
TABLE: Final = "table"
PARTIAL: Final = "partial"

_ACCEPTED: Final = ("application/json",)
_JSON_TYPES: Final = frozenset({"application/json", "*/*", "application/*", ""})
_YAML_TYPES: Final = frozenset({"application/yaml", "application/x-yaml", "text/yaml", APPLY_PATCH})
_NAMESPACED_ONLY_NAMES: Final = frozenset({"status", "finalize"})


@dataclass(frozen=True, slots=True)
class Target:
    """What a resource path names; empty strings for what it leaves out."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def parse_path(path: str) -> Target | None:
    """The resource, object or subresource at a path; ``None`` for a path of another form."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    match parts:
        case ["api", version, *rest]:
            group = ""
        case ["apis", group, version, *rest]:
            pass
        case _:
            return None
    if not rest or len(rest) > 5:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and not (len(rest) == 3 and rest[2] in _NAMESPACED_ONLY_NAMES):
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource, *more = [*rest, "", ""]
    if any(more):
        return None
    return Target(group, version, plural, namespace, name, subresource)


@functools.lru_cache(maxsize=64)
def view(accept: str) -> str:
    """The form of the answer that an Accept header asks for: ``plain``, ``table`` or ``partial``.

    Raises:
        ApiError: 406, when it names nothing that we write.
    """
    for clause in (accept or "*/*").split(","):
        media_type, *parameters = (part.strip() for part in clause.split(";"))
        if media_type not in _JSON_TYPES:
            continue
        wanted = dict(parameter.partition("=")[::2] for parameter in parameters)
        match wanted.get("as"):
            case None:
                return PLAIN
            case "Table" if wanted.get("v") == "v1":
                return TABLE
            case "PartialObjectMetadata" | "PartialObjectMetadataList" if wanted.get("v") == "v1":
                return PARTIAL
    raise not_acceptable(_ACCEPTED)


class _UniqueKeys:
    """Notes the keys that an object has twice."""

    def __init__(self) -> None:
        self.twice: list[str] = []

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        obj = dict(pairs)
        if len(obj) != len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    self.twice.append(key)
                seen.add(key)
        return obj


def read_body(data: bytes, content_type: str) -> tuple[Any, list[str]]:
    """The body and the names of the fields that it has twice.

    Raises:
        ApiError: 400 for what does not parse, 415 for a format that is not read.
    """
    media_type = content_type.partition(";")[0].strip()
    if media_type == protobuf.MEDIA_TYPE:
        return protobuf.decode(data), []
    if media_type in _YAML_TYPES and not data.lstrip().startswith(b"{"):
        try:
            return yaml.load(data, Loader=_SafeLoader), []  # noqa: S506  a safe loader, without the cost of the slow one
        except yaml.YAMLError as error:
            raise bad_request(f"error decoding YAML: {' '.join(str(error).split())}") from error
    if media_type not in _JSON_TYPES and not media_type.endswith(("+json", "yaml")):
        raise unsupported_media_type(("application/json", "application/yaml"))
    keys = _UniqueKeys()
    try:
        return json.loads(data, object_pairs_hook=keys), keys.twice
    except ValueError as error:
        raise bad_request(f"error decoding the body: {error}") from error
    except RecursionError:
        raise bad_request("error decoding the body: it is nested too deeply") from None


class _SafeLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, without its habit of turning timestamps into ``datetime`` objects."""


_SafeLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean query parameter."""
    return query.get(name, "").lower() in ("true", "1")


def number(query: Mapping[str, str], name: str) -> int | None:
    """A whole, non-negative number in the query; ``None`` when it is not given.

    Raises:
        ApiError: 400, when it is something else.
    """
    text = query.get(name, "")
    if not text:
        return None
    if not text.isdecimal():
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)
