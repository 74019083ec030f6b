"""Durations, selectors, and text that comes from the cluster."""

from typing import Any

import pytest

from agentstop.words.durations import parse_duration, spell
from agentstop.words.labels import parse_selector
from agentstop.words.orders import selector_words, what_it_stops
from agentstop.words.reasons import answer
from agentstop.words.tasks import clean
from tests.unit.objects import at, raw_task, when


@pytest.mark.parametrize(
    ("text", "seconds"), [("10s", 10), ("2m", 120), ("1h30m", 5400), ("45", 45), ("1.5s", 1.5), ("7d", 604_800)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "10x", "s", "-5s", "10s x", "1m!"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it as 10s"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.016, "0.02s"), (4.51, "4.5s"), (42, "42s"), (190, "3m10s"), (2040, "34m"), (18_720, "5h12m"), (777_600, "9d")],
)
def test_durations_are_written(seconds: float, text: str) -> None:
    assert spell(seconds) == text


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("team=research", {"matchLabels": {"team": "research"}}),
        ("a==b,c=d", {"matchLabels": {"a": "b", "c": "d"}}),
        ("a!=b", {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}),
        ("x in (a, b)", {"matchExpressions": [{"key": "x", "operator": "In", "values": ["a", "b"]}]}),
        ("x notin (a)", {"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["a"]}]}),
        ("x,!y", {"matchExpressions": [{"key": "x", "operator": "Exists"}, {"key": "y", "operator": "DoesNotExist"}]}),
        ("e.io/n=", {"matchLabels": {"e.io/n": ""}}),
    ],
)
def test_selectors_are_read(text: str, selector: dict[str, Any]) -> None:
    assert parse_selector(text) == selector
    assert parse_selector(selector_words(selector)) == selector


@pytest.mark.parametrize("selector", [{}, {"matchLabels": {}, "matchExpressions": []}])
def test_an_order_whose_selector_says_nothing_stops_everything(selector: dict[str, Any]) -> None:
    assert what_it_stops({"selector": selector}) == "everything"


def test_a_label_that_cannot_have_two_values_is_not_made_to_have_one() -> None:
    found = parse_selector("a=b,a=c")
    assert found["matchLabels"] == {"a": "b"}
    assert found["matchExpressions"] == [{"key": "a", "operator": "In", "values": ["c"]}]


@pytest.mark.parametrize("text", ["=x", "a=b=c", "a in b", "", "a,,b", "a in (b", "a b"])
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no label selector"):
        parse_selector(text)


def test_text_from_the_cluster_commands_no_terminal() -> None:
    assert clean("a\x1b]0;owned\x07b\nc") == "a ]0;owned b c"


@pytest.mark.parametrize(("grace", "killed", "wished"), [(5, 5, False), (1, 2, False), (2, 60, True)])
def test_why_tells_what_was_asked_for_where_it_is_not_what_is_given(grace: int, killed: float, wished: bool) -> None:
    stop = {"source": "User", "acceptedAt": when(0), "signaledAt": when(0), "killAt": when(killed)}
    stopping = raw_task(status={"phase": "Stopping", "stop": stop | {"gracePeriodSeconds": grace}})
    facts = " ".join(answer(stopping, (), at(1)).facts)

    assert "SIGKILL is due" in facts
    assert (f"{grace}s were asked for" in facts) is wished


FROZEN = {"phase": "Paused", "reason": "Frozen", "pausePolicy": "Freeze", "pausedAt": when(0)}
BY = {"frozenBy": {"kind": "ClusterStopOrder", "name": "o", "uid": "u"}}


def test_why_says_of_a_frozen_task_all_that_keeps_it_from_going_on() -> None:
    told = answer(raw_task({"paused": True}, status=FROZEN | BY), (), at(90))

    assert [each for each in told.facts if each.startswith("frozen by ClusterStopOrder o since ")]
    assert any(each.endswith(", for 90s") for each in told.facts)
    assert any("paused by its own spec, too" in each for each in told.facts)
    assert told.advice == ("let all go on that the order froze: agentstop order lift o -A",)


def test_what_is_being_thawed_is_not_to_be_thawed() -> None:
    told = answer(raw_task(status=FROZEN | {"reason": "Thawing"}), (), at(90))

    assert told.advice == ()


def test_what_was_paused_without_a_freeze_is_frozen_by_nothing() -> None:
    told = answer(raw_task({"paused": True}, status={"phase": "Paused", "pausedAt": when(0)}), (), at(90))

    assert not [each for each in told.facts if "frozen" in each]


@pytest.mark.parametrize(("by", "advice"), [({}, "pausePolicy to Terminate"), (BY, "agentstop stop ")])
def test_what_an_order_cannot_freeze_is_not_helped_by_its_own_policy(by: dict[str, Any], advice: str) -> None:
    held = {"type": "Stalled", "status": "True", "reason": "LivenessProbe", "message": "it has one"}
    told = answer(raw_task(status={"phase": "Pausing", "conditions": [held], **by}), (), at(1))

    assert advice in told.advice[0]
    assert len(told.advice) == 1
