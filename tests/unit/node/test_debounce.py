"""Of many pods that are asked for at once the status is written after all are seen to, and not much later."""

from datetime import datetime, timedelta

import pytest

from agentstop.node.debounce import LONGEST, QUIET, Debounce

from .bench import NOW


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_the_only_one_waits_for_nobody() -> None:
    debounce = Debounce()
    debounce.note("a", NOW)
    debounce.note("a", after(0.01))

    assert debounce.delay("a", NOW, NOW) == 0


def test_each_waits_until_nothing_else_was_asked_for_in_a_while() -> None:
    debounce, quiet = Debounce(), QUIET.total_seconds()
    for number, uid in enumerate("abc"):
        debounce.note(uid, after(number / 100))

    assert debounce.delay("a", NOW, after(0.03)) == pytest.approx(quiet - 0.01)
    assert debounce.delay("c", after(0.02), after(0.03)) == pytest.approx(quiet - 0.02), (
        "what it asked for itself is done"
    )
    assert debounce.delay("a", NOW, after(0.02 + quiet)) == 0


def test_none_waits_for_long_however_many_others_come() -> None:
    debounce, longest = Debounce(), LONGEST.total_seconds()
    for number in range(1000):
        debounce.note(str(number), after(number / 100))

    assert debounce.delay("0", NOW, after(9.99)) == 0
    assert debounce.delay("0", after(9.98), after(9.99)) > 0
    assert debounce.delay("0", after(10 - longest), after(9.99)) == pytest.approx(0.01)
