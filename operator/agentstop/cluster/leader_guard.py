"""For how long this process may act."""

import math
import time
from collections.abc import Callable
from typing import Final

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> float:
    """Return seconds of a clock that nobody sets, and that goes on while the machine is suspended."""
    return time.clock_gettime(_CLOCK)


class LeaderGuard:
    """A moment of the steady clock up to which this process may change things in the cluster.

    Without an election it never ends. It is asked before each request, not told by a timer: a process that was frozen,
    or whose loop was held up, finds it over when it goes on.
    """

    def __init__(self, clock: Callable[[], float] = steady) -> None:
        self._clock = clock
        self._until = math.inf

    def now(self) -> float:
        """Return the moment that it is by the steady clock, in seconds."""
        return self._clock()

    def left(self) -> float:
        """Return the seconds that are left; 0 or less where this process may not act."""
        return self._until - self._clock()

    @property
    def holds(self) -> bool:
        """Whether this process may act now."""
        return self.left() > 0

    def last_until(self, moment: float) -> None:
        """Let it last until then."""
        self._until = moment

    def end(self) -> None:
        """End it now."""
        self._until = -math.inf
