"""What every request has: who sends it, and for writes the body and its options."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from . import errors, patches
from .admission import IGNORE, STRICT, WriteOptions
from .errors import ApiError
from .negotiation import flag, read_body

OPEN_PATHS: Final = frozenset({"/healthz", "/livez", "/readyz", "/version"})
"""Paths that need no token."""

TOKEN_PREFIX: Final = "/token/"  # noqa: S105  a path, not a token
"""``/token/TOKEN/api/...`` is the same as ``/api/...`` with the token in the Authorization header."""

_MAX_MANAGER: Final = 128
_PATCH_TYPES: Final = (patches.JSON_PATCH, patches.MERGE_PATCH, patches.STRATEGIC_PATCH, patches.APPLY_PATCH)


def authenticated_path(request: web.BaseRequest, expected: bytes) -> str:
    """The path that is asked for, once it is known that the client has the token.

    client-go sends no credentials over plain HTTP, so kubectl has the token in its server address instead. A wrong one
    in the header is refused all the same: it is somebody else's, which a client at this address passes on.
    """
    path = request.rel_url.raw_path
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    tokens = [token.strip()] if kind.lower() == "bearer" else []
    if path.startswith(TOKEN_PREFIX):
        token, _, rest = path.removeprefix(TOKEN_PREFIX).partition("/")
        path = f"/{rest}"
        tokens.append(token)
    if path in OPEN_PATHS:
        return path
    if not tokens or not all(hmac.compare_digest(each.encode(), expected) for each in tokens):
        raise ApiError(401, "Unauthorized", "Unauthorized")
    return path


async def write_request(request: web.BaseRequest, subresource: str = "") -> tuple[Any, WriteOptions]:
    """The body of a write and its options; raises ``ApiError`` for what can't be understood."""
    query = request.query
    body, duplicates = read_body(await request.read(), request.content_type)
    validation = query.get("fieldValidation") or "Warn"
    if validation not in (STRICT, "Warn", IGNORE):
        problem = errors.not_supported("fieldValidation", validation, ("", IGNORE, STRICT, "Warn"))
        raise errors.unprocessable("meta.k8s.io", "PatchOptions", "", [problem])
    dry_run = query.getall("dryRun", [])
    if any(item != "All" for item in dry_run):
        problem = errors.not_supported("dryRun", dry_run, ("All",))
        raise errors.unprocessable("meta.k8s.io", "PatchOptions", "", [problem])
    manager = query.get("fieldManager") or request.headers.get("User-Agent", "").partition("/")[0] or "unknown"
    options = WriteOptions(
        manager=manager.split()[0][:_MAX_MANAGER] if manager.split() else "unknown",
        dry_run=bool(dry_run),
        field_validation=validation,
        force=flag(query, "force"),
        subresource=subresource,
        duplicates=duplicates,
    )
    return body, options


async def patch_request(request: web.BaseRequest, subresource: str = "") -> tuple[Any, WriteOptions]:
    """The body of a patch and its options; raises ``ApiError`` for what can't be understood."""
    if request.content_type not in _PATCH_TYPES:
        raise errors.unsupported_media_type(_PATCH_TYPES)
    body, options = await write_request(request, subresource)
    if request.content_type == patches.APPLY_PATCH and not request.query.get("fieldManager"):
        problem = errors.required("fieldManager", "is required for apply patch")
        raise errors.unprocessable("meta.k8s.io", "PatchOptions", "", [problem])
    if options.force and request.content_type != patches.APPLY_PATCH:
        problem = errors.forbidden_field("force", "may not be specified for non-apply patch")
        raise errors.unprocessable("meta.k8s.io", "PatchOptions", "", [problem])
    return body, options


def version(query: Mapping[str, str]) -> int:
    """The resource version that a read asks for; 0 for any."""
    text = query.get("resourceVersion", "")
    if text and not text.isdecimal():
        problem = errors.invalid("resourceVersion", text, f'strconv.ParseUint: parsing "{text}": invalid syntax')
        raise errors.bad_request(f"invalid resource version: {problem}")
    return int(text or 0)
