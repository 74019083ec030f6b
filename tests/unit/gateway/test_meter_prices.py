"""Prices in LiteLLM's form, and the meter's file."""

import json
from decimal import Decimal

import pytest

from agentstop.gateway.meter.config import read_meter
from agentstop.gateway.meter.prices import FREE, read_prices

MAP = """{
    "sample_spec": {"input_cost_per_token": "in dollars", "mode": "one of chat, embedding"},
    "gpt-4o": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05,
               "cache_read_input_token_cost": 1.25e-06, "litellm_provider": "openai"},
    "azure/gpt-4o": {"input_cost_per_token": 3e-06, "output_cost_per_token": 0},
    "dall-e": {"input_cost_per_image": 0.04}
}"""


def test_a_model_is_found_by_its_name_or_with_its_provider() -> None:
    prices = read_prices(MAP)
    assert len(prices) == 2
    price = prices.find("openai", "gpt-4o-2024-08-06", "gpt-4o")
    assert price is not None
    assert price.of(1000, 10) == Decimal("0.0026")
    azure = read_prices(MAP.replace('"gpt-4o"', '"gpt"')).find("azure", "gpt-4o", None)
    assert azure is not None
    assert azure.of(1000, 10) == Decimal("0.003")
    assert prices.find(None, None, "dall-e") is None


def test_what_was_read_from_a_cache_costs_less() -> None:
    price = read_prices(MAP).find(None, "gpt-4o")
    assert price is not None
    assert price.of(1000, 0, cache_read=800) == Decimal("0.0015")
    assert price.of(1000, 0, cache_read=5000, cache_creation=10) == Decimal("0.00125")  # never more than there is
    assert FREE.of(10**9, 10**9) == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is no JSON"),
        ("[]", "it is no object"),
        ("{}", "no model in it has"),
        ('{"m": 1}', '"m" has no object'),
        ('{"m": {"input_cost_per_token": "1"}}', '"m": input_cost_per_token must be a number'),
        ('{"m": {"input_cost_per_token": -1}}', "must be a number from 0"),
        ('{"m": {"input_cost_per_token": 1e9}}', "must be a number from 0"),
        ('{"m": {"output_cost_per_token": NaN}}', "it has NaN"),
        ('{"m": {"output_cost_per_token": true}}', "must be a number"),
        ("[" * 100_000, "it is n"),
        ('{"m": {"input_cost_per_token": 1e99999999999999999999}}', "it has a number"),
    ],
)
def test_what_is_no_map_of_prices_says_why(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_prices(text)


def test_the_meters_file_says_what_is_wrong_with_it() -> None:
    assert read_meter("").currency == "USD"
    assert read_meter(json.dumps({"keys": ["a"], "limits": {"tasks": 5}})).limits.tasks == 5
    for text, problem in (
        ("currency: dollars", "currency: "),
        ("limits: {tasks: 0}", "limits.tasks: "),
        ("price: x", "price: there is no such field"),
        ("[", "it is no YAML"),
    ):
        with pytest.raises(ValueError, match=problem):
            read_meter(text)
