"""In whose name requests go out, and how long an answer about rights counts."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from agentstop.cluster.errors import ApiError
from agentstop.cluster.transport import Headers, Transport
from agentstop.gateway.access import ALLOWED_SECONDS, DENIED_SECONDS, CallerAccess
from agentstop.gateway.callers import impersonated, of_token
from agentstop.gateway.errors import (
    ConflictError,
    ForbiddenError,
    GatewayError,
    InvalidError,
    NotFoundError,
    TooLargeError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
)
from tests.unit.objects import Raw

JOE, JANE = of_token("secret"), impersonated("ci", "jane", ("a", "b"))


class Wire:
    """Stands for a transport."""

    def __init__(self) -> None:
        self.sent: list[Headers] = []
        self.answer: Raw | ApiError = {"status": {"allowed": True}}

    async def call(self, *_: Any, headers: Sequence[tuple[str, str]] = (), **__: Mapping[str, Any]) -> Raw:
        self.sent.append(headers)
        if isinstance(self.answer, ApiError):
            raise self.answer
        return self.answer


class Place:
    def __init__(self) -> None:
        self.own, self.bare, self.now = Wire(), Wire(), 100.0
        self.access = CallerAccess(cast("Transport", self.own), cast("Transport", self.bare), lambda: self.now)


async def test_a_token_goes_where_nothing_of_ours_is() -> None:
    place = Place()
    await place.access.call(JOE, "PATCH", "/x")
    assert (place.own.sent, place.bare.sent) == ([], [(("Authorization", "Bearer secret"),)])


async def test_a_user_is_impersonated_with_our_own_credentials() -> None:
    place = Place()
    await place.access.call(JANE, "PATCH", "/x")
    headers = (("Impersonate-User", "jane"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b"))
    assert (place.own.sent, place.bare.sent) == ([headers], [])


async def test_what_a_caller_may_is_known_for_a_moment_and_for_nobody_else() -> None:
    place = Place()
    assert await place.access.may(JANE, "get", "ns")
    assert await place.access.may(JANE, "get", "ns")
    assert len(place.own.sent) == 1
    await place.access.may(JANE, "list", "ns")
    await place.access.may(JANE, "get", "other")
    await place.access.may(impersonated("ci", "jane", ("a",)), "get", "ns")
    await place.access.may(JOE, "get", "ns")
    assert (len(place.own.sent), len(place.bare.sent)) == (4, 1)
    place.own.answer = {"status": {"allowed": False}}
    place.now += ALLOWED_SECONDS
    assert not await place.access.may(JANE, "get", "ns")
    place.own.answer = {"status": {"allowed": True}}
    place.now += DENIED_SECONDS
    assert await place.access.may(JANE, "get", "ns")


async def test_an_answer_that_is_none_allows_nothing() -> None:
    place = Place()
    for answer in ({}, {"status": "allowed"}, {"status": {"allowed": "yes"}}):
        place.own.answer = cast("Raw", answer)
        assert not await place.access.may(JANE, "get", "ns")
        place.now += DENIED_SECONDS


@pytest.mark.parametrize(
    ("code", "own", "kind"),
    [
        (401, False, UnauthorizedError),
        (401, True, UnavailableError),
        (403, True, ForbiddenError),
        (404, True, NotFoundError),
        (409, True, ConflictError),
        (422, True, InvalidError),
        (413, True, TooLargeError),
        (429, True, TooManyRequestsError),
        (500, True, UnavailableError),
        (504, True, UnavailableError),
        (0, True, UnavailableError),
    ],
)
async def test_refusals_keep_their_meaning(code: int, own: bool, kind: type[GatewayError]) -> None:
    place = Place()
    place.own.answer = place.bare.answer = ApiError(code, "Reason", "in its own words", retry_after=7)
    with pytest.raises(kind) as caught:
        await place.access.call(JANE if own else JOE, "PATCH", "/x")
    if code in {403, 409, 422, 429}:
        assert "in its own words" in caught.value.message
    if code == 429:
        assert caught.value.retry_after == 7


async def test_whose_credentials_are_not_taken_is_said() -> None:
    wire = Wire()
    wire.answer = ApiError(401, "Unauthorized", "Unauthorized")
    access = CallerAccess(cast("Transport", wire), cast("Transport", wire), lambda: 0.0, whose="your own")
    with pytest.raises(UnavailableError, match=r"does not take your own$"):
        await access.call(JANE, "GET", "/x")


def test_nothing_shows_a_token() -> None:
    assert "secret" not in repr(JOE)
    assert "secret" not in JOE.identity
