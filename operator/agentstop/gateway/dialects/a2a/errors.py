"""A2A's errors: what went wrong, in the words of each binding.

Source: https://a2a-protocol.org/v1.0.0/specification/#54-error-code-mappings
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from agentstop.cluster.decoding import JsonObject
from agentstop.gateway.dialect import Call, task_id_of
from agentstop.gateway.dialects.a2a.versions import Version, named_version
from agentstop.gateway.errors import (
    ConflictError,
    ForbiddenError,
    GatewayError,
    InternalError,
    InvalidError,
    MethodNotAllowedError,
    NoJsonError,
    NoSuchPageError,
    NotFoundError,
    SlowClientError,
    TooLargeError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
)

ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"
DOMAIN: Final = "a2a-protocol.org"


class NotCancelableError(ConflictError):
    """The task has ended."""


class UnsupportedOperationError(InvalidError):
    """A2A has this, and we do not, or not for this task."""


class PushNotificationNotSupportedError(InvalidError):
    """Nobody is told of a task's changes but on a stream."""


class NoExtendedCardError(InvalidError):
    """There is one card, for everybody."""


class VersionNotSupportedError(InvalidError):
    """The request is of a version that we do not speak, or that has no such request."""


class UnknownMethodError(NoSuchPageError):
    """JSON-RPC has no such method here."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the answer to a request over JSON-RPC takes from it."""

    request_id: str | int | None = None
    version: Version = Version.V1_0
    task_id: str | None = None


RPC: Final = web.RequestKey("a2a.rpc", Envelope)
"""Where a request over JSON-RPC keeps its envelope, for its answer."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What one kind of error is called."""

    rpc: int
    code: int
    status: str
    """google.rpc.Code's name for it."""
    reason: str


_INVALID_REQUEST: Final = Kind(-32600, 400, "INVALID_ARGUMENT", "INVALID_REQUEST")

# The first that fits counts.
_KINDS: Final[Mapping[type[GatewayError], Kind]] = {
    NotCancelableError: Kind(-32002, 400, "FAILED_PRECONDITION", "TASK_NOT_CANCELABLE"),
    PushNotificationNotSupportedError: Kind(-32003, 400, "FAILED_PRECONDITION", "PUSH_NOTIFICATION_NOT_SUPPORTED"),
    UnsupportedOperationError: Kind(-32004, 400, "FAILED_PRECONDITION", "UNSUPPORTED_OPERATION"),
    NoExtendedCardError: Kind(-32007, 400, "FAILED_PRECONDITION", "EXTENDED_AGENT_CARD_NOT_CONFIGURED"),
    VersionNotSupportedError: Kind(-32009, 400, "FAILED_PRECONDITION", "VERSION_NOT_SUPPORTED"),
    NoSuchPageError: Kind(-32601, 404, "NOT_FOUND", "METHOD_NOT_FOUND"),
    NotFoundError: Kind(-32001, 404, "NOT_FOUND", "TASK_NOT_FOUND"),
    MethodNotAllowedError: Kind(-32601, 405, "UNIMPLEMENTED", "METHOD_NOT_FOUND"),
    NoJsonError: Kind(-32700, 400, "INVALID_ARGUMENT", "INVALID_REQUEST"),
    InvalidError: Kind(-32602, 400, "INVALID_ARGUMENT", "INVALID_PARAMS"),
    ConflictError: Kind(-32602, 409, "ABORTED", "INVALID_PARAMS"),
    UnauthorizedError: Kind(-32600, 401, "UNAUTHENTICATED", "UNAUTHENTICATED"),
    ForbiddenError: Kind(-32600, 403, "PERMISSION_DENIED", "PERMISSION_DENIED"),
    SlowClientError: Kind(-32600, 408, "DEADLINE_EXCEEDED", "INVALID_REQUEST"),
    TooLargeError: Kind(-32600, 413, "INVALID_ARGUMENT", "INVALID_REQUEST"),
    TooManyRequestsError: Kind(-32603, 429, "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED"),
    UnavailableError: Kind(-32603, 503, "UNAVAILABLE", "UNAVAILABLE"),
    InternalError: Kind(-32603, 500, "INTERNAL", "INTERNAL_ERROR"),
    GatewayError: Kind(-32603, 500, "INTERNAL", "INTERNAL_ERROR"),
}

_MESSAGES: Final[Mapping[str, str]] = {"TASK_NOT_FOUND": "Task not found", "METHOD_NOT_FOUND": "Method not found"}
"""Nothing more is said of these: not whose a task is, nor where it may be."""

_OLD_NAMES: Final[Mapping[str, str]] = {
    "TASK_NOT_CANCELABLE": "TaskNotCancelableError",
    "PUSH_NOTIFICATION_NOT_SUPPORTED": "PushNotificationNotSupportedError",
    "UNSUPPORTED_OPERATION": "UnsupportedOperationError",
    "TASK_NOT_FOUND": "TaskNotFoundError",
    "METHOD_NOT_FOUND": "MethodNotFoundError",
    "INVALID_PARAMS": "InvalidParamsError",
    "INVALID_REQUEST": "InvalidRequestError",
}
"""What clients of version 0.3 know an error by over HTTP+JSON."""

_OF_HTTP: Final = frozenset({401, 403, 405, 408, 429, 500, 503})
"""What HTTP itself is concerned with is said by its code over JSON-RPC, too; all else is 200 there."""


def kind_of(error: GatewayError) -> Kind:
    """Return what A2A calls an error."""
    if type(error) is InvalidError and error.where[:1] == ("body",):
        return _INVALID_REQUEST
    return next(kind for each, kind in _KINDS.items() if isinstance(error, each))


def render(error: GatewayError, call: Call) -> web.Response:
    """Return an error in the form of the binding and the version that the request is of."""
    kind = kind_of(error)
    message = _MESSAGES.get(kind.reason, error.message)
    if _is_rpc(call):
        envelope = call.request.get(RPC, Envelope())
        return web.json_response(
            {"jsonrpc": "2.0", "id": envelope.request_id, "error": _rpc_error(kind, message, envelope)},
            status=kind.code if kind.code in _OF_HTTP else 200,
        )
    details = [_info(kind, call.params.get("task_id"))]
    status = {"code": kind.code, "status": kind.status, "message": message, "details": details}
    body: JsonObject = {"error": status}
    if _is_old(call):
        body.update(type=_OLD_NAMES.get(kind.reason, "InternalError"), message=message)
    return web.json_response(body, status=kind.code)


def _rpc_error(kind: Kind, message: str, envelope: Envelope) -> JsonObject:
    found: JsonObject = {"code": kind.rpc, "message": message}
    if envelope.version is Version.V1_0:
        found["data"] = [_info(kind, envelope.task_id)]
    return found


def _info(kind: Kind, task_id: str | None) -> dict[str, Any]:
    metadata = {"taskId": task_id} if task_id is not None and task_id_of(task_id) is not None else {}
    return {"@type": ERROR_INFO, "reason": kind.reason, "domain": DOMAIN, "metadata": metadata}


def _below(call: Call) -> str:
    return call.request.rel_url.raw_path.removeprefix(call.dialect.prefix)


def _is_rpc(call: Call) -> bool:
    return _below(call) in {"", "/"}


def _is_old(call: Call) -> bool:
    named = named_version(call.request)
    return named == Version.V0_3 or (not named and _below(call).startswith("/v1/"))
