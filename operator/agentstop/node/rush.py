"""Many pods that are asked for at once: what is done for them goes before the writing down of what was done.

Each word that is written costs the API server as much as asking for a pod does, and those that are yet to be asked for
run until then.
"""

from datetime import datetime, timedelta
from typing import Final

QUIET: Final = timedelta(seconds=0.05)
"""So long nothing else has been asked for, and it counts as over."""

LONGEST: Final = timedelta(seconds=1)
"""So long a word waits at most from when it was asked for: an operator waits 3 seconds for an answer."""


class Rush:
    """Knows when something was asked for last."""

    def __init__(self) -> None:
        self._last: tuple[str, datetime] | None = None
        self._before: tuple[str, datetime] | None = None
        """The last one that was another object's."""

    def note(self, uid: str, at: datetime) -> None:
        """Take in that an object, by its UID, asks for something new."""
        if self._last is not None and self._last[0] != uid:
            self._before = self._last
        self._last = uid, at

    def left(self, uid: str, asked_at: datetime, now: datetime) -> float:
        """Return for how many seconds a word on an object has to wait for others; 0 where it is the only one."""
        other = self._before if self._last is not None and self._last[0] == uid else self._last
        if other is None:
            return 0.0
        until = min(other[1] + QUIET, asked_at + LONGEST)
        return max((until - now).total_seconds(), 0.0)
