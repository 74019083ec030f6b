"""The time that all replicas agree on."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from hypothesis import given
from hypothesis import strategies as st

from agentstop.cluster.clock import SECOND, TOLERANCE, ServerClock

START = datetime(2026, 11, 21, 9, 0, 0, tzinfo=UTC)


class Times:
    """An API server's clock, and one that is ahead of it."""

    def __init__(self, ahead: timedelta) -> None:
        self.server = START
        self.ahead = ahead
        self.clock = ServerClock(lambda: self.server + self.ahead)

    def pass_by(self, seconds: float) -> None:
        self.server += timedelta(seconds=seconds)

    def answer(self, there: float = 0.01, back: float = 0.01) -> None:
        """A request takes so long there and back."""
        sent_at = self.clock.local()
        self.pass_by(there)
        date = format_datetime(self.server, usegmt=True)
        self.pass_by(back)
        self.clock.hear(date, sent_at)

    def error(self) -> timedelta:
        return abs(self.clock.now() - self.server)


delays = st.floats(0, 3)


@given(
    ahead=st.floats(-3600, 3600),
    answers=st.lists(st.tuples(st.floats(0, 10), delays, delays), min_size=1, max_size=20),
)
def test_no_clock_is_wrong_by_more_than_an_answer_leaves_open(
    ahead: float, answers: list[tuple[float, float, float]]
) -> None:
    times = Times(timedelta(seconds=ahead))
    for pause, there, back in answers:
        times.pass_by(pause)
        times.answer(there, back)
    open_ = SECOND + timedelta(seconds=min(there + back for _, there, back in answers))
    assert times.error() <= TOLERANCE + open_


def test_a_clock_that_is_right_enough_is_left_alone() -> None:
    times = Times(timedelta(seconds=1.5))
    times.answer()
    assert times.clock.difference == timedelta()


def test_thirty_seconds_ahead() -> None:
    times = Times(timedelta(seconds=30))
    for _ in range(30):
        times.pass_by(0.37)
        times.answer()
    assert times.error() < timedelta(seconds=0.5)


def test_a_clock_that_is_set_while_the_operator_runs() -> None:
    times = Times(timedelta(seconds=30))
    times.answer()
    times.ahead = timedelta(seconds=-30)
    times.answer()
    assert times.error() <= TOLERANCE


def test_an_answer_without_a_date() -> None:
    times = Times(timedelta(seconds=30))
    times.clock.hear(None, times.clock.local())
    times.clock.hear("yesterday", times.clock.local())
    assert times.clock.difference == timedelta()
