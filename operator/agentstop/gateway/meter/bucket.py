"""How much is taken in a second."""

from collections.abc import Callable
from math import ceil


class Bucket:
    """Lets so many through in a second, and as many at once; like a token bucket."""

    def __init__(self, per_second: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._left = float(per_second)
        self._at = clock()

    def take(self, number: int) -> int:
        """Let so many through; return 0, or where there are too many the whole seconds after which they may come.

        More at once than in a second are let through when nothing was before, and count as long as they would.
        """
        now = self._clock()
        self._left = min(self._left + (now - self._at) * self._per_second, float(self._per_second))
        self._at = now
        wanted = min(number, self._per_second)
        if self._left < wanted:
            return max(1, ceil((wanted - self._left) / self._per_second))
        self._left -= number
        return 0
