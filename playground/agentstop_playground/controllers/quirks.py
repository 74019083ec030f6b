"""What a sandbox controller may do wrong on purpose, so that tests see who believes it."""

import re
from dataclasses import dataclass
from typing import Final

ANNOTATION: Final = "playground.agentstop.dev/quirks"
"""On a Sandbox: words as ``parse`` reads them, what the controller does wrong with it."""

_WORD: Final = re.compile(r"(stale-suspended|slow)=(\d+(?:\.\d+)?)|(never)")


@dataclass(frozen=True, slots=True)
class Quirks:
    """All off by default; times are in seconds."""

    stale_suspended: float = 0.0
    """For how long it believes, at each new suspension, that there is no pod, and says that it is suspended."""
    slow: float = 0.0
    """How long it takes to notice a new generation."""
    never: bool = False
    """It does nothing at all."""


def parse(text: str) -> Quirks:
    """Quirks from ``stale-suspended=2 slow=0.5`` or ``never``; raises ValueError for any other word."""
    seconds: dict[str, float] = {}
    never = False
    for word in text.split():
        found = _WORD.fullmatch(word)
        if found is None:
            raise ValueError(f"{word} is none of the quirks stale-suspended=SECONDS, slow=SECONDS and never")
        if found[1]:
            seconds[found[1]] = float(found[2])
        never = never or bool(found[3])
    return Quirks(seconds.get("stale-suspended", 0.0), seconds.get("slow", 0.0), never)
