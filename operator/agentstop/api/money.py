"""Amounts of money and currencies: what they look like, and what is said of what is none."""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from agentstop.api.meta import rule

DECIMAL: Final = "^[0-9]{1,9}([.][0-9]{1,6})?$"
"""What an amount of money looks like. Its 15 digits are as many as a double keeps apart, by which the API server compares."""  # noqa: E501

CURRENCY: Final = "^[A-Z]{3}$"
"""What a currency looks like: a code of ISO 4217."""

DEFAULT_CURRENCY: Final = "USD"

MAX_MONEY: Final = 64
"""So many characters are looked at. Far fewer are allowed, by rules whose words are better than those of a length."""

_AMOUNT: Final = (
    'must be a decimal number as text, such as "12.41", with at most 9 digits before the point and 6 after it'
)
_CODE: Final = "must be a code of three capital letters, such as USD"

IS_AMOUNT: Final = rule(f"self.matches('{DECIMAL}')", _AMOUNT)
IS_CURRENCY: Final = rule(f"self.matches('{CURRENCY}')", _CODE)


def looks_like(pattern: str, words: str) -> BeforeValidator:
    """Return what refuses all but text of a pattern, in words that a person can act on."""
    fits = re.compile(pattern).fullmatch

    def check(value: object) -> object:
        if value is None or (isinstance(value, str) and fits(value)):
            return value
        raise PydanticCustomError("money", "{words}", {"words": words})

    return BeforeValidator(check)


Amount = Annotated[str, looks_like(DECIMAL, _AMOUNT)]
"""An amount of money as text."""

Currency = Annotated[str, looks_like(CURRENCY, _CODE)]
"""The code of a currency."""
