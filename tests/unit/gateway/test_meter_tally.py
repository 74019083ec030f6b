"""The sums behind a usage: what is told in any order, twice, and by several gateways is counted once."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentstop.gateway.meter.amounts import Amounts
from agentstop.gateway.meter.evidence import Direct, Evidence, Part, Point, Total
from agentstop.gateway.meter.tally import MAX_SERIES, Tally, read_tally
from agentstop.gateway.meter.usage import TALLY_ANNOTATION, Change, changed, is_written

PRICE = Decimal("0.00000015")


@dataclass(frozen=True)
class Life:
    """What one counter of a process went through: its value after each call, anew from 0 after each restart."""

    name: str
    completion: bool
    starts: tuple[tuple[int, ...], ...]

    def told(self) -> list[Evidence]:
        found = []
        for number, calls in enumerate(self.starts):
            so_far = 0
            for count, tokens in enumerate(calls, start=1):
                so_far += tokens
                point = Point(100 + number, self.completion, so_far, 0 if self.completion else count, PRICE)
                found.append(Evidence(Total(f"{self.name}-{number}", point), None, None, f"process-{self.name[0]}"))
        return found

    @property
    def tokens(self) -> int:
        return sum(map(sum, self.starts))


lives = st.lists(
    st.builds(
        Life,
        st.sampled_from(["ax", "ay", "bx"]),
        st.just(False),
        st.lists(st.lists(st.integers(0, 10**6), min_size=1, max_size=4).map(tuple), min_size=1, max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda each: each.name,
)


def usage_of(rounds: Sequence[Tally], writer: str = "w") -> dict[str, Any]:
    """Return the usage after writes of these, each read from the one before it."""
    found: dict[str, Any] | None = None
    for number, tally in enumerate(rounds, start=1):
        found = changed(found, Change(tally, datetime(2026, 1, 1, tzinfo=UTC), "otlp", writer, number), "USD")
    assert found is not None
    return found


def tally_of(*evidence: Evidence) -> Tally:
    tally = Tally()
    for each in evidence:
        tally.note(each)
    return tally


@given(lives, st.randoms(use_true_random=False), st.integers(1, 4))
def test_counters_are_counted_once_in_any_order_and_however_often_they_are_told(
    found: list[Life], chance: random.Random, writes: int
) -> None:
    told = [each for life in found for each in life.told()] * 2
    chance.shuffle(told)
    spec = usage_of([tally_of(*told[number::writes]) for number in range(writes)])["spec"]
    tokens = sum(each.tokens for each in found)
    assert (spec["promptTokens"], spec["totalTokens"]) == (tokens, tokens)
    assert spec["turns"] == sum(len(calls) for each in found for calls in each.starts)
    assert Decimal(spec["cost"]) == (tokens * PRICE).quantize(Decimal("0.000001"), "ROUND_FLOOR")


@given(st.lists(st.tuples(st.integers(0, 1000), st.booleans()), min_size=1, max_size=20), st.integers(1, 3))
def test_metrics_and_spans_of_the_same_calls_are_counted_once(calls: list[tuple[int, bool]], writes: int) -> None:
    told: list[Evidence] = []
    for tokens, first in calls:
        parts = [
            Evidence(Part(Amounts(tokens, 1, 1, PRICE), span=span), None, None, "p") for span in (first, not first)
        ]
        told += parts
    spec = usage_of([tally_of(*told[number::writes]) for number in range(writes)])["spec"]
    assert (spec["promptTokens"], spec["completionTokens"], spec["turns"]) == (
        sum(tokens for tokens, _ in calls),
        len(calls),
        len(calls),
    )


def test_two_processes_and_a_report_are_added_up() -> None:
    tally = tally_of(
        Evidence(Part(Amounts(10, 0, 1), span=True), None, None, "a"),
        Evidence(Part(Amounts(20, 0, 1), span=False), None, None, "b"),
        Evidence(Direct(Amounts(3, 0, 1)), None),
    )
    spec = usage_of([tally])["spec"]
    assert (spec["promptTokens"], spec["turns"]) == (33, 3)


def test_costs_too_small_to_be_written_are_kept_until_they_are_not() -> None:
    tiny = tally_of(Evidence(Direct(Amounts(1, 0, 0, Decimal("0.0000004"))), None))
    assert [usage_of([tiny] * number)["spec"]["cost"] for number in (1, 2, 3, 5)] == [
        "0",
        "0",
        "0.000001",
        "0.000002",
    ]


def test_what_others_have_reported_stays() -> None:
    found = {"metadata": {}, "spec": {"promptTokens": 5, "totalTokens": 9, "cost": "1.5", "turns": 2}}
    more = tally_of(Evidence(Direct(Amounts(1, 2, 1, Decimal("0.25"))), None))
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    spec = changed(found, Change(more, moment, "jane", "w", 1), "USD")["spec"]
    assert spec == {
        "promptTokens": 6,
        "completionTokens": 2,
        "totalTokens": 12,
        "turns": 3,
        "cost": "1.75",
        "currency": "USD",
        "reportedBy": "jane",
        "lastActivityAt": "2026-01-01T00:00:00.000000Z",
    }


def test_a_write_tells_that_it_took_place() -> None:
    change = Change(tally_of(Evidence(Direct(Amounts(1)), None)), None, "otlp", "one", 7)
    found = changed(None, change, "USD")
    assert is_written(found, change)
    assert not is_written(found, Change(change.tally, None, "otlp", "one", 8))
    assert not is_written(found, Change(change.tally, None, "otlp", "two", 7))
    assert not is_written({"metadata": {}}, change)


def test_a_counter_that_was_forgotten_is_never_counted_twice() -> None:
    tally = Tally()

    def total(name: str, start: int, tokens: int) -> Tally:
        point = Point(start, completion=False, tokens=tokens, calls=1)
        return tally_of(Evidence(Total(name, point), None, None, "p"))

    assert tally.take(total("first", 1, 100)).prompt == 100
    for number in range(MAX_SERIES):
        assert tally.take(total(f"next-{number}", 1000 + number, 1)).prompt == 1
    assert "first" not in tally.series
    assert tally.take(total("first", 1, 150)).prompt == 0
    assert tally.take(total("first", 1, 160)).prompt == 10


@given(lives)
def test_it_is_read_as_it_was_written(found: list[Life]) -> None:
    tally = Tally()
    tally.take(tally_of(*(each for life in found for each in life.told())))
    again = read_tally(tally.text())
    assert again.text() == tally.text()
    assert not any(again.take(tally_of(*life.told())) for life in found)


def test_what_is_no_tally_is_none() -> None:
    for text in (None, "", "[]", "{}", '{"groups": 1}', '{"groups": [["a", [1], 2]]}', "[" * 100_000):
        assert not read_tally(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"groups": [["p", [1e999, 0, 0, "0"], [0, 0, 0, "0"]]]},
        {"groups": [["p", [-5, 0, 0, "0"], [0, 0, 0, "0"]]]},
        {"groups": [["p", [0, 0, 0, "9e999999"], [0, 0, 0, "9e999999"]]]},
        {"series": [["s", -1, 1e999, 1, 1]]},
        {"series": [["s", -1, 1, -(10**15), 1]]},
        {"rest": "1e70"},
        {"rest": "1e99999999999999999999"},
        {"rest": "NaN"},
        {"floor": 1e999},
        {"writers": {"w": 1e999}},
    ],
)
def test_what_others_wrote_in_its_place_keeps_nothing_from_being_added(wrong: dict[str, Any]) -> None:
    text = json.dumps({"groups": [], "series": [], "floor": -1, "rest": "0", "writers": {}, **wrong})
    found = {"metadata": {"annotations": {TALLY_ANNOTATION: text}}, "spec": {"turns": 3}}
    more = tally_of(Evidence(Direct(Amounts(1, 2, 1, Decimal("0.5"))), None))
    spec = changed(found, Change(more, None, "otlp", "w", 1), "USD")["spec"]
    assert (spec["promptTokens"], spec["completionTokens"], spec["turns"], spec["cost"]) == (1, 2, 4, "0.5")
