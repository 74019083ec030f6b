"""Words on many pods that are asked for at once come after what is done for them, and not much later."""

from datetime import datetime, timedelta

import pytest

from agentstop.node.rush import LONGEST, QUIET, Rush

from .bench import NOW


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_the_only_one_waits_for_nobody() -> None:
    rush = Rush()
    rush.note("a", NOW)
    rush.note("a", after(0.01))

    assert rush.left("a", NOW, NOW) == 0


def test_each_waits_until_nothing_else_was_asked_for_in_a_while() -> None:
    rush, quiet = Rush(), QUIET.total_seconds()
    for number, uid in enumerate("abc"):
        rush.note(uid, after(number / 100))

    assert rush.left("a", NOW, after(0.03)) == pytest.approx(quiet - 0.01)
    assert rush.left("c", after(0.02), after(0.03)) == pytest.approx(quiet - 0.02), "what it asked for itself is done"
    assert rush.left("a", NOW, after(0.02 + quiet)) == 0


def test_none_waits_for_long_however_many_others_come() -> None:
    rush, longest = Rush(), LONGEST.total_seconds()
    for number in range(1000):
        rush.note(str(number), after(number / 100))

    assert rush.left("0", NOW, after(9.99)) == 0
    assert rush.left("0", after(9.98), after(9.99)) > 0
    assert rush.left("0", after(10 - longest), after(9.99)) == pytest.approx(0.01)
