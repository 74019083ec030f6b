"""Reads the few protobuf bodies that kubectl sends: ``kubectl create namespace`` and its like know no other format.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding and the ``generated.proto`` files
of ``k8s.io/api/core/v1`` and ``k8s.io/apimachinery/pkg/apis/meta/v1``.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from .errors import unsupported_media_type
from .wire import Json

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\x00"

_Kind = Literal["text", "number", "flag", "map", "bytes map", "texts"]
_Message = Mapping[int, tuple[str, "_Kind | _Message"]]

_META: Final[_Message] = {
    1: ("name", "text"),
    2: ("generateName", "text"),
    3: ("namespace", "text"),
    11: ("labels", "map"),
    12: ("annotations", "map"),
    14: ("finalizers", "texts"),
}
_MESSAGES: Final[Mapping[tuple[str, str], _Message]] = {
    ("v1", "Namespace"): {1: ("metadata", _META)},
    ("v1", "ServiceAccount"): {1: ("metadata", _META), 4: ("automountServiceAccountToken", "flag")},
    ("v1", "ConfigMap"): {
        1: ("metadata", _META),
        2: ("data", "map"),
        3: ("binaryData", "bytes map"),
        4: ("immutable", "flag"),
    },
    ("v1", "Secret"): {
        1: ("metadata", _META),
        2: ("data", "bytes map"),
        3: ("type", "text"),
        4: ("stringData", "map"),
        5: ("immutable", "flag"),
    },
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): {},
    ("authentication.k8s.io/v1", "SelfSubjectReview"): {},
}


def decode(data: bytes) -> Json:
    """The object in a protobuf body.

    Raises:
        ApiError: 415, for kinds other than those above and for what is no such body.
    """
    rejection = unsupported_media_type(("application/json", "application/yaml"))
    if not data.startswith(_MAGIC):
        raise rejection
    try:
        envelope = dict(_fields(data[len(_MAGIC) :]))
        type_meta = {number: value.decode() for number, value in _fields(envelope.get(1, b""))}
        identity = type_meta.get(1, ""), type_meta.get(2, "")
        message = _MESSAGES.get(identity)
        if message is None:
            raise rejection
        return {"apiVersion": identity[0], "kind": identity[1], **_object(envelope.get(2, b""), message)}
    except (ValueError, IndexError, AttributeError) as error:
        raise rejection from error


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The numbers and raw values of a message's fields: ``int`` for numbers, ``bytes`` for all else."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        match tag & 7:
            case 0:
                value, at = _varint(data, at)
                yield tag >> 3, value
            case 2:
                length, at = _varint(data, at)
                if at + length > len(data):
                    raise ValueError("a field that is longer than its message")
                yield tag >> 3, data[at : at + length]
                at += length
            case _:
                raise ValueError("a field of a type that is not expected")


def _object(data: bytes, message: _Message) -> Json:
    obj: Json = {}
    for number, value in _fields(data):
        if number not in message:
            continue
        name, kind = message[number]
        match kind:
            case "text":
                obj[name] = value.decode()
            case "number":
                obj[name] = value
            case "flag":
                obj[name] = bool(value)
            case "texts":
                obj.setdefault(name, []).append(value.decode())
            case "map" | "bytes map":
                entry = dict(_fields(value))
                item: bytes = entry.get(2, b"")
                text = item.decode() if kind == "map" else base64.b64encode(item).decode()
                obj.setdefault(name, {})[entry.get(1, b"").decode()] = text
            case _:
                obj[name] = _object(value, kind)
    return {name: value for name, value in obj.items() if value != ""}
