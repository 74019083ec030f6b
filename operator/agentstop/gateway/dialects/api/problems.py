"""Errors as problem details.

Source: https://www.rfc-editor.org/rfc/rfc9457
"""

import json
from http import HTTPStatus
from typing import Final

from aiohttp import web

from agentstop.api.meta import Model
from agentstop.gateway.dialect import Call
from agentstop.gateway.errors import (
    ConflictError,
    ForbiddenError,
    GatewayError,
    InvalidError,
    InvalidIdError,
    MethodNotAllowedError,
    NotFoundError,
    SlowClientError,
    TooLargeError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
)

CONTENT_TYPE: Final = "application/problem+json"

_REASONS: Final[tuple[tuple[type[GatewayError], str], ...]] = (
    (InvalidIdError, "InvalidID"),
    (InvalidError, "Invalid"),
    (UnauthorizedError, "Unauthorized"),
    (ForbiddenError, "Forbidden"),
    (NotFoundError, "NotFound"),
    (MethodNotAllowedError, "MethodNotAllowed"),
    (SlowClientError, "Timeout"),
    (ConflictError, "Conflict"),
    (TooLargeError, "RequestEntityTooLarge"),
    (TooManyRequestsError, "TooManyRequests"),
    (UnavailableError, "ServiceUnavailable"),
)
"""Kubernetes' words, where it has one."""


class Problem(Model):
    """What went wrong. Nothing was changed."""

    type: str
    """Always about:blank: title and reason say what it is."""
    title: str
    """The phrase of the status."""
    status: int
    """The HTTP status."""
    detail: str
    """What is wrong, for people."""
    reason: str
    """The same in one CamelCase word, for machines."""
    where: str | None = None
    """What of the request is wrong, such as body.gracePeriodSeconds."""


def render(error: GatewayError, _: Call) -> web.Response:
    """Return an error as a problem."""
    problem = Problem(
        type="about:blank",
        title=HTTPStatus(error.code).phrase,
        status=error.code,
        detail=error.message,
        reason=next((word for kind, word in _REASONS if isinstance(error, kind)), "InternalError"),
        where=".".join(error.where) or None if isinstance(error, InvalidError) else None,
    )
    return web.Response(status=error.code, body=json.dumps(problem.wire()).encode(), content_type=CONTENT_TYPE)
