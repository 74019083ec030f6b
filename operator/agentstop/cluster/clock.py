"""What time it is: by the API server's clock, where ours is wrong."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

TOLERANCE: Final = timedelta(seconds=2)
"""A difference up to here is left alone: the clocks of a cluster differ so much, and no timer of ours is finer."""

SECOND: Final = timedelta(seconds=1)
"""What the Date header of an answer is precise to. Source: RFC 9110, section 6.6.1."""


def utc_now() -> datetime:
    """Return the moment that it is by this machine's clock."""
    return datetime.now(UTC)


@lru_cache(maxsize=4)  # all answers of one second name the same one
def _moment_of(date: str) -> datetime | None:
    try:
        return parsedate_to_datetime(date).replace(tzinfo=UTC)
    except ValueError:
        return None


class ServerClock:
    """Tells the time as all replicas do.

    Moments in a status were written by one replica, and are read by the next: a grace period must not end early for a
    clock that is ahead. Each answer of the API server bounds the difference between its clock and ours; together they
    bound it to fractions of a second.
    """

    def __init__(self, local: Callable[[], datetime] = utc_now) -> None:
        self._local = local
        self._least: timedelta | None = None
        self._most = timedelta()

    def now(self) -> datetime:
        """Return the moment that it is, in UTC."""
        return self._local() + self.difference

    @property
    def difference(self) -> timedelta:
        """How far the API server's clock is ahead of ours; none while that is not known, or within the tolerance."""
        if self._least is None:
            return timedelta()
        nearest = min(max(timedelta(), self._least), self._most)
        return nearest if abs(nearest) > TOLERANCE else timedelta()

    def local(self) -> datetime:
        """Return this machine's time, to be given to `hear` with an answer to what was sent then."""
        return self._local()

    def hear(self, date: str | None, sent_at: datetime) -> None:
        """Take in the Date header of an answer that came just now, to a request of that local time."""
        theirs = _moment_of(date or "")
        if theirs is None:
            return
        # The answer was written between the sending and now, at some moment of the second that it names.
        least, most = theirs - self._local(), theirs + SECOND - sent_at
        if self._least is None or least > self._most or most < self._least:
            self._least, self._most = least, most  # nothing is known yet, or one of the clocks was set anew
        else:
            self._least, self._most = max(least, self._least), min(most, self._most)
