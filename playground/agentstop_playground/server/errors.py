"""Kubernetes API errors: ``Status`` objects with code, reason and details, in the real server's wording.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ and apimachinery's
``api/errors`` and ``util/validation/field`` packages.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

OMIT: Final = object()
"""A bad value that is left out of the message, as the server does for whole objects and lists."""

ROOT: Final = "<nil>"
"""How the real server prints the path of the object itself."""

_TITLES: Final = {
    "FieldValueNotFound": "Not found",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueTypeInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "InternalError": "Internal error",
}
_WITHOUT_VALUE: Final = frozenset({"FieldValueRequired", "FieldValueForbidden", "FieldValueTooLong", "InternalError"})


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field: ``reason`` is the cause type, ``field`` the path, ``value`` what was sent."""

    reason: str
    field: str
    value: Any = OMIT
    detail: str = ""

    @property
    def body(self) -> str:
        """The message without the field's path."""
        text = _TITLES[self.reason]
        if self.reason not in _WITHOUT_VALUE and self.value is not OMIT:
            text += f": {_printed(self.value)}"
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"


def _printed(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def required(field: str, detail: str = "") -> FieldError:
    """A field that has to be there and is not."""
    return FieldError("FieldValueRequired", field, OMIT, detail)


def invalid(field: str, value: Any, detail: str) -> FieldError:
    """A malformed value."""
    return FieldError("FieldValueInvalid", field, value, detail)


def type_invalid(field: str, value: Any, detail: str) -> FieldError:
    """A value of the wrong JSON type."""
    return FieldError("FieldValueTypeInvalid", field, value, detail)


def not_supported(field: str, value: Any, allowed: Sequence[str]) -> FieldError:
    """A value outside an enumeration; ``allowed`` is printed as given."""
    detail = "supported values: " + ", ".join(f'"{item}"' for item in allowed) if allowed else ""
    return FieldError("FieldValueNotSupported", field, value, detail)


def forbidden_field(field: str, detail: str) -> FieldError:
    """A value that is well formed and still not allowed here."""
    return FieldError("FieldValueForbidden", field, OMIT, detail)


def duplicate(field: str, value: Any) -> FieldError:
    """A value that has to be unique and is there already."""
    return FieldError("FieldValueDuplicate", field, value)


def too_long(field: str, limit: int) -> FieldError:
    """A string of more than ``limit`` bytes."""
    return FieldError("FieldValueTooLong", field, OMIT, f"may not be more than {limit} byte{'' if limit == 1 else 's'}")


def too_many(field: str, actual: int, limit: int) -> FieldError:
    """More than ``limit`` items."""
    return FieldError("FieldValueTooMany", field, actual, f"must have at most {limit} item{'' if limit == 1 else 's'}")


_BLOCKING: Final = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)
_NOT_CHECKED: Final = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)


def unchecked(problems: Sequence[FieldError]) -> FieldError | None:
    """What is said in place of CEL's findings when an object is too wrong for its rules to be run."""
    if any(problem.reason in _BLOCKING for problem in problems):
        return FieldError("FieldValueInvalid", ROOT, None, _NOT_CHECKED)
    return None


_WITH_EMPTY_DETAILS: Final = frozenset({"NotFound", "MethodNotAllowed", "Invalid"})


class ApiError(Exception):
    """An error that is answered with a ``Status`` object.

    ``code`` is the HTTP status, ``reason`` the machine-readable CamelCase word, ``details`` the Status' details.
    """

    def __init__(
        self, code: int, reason: str, message: str, details: dict[str, Any] | None = None, *, retry_after: int = 0
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details or {})
        self.retry_after = retry_after
        if retry_after:
            self.details["retryAfterSeconds"] = retry_after

    def status(self) -> dict[str, Any]:
        """The ``Status`` object to send."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details or self.reason in _WITH_EMPTY_DETAILS:
            body["details"] = self.details
        body["code"] = self.code
        return body


def qualified(plural: str, group: str) -> str:
    """``pods`` or ``agenttasks.agentstop.dev``: how messages name a resource or a kind."""
    return f"{plural}.{group}" if group else plural


def _details(name: str, group: str, kind: str, causes: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    details: dict[str, Any] = {"name": name} if name else {}
    if group:
        details["group"] = group
    details["kind"] = kind
    if causes:
        details["causes"] = list(causes)
    return details


def not_found(group: str, plural: str, name: str) -> ApiError:
    """404 for an object that is not there."""
    return ApiError(404, "NotFound", f'{qualified(plural, group)} "{name}" not found', _details(name, group, plural))


def no_such_path() -> ApiError:
    """404 for a path that is not served at all."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(group: str, plural: str, name: str) -> ApiError:
    """409 for a create whose name is taken."""
    message = f'{qualified(plural, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(name, group, plural))


def conflict(group: str, plural: str, name: str, why: str) -> ApiError:
    """409 for a write whose precondition does not hold."""
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(name, group, plural))


MODIFIED: Final = "the object has been modified; please apply your changes to the latest version and try again"


def apply_conflict(fields: Sequence[tuple[str, str]]) -> ApiError:
    """409 for a server-side apply: ``fields`` are (other manager, dotted path) pairs."""
    managers: dict[str, list[str]] = {}
    for manager, path in fields:
        managers.setdefault(manager, []).append(path)
    lines = []
    for manager, paths in sorted(managers.items()):
        if len(paths) == 1:
            lines.append(f"conflict with {manager}: {paths[0]}")
        else:
            lines.append("\n".join([f"conflicts with {manager}:", *(f"- {path}" for path in sorted(paths))]))
    plural = "" if len(fields) == 1 else "s"
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, path in fields
    ]
    message = f"Apply failed with {len(fields)} conflict{plural}: " + "\n".join(lines)
    return ApiError(409, "Conflict", message, {"causes": causes})


def unprocessable(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """422 for an object that does not pass validation, with one cause for each field error."""
    texts = [str(error) for error in errors]
    summary = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    causes = [{"reason": error.reason, "message": error.body, "field": error.field} for error in errors]
    label = qualified(kind, group)
    return ApiError(422, "Invalid", f'{label} "{name}" is invalid: {summary}', _details(name, group, kind, causes))


def bad_request(message: str) -> ApiError:
    """400 for a request that can't be understood."""
    return ApiError(400, "BadRequest", message)


def forbidden(group: str, plural: str, name: str, why: str) -> ApiError:
    """403 for a request that is understood and refused."""
    message = f'{qualified(plural, group)} "{name}" is forbidden: {why}'
    return ApiError(403, "Forbidden", message, _details(name, group, plural))


def method_not_allowed() -> ApiError:
    """405 for a verb that the resource does not have."""
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def expired(message: str) -> ApiError:
    """410 for a resource version or continue token that is no longer kept."""
    return ApiError(410, "Expired", message)


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    """415 for a body in a format that is not read."""
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    return ApiError(415, "UnsupportedMediaType", message)


def not_acceptable(accepted: Sequence[str]) -> ApiError:
    """406 for an Accept header that names nothing we write."""
    return ApiError(406, "NotAcceptable", "only the following media types are accepted: " + ", ".join(accepted))


def internal(message: str) -> ApiError:
    """500 with the real server's prefix."""
    return ApiError(500, "InternalError", f"Internal error occurred: {message}")
