"""How the playground's node and controllers read what an API server sends them."""

import json
from typing import Any

import pytest

from agentstop_playground.decoding import MAX_DEPTH, MAX_DIGITS, decode


def nested(levels: int, opening: str = '{"a":', closing: str = "}") -> str:
    return opening * levels + "1" + closing * levels


@pytest.mark.parametrize(
    "value",
    [{}, [], None, 1, -1.5, "", {"items": [{"a": "}]{["}, {"b": '\\"{'}, {"ü\n": [[], {}]}], "metadata": {"c": True}}],
)
def test_what_is_ordinary_is_read_as_it_is(value: Any) -> None:
    assert decode(json.dumps(value).encode()) == value
    assert decode(json.dumps(value, ensure_ascii=False, indent=1).encode()) == value


@pytest.mark.parametrize("levels", [MAX_DEPTH, 1_200, 100_000])
@pytest.mark.parametrize("brackets", [('{"a":', "}"), ("[", "]")])
def test_what_is_nested_deep_is_cut_off_and_nothing_beside_it(levels: int, brackets: tuple[str, str]) -> None:
    text = f'{{"before": 1, "deep": {nested(levels, *brackets)}, "items": [{{"after": [2]}}]}}'
    found = decode(text.encode())
    assert (found["before"], found["items"]) == (1, [{"after": [2]}])
    inner, depth = found["deep"], 1
    while inner is not None:
        inner = inner["a"] if isinstance(inner, dict) else inner[0]
        depth += 1
    assert depth == MAX_DEPTH


def test_the_deepest_that_is_read() -> None:
    assert decode(nested(MAX_DEPTH).encode()) == json.loads(nested(MAX_DEPTH))


def test_a_number_of_any_length_takes_nothing_with_it() -> None:
    assert decode(b"[1, %s, 2]" % (b"9" * 10_000)) == [1, None, 2]
    assert decode(b"9" * MAX_DIGITS) == int("9" * MAX_DIGITS)


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert decode(b'{"a": "\xff"}') == {"a": "\ufffd"}


@pytest.mark.parametrize("text", ["", "{", "]", '{"a"', "{} {}", '"\\', "[" * 100_000])
def test_what_is_no_json_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(text.encode())
