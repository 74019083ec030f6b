"""Prices for one request, and which of its models have none."""

import logging
from collections import Counter
from typing import Final

from agentstop.gateway.meter.prices import Price, Prices

log = logging.getLogger(__name__)

MAX_NAMED: Final = 1000
"""So many models without a price are named in the log; senders could make up any number."""


class Pricing:
    """Finds prices; what has none is free, and remembered. Used in one thread."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self.unknown: Counter[str] = Counter()
        """How often a model was asked for that has no price."""

    def __len__(self) -> int:
        return len(self._prices)

    def __call__(self, provider: str | None, response: str | None, request: str | None) -> Price | None:
        """Return a model's price; None where it has none."""
        price = self._prices.find(provider, response, request)
        if price is None:
            self.unknown[(response or request or "")[:200]] += 1
        return price


class Namer:
    """Names each model without a price in the log, once."""

    def __init__(self) -> None:
        self._named: set[str] = set()

    def name(self, unknown: Counter[str]) -> None:
        """Take in models that have no price."""
        for model in unknown:
            if model not in self._named and len(self._named) < MAX_NAMED:
                self._named.add(model)
                what = f"model {model!r}" if model else "a call that names no model"
                log.warning("%s has no price: its tokens are counted, and cost nothing", what)
