"""Status writes that are held back while more pods are asked for: all of them are frozen or killed first.

A status write costs the API server as much as the request for another pod, and that pod runs until its request is
through.
"""

from datetime import datetime, timedelta
from typing import Final

QUIET: Final = timedelta(seconds=0.05)
"""So long no other pod has been asked for, and no more are expected."""

LONGEST: Final = timedelta(seconds=1)
"""So long a write is held back at most after its pod was asked for: an operator waits 3 seconds for an answer."""


class Debounce:
    """Knows when a pod was last asked for, and how long the status of another one can wait."""

    def __init__(self) -> None:
        self._last: tuple[str, datetime] | None = None
        self._before: tuple[str, datetime] | None = None
        """The last one that was another object's."""

    def note(self, uid: str, at: datetime) -> None:
        """Take in that an object, by its UID, asks for something new."""
        if self._last is not None and self._last[0] != uid:
            self._before = self._last
        self._last = uid, at

    def delay(self, uid: str, asked_at: datetime, now: datetime) -> float:
        """Return for how many seconds the status of an object is held back; 0 where no other was asked for lately."""
        other = self._before if self._last is not None and self._last[0] == uid else self._last
        if other is None:
            return 0.0
        until = min(other[1] + QUIET, asked_at + LONGEST)
        return max((until - now).total_seconds(), 0.0)
