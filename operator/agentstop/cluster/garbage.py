"""When the garbage collector looks, in a process that reads all there is at its start and then waits for events."""

import gc
from typing import Final

FILLING_THRESHOLDS: Final = (100_000, 50, 200)
SETTLED_THRESHOLDS: Final = (1_000, 20, 500)
"""What is read at the start stays, and to search it again and again would only take time. Afterwards every stop leaves
a few hundred objects, and to save them up would end in one long pause."""


def begin_to_fill() -> None:
    """Look seldom: what comes now stays."""
    gc.set_threshold(*FILLING_THRESHOLDS)


def settle() -> None:
    """Take all that is there off the collector's rounds; what comes from now on goes soon."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*SETTLED_THRESHOLDS)
