"""OTLP over HTTP: bodies in protobuf or JSON, and answers in the form that was sent.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

import base64
import json
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"

M = TypeVar("M", bound=Message)

_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})
"""What OTLP has in hexadecimal, where protobuf's own JSON has it in base64."""

_MAX_DEPTH: Final = 64

_CODES: Final = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 3, 415: 3, 429: 8, 503: 14}
"""The codes of gRPC for those of HTTP. Source: https://grpc.io/docs/guides/status-codes/"""

_UNKNOWN: Final = 2


class MalformedError(ValueError):
    """A body is not what it is said to be."""


def read(body: bytes, kind: type[M], content_type: str) -> M:
    """Return the message that a body is. Raises MalformedError."""
    if content_type == PROTOBUF:
        try:
            return cast(M, kind.FromString(body))
        except (DecodeError, RecursionError):
            raise MalformedError(f"the body is no {kind.DESCRIPTOR.name} in protobuf") from None
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedError("the body is no JSON") from None
    if not isinstance(parsed, dict):
        raise MalformedError(f"the body is no {kind.DESCRIPTOR.name} in JSON: it is no object")
    try:
        return cast(M, json_format.ParseDict(_with_bytes(parsed, _MAX_DEPTH), kind(), ignore_unknown_fields=True))
    except (ValueError, TypeError, AttributeError, RecursionError, json_format.ParseError) as error:
        told = str(error).splitlines()[0][:200] if isinstance(error, json_format.ParseError) else "a value is none"
        raise MalformedError(f"the body is no {kind.DESCRIPTOR.name} in JSON: {told}") from None


def write(message: Message, content_type: str) -> bytes:
    """Return a message in the form of the request."""
    if content_type == PROTOBUF:
        return cast(bytes, message.SerializeToString())
    return cast(str, json_format.MessageToJson(message, indent=None)).encode()


def status(code: int, message: str, content_type: str) -> bytes:
    """Return an error: a google.rpc.Status. Its code is one of gRPC's."""
    number = _CODES.get(code, _UNKNOWN)
    if content_type != PROTOBUF:
        return json.dumps({"code": number, "message": message or HTTPStatus(code).phrase}).encode()
    text = message.encode()
    return b"\x08" + bytes([number]) + b"\x12" + _varint(len(text)) + text


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _with_bytes(node: Any, depth: int) -> Any:
    """Return OTLP's JSON as protobuf's own JSON has it."""
    if depth == 0:
        raise MalformedError("it is nested too deep")
    if isinstance(node, list):
        return [_with_bytes(each, depth - 1) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: base64.b64encode(bytes.fromhex(value)).decode()
        if key in _IDS and isinstance(value, str)
        else _with_bytes(value, depth - 1)
        for key, value in node.items()
    }
