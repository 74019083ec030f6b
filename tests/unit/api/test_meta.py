"""Moments and numbers as anybody may write them into an object."""

from datetime import timedelta

import pytest

from agentstop.api.meta import EARLIEST, LATEST, MAX_DURATION_SECONDS, parse_number, parse_seconds, parse_time

TIMES = (
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:01-23:59",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-23:59",
    "36889-01-01T00:00:00Z",
    "yesterday",
    "2026-13-45T99:99:99Z",
    "\u0662\u0660\u0662\u0666",
    "-" * 10_000,
)


@pytest.mark.parametrize("text", TIMES)
def test_no_moment_is_too_far_away_to_be_reckoned_with(text: str) -> None:
    moment = parse_time(text)

    assert moment is not None
    assert moment in {EARLIEST, LATEST}
    longest = timedelta(seconds=MAX_DURATION_SECONDS)
    assert moment - 2 * longest < moment + 2 * longest


def test_moments_are_what_they_are() -> None:
    assert parse_time(None) is None
    assert parse_time("") is None
    moment = parse_time("2026-01-01T12:00:00.123456Z")
    assert moment is not None
    assert moment.isoformat() == "2026-01-01T12:00:00.123456+00:00"
    assert parse_time("2026-01-01T12:00:00.123456") == moment  # without a zone, it is UTC


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 30),
        (0, 0),
        (-5, 0),
        (5, 5),
        (2**31, MAX_DURATION_SECONDS),
        (2**63 - 1, MAX_DURATION_SECONDS),
        ("7", 30),
        (True, 30),
        (1e300, 30),
        ({}, 30),
    ],
)
def test_no_time_is_longer_than_can_be_reckoned_with(value: object, seconds: int) -> None:
    assert parse_seconds(value, 30) == seconds


def test_what_is_no_number_is_none() -> None:
    values: tuple[object, ...] = (3, -3, None, "3", False, [], 2.5)
    assert [parse_number(each, 1) for each in values] == [3, -3, 1, 1, 1, 1, 1]
