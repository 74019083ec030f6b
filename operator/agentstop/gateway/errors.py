"""What the gateway answers where it does not do as asked. Each dialect says it in a form of its own."""

from collections.abc import Collection
from typing import ClassVar

from agentstop.cluster.errors import ApiError


class GatewayError(Exception):
    """A request that was not carried out. The message is for the caller.

    `code` is the HTTP status that a dialect without one of its own gives it; `retry_after` are the seconds after which
    it may be sent again, where that is known.
    """

    code: ClassVar[int] = 500

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class InternalError(GatewayError):
    """A mistake of ours. The message says nothing of it; the log does."""


class InvalidError(GatewayError):
    """The request is not as it must be. `where` is the way to what is wrong, such as ("body", "action")."""

    code = 422

    def __init__(self, message: str, *, where: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.where = where


class NoJsonError(InvalidError):
    """The body is no JSON at all: nothing can be said of what is in it."""


class UnreadTypeError(InvalidError):
    """The body is of a type that is not read here."""


class InvalidIdError(InvalidError):
    """The id in the path is none: it is malformed, so that no task can have it."""


class UnauthorizedError(GatewayError):
    """Nobody is known to have sent the request."""

    code = 401


class ForbiddenError(GatewayError):
    """The caller may not do this. The message has the API server's words."""

    code = 403


class NamespaceEndingError(ForbiddenError):
    """The namespace is being deleted: what is in it goes."""


class NotFoundError(GatewayError):
    """There is no such task, or no such page."""

    code = 404


class NoSuchPageError(NotFoundError):
    """The path leads to nothing, whatever tasks there are."""


class MethodNotAllowedError(GatewayError):
    """The page is there, and does not take this method."""

    code = 405

    def __init__(self, message: str, allowed: Collection[str]) -> None:
        super().__init__(message)
        self.allowed = tuple(sorted(allowed))


class SlowClientError(GatewayError):
    """The body of the request did not come in time."""

    code = 408


class ConflictError(GatewayError):
    """As things are, the request cannot be carried out."""

    code = 409


class TooLargeError(GatewayError):
    """The request has more bytes, or goes deeper, than is read."""

    code = 413


class TooManyRequestsError(GatewayError):
    """The caller, or all callers together, ask for too much."""

    code = 429


class UnavailableError(GatewayError):
    """The API server does not answer, or how things are is not known. `late` is whether it took too long."""

    code = 503

    def __init__(self, message: str, *, late: bool = False, retry_after: int | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.late = late


def error_of(error: ApiError, *, whose: str | None) -> GatewayError:
    """Return what an answer of the API server to a caller's request means.

    `whose` credentials were on it, in words; None for the caller's. That others are not taken is no fault of the
    request's.
    """
    match error.code:
        case 401 if whose is not None:
            return UnavailableError(f"the API server does not take {whose}")
        case 401:
            return UnauthorizedError("the API server does not know this token")
        case 403 if error.namespace_ending:
            return NamespaceEndingError(error.message)
        case 403:
            return ForbiddenError(error.message)
        case 404:
            return NotFoundError(error.message)
        case 409:
            return ConflictError(error.message)
        case 400 | 422:
            return InvalidError(error.message)
        case 413:
            return TooLargeError(error.message)
        case 429:
            return TooManyRequestsError(
                f"the API server has too much to do: {error.message}", retry_after=error.retry_after or 1
            )
        case 504:
            return UnavailableError(f"the API server answers: {error.message}", late=True)
        case 0:
            return UnavailableError(error.message, late=isinstance(error.__cause__, TimeoutError))
        case _:
            return UnavailableError(f"the API server answers: {error}", retry_after=error.retry_after)
