"""What models cost, in the form of LiteLLM's map of prices."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

from agentstop.gateway.meter.amounts import MONEY, NOTHING_SPENT

EXAMPLE: Final = "sample_spec"
"""An entry of LiteLLM's file that is no model, and says what the fields mean."""

MAX_PRICE: Final = Decimal(1000)
"""What one token may cost at most: far above all that there is, and low enough that no sum overflows."""

_FIELDS: Final[Mapping[str, str]] = {
    "input_cost_per_token": "prompt",
    "output_cost_per_token": "completion",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_creation",
}
"""Source: https://docs.litellm.ai/docs/provider_registration/add_model_pricing"""


@dataclass(frozen=True, slots=True)
class Price:
    """What one token costs."""

    prompt: Decimal = NOTHING_SPENT
    completion: Decimal = NOTHING_SPENT
    cache_read: Decimal | None = None
    """Of the prompt, what was read from the provider's cache; as any other where there is no price of it."""
    cache_creation: Decimal | None = None

    def of(self, prompt: int, completion: int, cache_read: int = 0, cache_creation: int = 0) -> Decimal:
        """Return what a call costs. The tokens read from the cache, and those written to it, are among the prompt's."""
        cached = min(max(cache_read, 0), prompt)
        written = min(max(cache_creation, 0), prompt - cached)
        parts = (
            (prompt - cached - written, self.prompt),
            (cached, self.prompt if self.cache_read is None else self.cache_read),
            (written, self.prompt if self.cache_creation is None else self.cache_creation),
            (completion, self.completion),
        )
        total = NOTHING_SPENT
        for tokens, price in parts:
            total = MONEY.add(total, MONEY.multiply(Decimal(tokens), price))
        return total


FREE: Final = Price()


class Prices:
    """The prices of all models that are known."""

    def __init__(self, by_model: Mapping[str, Price]) -> None:
        self._by_model = by_model

    def __len__(self) -> int:
        return len(self._by_model)

    def find(self, provider: str | None, *models: str | None) -> Price | None:
        """Return the price of the first of these models that has one, as it stands or with its provider before it."""
        for model in models:
            if model is None:
                continue
            names = (model, f"{provider}/{model}") if provider is not None else (model,)
            for name in names:
                price = self._by_model.get(name)
                if price is not None:
                    return price
        return None


NO_PRICES: Final = Prices({})


def read_prices(text: str) -> Prices:
    """Return what a map of prices says. Raises ValueError, with a message for people, where it is none."""
    try:
        found: Any = json.loads(text, parse_float=Decimal, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except InvalidOperation:
        raise ValueError("it has a number that no price can be") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON (line {error.lineno})") from None
    if not isinstance(found, dict):
        raise ValueError("it is no object with a model's name before each entry")
    by_model: dict[str, Price] = {}
    for model, entry in found.items():
        if model == EXAMPLE:
            continue
        if not isinstance(entry, dict):
            raise ValueError(f"{_shown(model)} has no object with its prices")
        given = {ours: _price(model, theirs, entry[theirs]) for theirs, ours in _FIELDS.items() if _has(entry, theirs)}
        if "prompt" in given or "completion" in given:
            by_model[model] = Price(**given)
    if not by_model:
        raise ValueError("no model in it has input_cost_per_token or output_cost_per_token")
    return Prices(by_model)


def _has(entry: Mapping[str, Any], field: str) -> bool:
    return entry.get(field) is not None


def _price(model: str, field: str, value: Any) -> Decimal:
    if isinstance(value, int | Decimal) and not isinstance(value, bool) and 0 <= value <= MAX_PRICE:
        return Decimal(value)
    raise ValueError(f"{_shown(model)}: {field} must be a number from 0 to {MAX_PRICE}")


def _shown(model: str) -> str:
    return json.dumps(model[:100])


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"it has {word}, which is no JSON")
