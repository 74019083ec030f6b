"""Amounts of what is counted. Money is decimal and exact, however little one token costs."""

from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final

MONEY: Final = Context(prec=60)
"""Keeps every digit: a price has some 20 at most, a number of tokens 16."""

NOTHING_SPENT: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Amounts:
    """So much was spent. None of it is negative."""

    prompt: int = 0
    """Tokens that went into models."""
    completion: int = 0
    """Tokens that came out of them."""
    turns: int = 0
    """How often a model was asked."""
    cost: Decimal = NOTHING_SPENT
    """In the meter's one currency."""

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.turns + other.turns,
            MONEY.add(self.cost, other.cost),
        )

    def __bool__(self) -> bool:
        return self != NOTHING

    def largest(self, other: "Amounts") -> "Amounts":
        """Return the larger one of each amount."""
        return Amounts(
            max(self.prompt, other.prompt),
            max(self.completion, other.completion),
            max(self.turns, other.turns),
            max(self.cost, other.cost),
        )

    def beyond(self, other: "Amounts") -> "Amounts":
        """Return by how much each amount is larger than the other; 0 where it is not."""
        return Amounts(
            max(self.prompt - other.prompt, 0),
            max(self.completion - other.completion, 0),
            max(self.turns - other.turns, 0),
            max(MONEY.subtract(self.cost, other.cost), NOTHING_SPENT),
        )


NOTHING: Final = Amounts()
