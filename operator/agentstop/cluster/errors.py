"""What the API server answers when it does not do as asked."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from agentstop.cluster.decoding import UnreadableError, decode
from agentstop.cluster.redact import without, without_values

FATAL_CODES: Final = frozenset({400, 403, 405, 422, 504})
"""HTTP codes that say no to the request itself; to ask again at once would bring the same answer. 504 is
said of a request that a webhook held up for longer than it may take."""

_TOO_LARGE: Final = ("request is too large", "equest entity too large", "message larger than max")

_ENDING: Final = "because it is being terminated"

NOT_LEADING: Final = "NotLeading"
"""Reason of a request that was not made, since another replica acts."""


class ApiError(Exception):
    """A request that was not carried out.

    `code` is the HTTP status code, 0 where no answer came; `reason` is Kubernetes' CamelCase word. `retry_after` are
    the seconds after which the API server wants to be asked again, where it says so.
    """

    def __init__(self, code: int, reason: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def refused(self) -> bool:
        """Whether the API server said no to the request itself, as against being away or busy.

        A webhook that cannot be called stands in the way like one that denies, and answers with 500.
        """
        return self.code in FATAL_CODES or (self.code == 500 and "webhook" in self.message) or self.too_large

    @property
    def too_large(self) -> bool:
        """Whether the object would be larger than the API server can store, so that nothing can be added to it.

        etcd says so, or the client that the API server has for it; tried on 1.36, with code 500 and no reason.
        """
        return self.code >= 400 and any(words in self.message for words in _TOO_LARGE)

    @property
    def absent(self) -> bool:
        """Whether the API server said that there is no such object.

        Whoever stands between us and it may answer 404 in words of its own; that says nothing.
        """
        return self.code == 404 and self.reason == "NotFound"

    @property
    def namespace_ending(self) -> bool:
        """Whether nothing can be made any more in the namespace, since that is being deleted."""
        return self.code == 403 and _ENDING in self.message

    def withholding(self, texts: Iterable[str]) -> "ApiError":
        """Return the same error without these texts."""
        return ApiError(self.code, self.reason, without(self.message, texts), self.retry_after)

    def __str__(self) -> str:
        return f"{self.reason} ({self.code}): {self.message}" if self.code else self.message


def error_from(code: int, body: bytes, *, whole: bool = False, retry_after: str | None = None) -> ApiError:
    """Return the error of an answer, from Kubernetes' Status object where the body holds one.

    `retry_after` is the header of this name: a server that has too much to do sends no Status.

    Without the values that the message quotes, unless it is for whoever sent them: others read logs and Events.
    """
    status: dict[str, Any] = {}
    try:
        parsed = decode(body)
    except UnreadableError:
        parsed = None
    if isinstance(parsed, dict):
        status = parsed
    text = _text(status.get("message")) or body[:200].decode(errors="replace").strip() or "no message"
    reason = _text(status.get("reason")) or "Unknown"
    return ApiError(code, reason, text if whole else without_values(text), _seconds(status, retry_after))


def _seconds(status: Mapping[str, Any], header: str | None) -> int | None:
    details = status.get("details")
    told = details.get("retryAfterSeconds") if isinstance(details, dict) else None
    if told is None and header is not None and header.isascii() and header.isdigit():
        told = int(header[:9])
    return told if isinstance(told, int) and told > 0 else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
