"""What is made of the API server's refusals."""

import json

import pytest

from agentstop.cluster.errors import ApiError, error_from


def status(code: int, reason: str, message: str) -> bytes:
    return json.dumps({"kind": "Status", "code": code, "reason": reason, "message": message}).encode()


def test_a_status_object_is_read() -> None:
    error = error_from(403, status(403, "Forbidden", "pods is forbidden"))

    assert (error.code, error.reason, error.message) == (403, "Forbidden", "pods is forbidden")
    assert str(error) == "Forbidden (403): pods is forbidden"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"upstream is down", "upstream is down"),
        (b"", "no message"),
        (b"[1, 2]", "[1, 2]"),
        (b"{}", "{}"),
        (b"\xff" * 3, "\ufffd" * 3),
        (b"x" * 900, "x" * 200),
    ],
)
def test_anything_else_is_shown_as_it_came(body: bytes, message: str) -> None:
    error = error_from(502, body)

    assert (error.code, error.reason, error.message) == (502, "Unknown", message)


@pytest.mark.parametrize(
    ("code", "message", "refused"),
    [
        (400, "", True),
        (403, "", True),
        (405, "", True),
        (422, "", True),
        (500, 'failed calling webhook "x"', True),
        (500, "etcdserver: leader changed", False),
        (404, "", False),
        (409, "", False),
        (429, "", False),
        (503, "", False),
        (0, "", False),
    ],
)
def test_a_refusal_is_told_from_an_outage(code: int, message: str, refused: bool) -> None:
    assert ApiError(code, "Why", message).refused is refused


def test_without_an_answer_there_is_no_code_to_show() -> None:
    assert str(ApiError(0, "Unreachable", "the API server did not answer in time")) == (
        "the API server did not answer in time"
    )


@pytest.mark.parametrize(
    ("body", "header", "seconds"),
    [
        (b'{"kind": "Status", "details": {"retryAfterSeconds": 7}}', "3", 7),
        (b"Too many requests, please try again later.", "3", 3),
        (b"{}", None, None),
        (b"{}", "Wed, 21 Oct 2026 07:28:00 GMT", None),
        (b"{}", "0", None),
        (b'{"kind": "Status", "details": {"retryAfterSeconds": "soon"}}', None, None),
    ],
)
def test_when_to_ask_again_is_read(body: bytes, header: str | None, seconds: int | None) -> None:
    error = error_from(429, body, retry_after=header)
    assert error.retry_after == seconds
    assert error.withholding(["x"]).retry_after == seconds
