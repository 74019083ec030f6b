"""Whatever one object holds, it is read, and so is what stands beside it."""

import copy
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentstop.cluster.decoding import (
    CUT_DEPTH,
    MAX_DEPTH,
    ORDINARY_DEPTH,
    ORDINARY_ESCAPES,
    Listing,
    UnreadableError,
    decode,
    decode_at,
    is_object,
    is_ordinary,
)
from tests.unit.objects import Raw

DEPTHS = [MAX_DEPTH - 1, MAX_DEPTH + 1, 900, 1_200, 9_000, 12_000, 200_000]
"""Below and above what is kept, and what Python itself reads: some 1,000 levels up to 3.11, 10,000 from 3.13 on."""


def nested(levels: int, kind: str = "{") -> str:
    """Return a value of so many levels."""
    return '{"f:]":' * levels + "{}" + "}" * levels if kind == "{" else "[" * levels + "]" * levels


def event(inner: str) -> bytes:
    """Return a watch event of an object that holds a value, and of which all else is to be read."""
    metadata = f'{{"managedFields":[{{"fieldsV1":{inner},"manager":"\\\\\\"m{{"}}],"name":"a"}}'
    return f'{{"type":"MODIFIED","object":{{"metadata":{metadata},"spec":{{"a":[1,{{"b":"]"}}]}}}}}}'.encode()


def depth_of(value: Any) -> int:
    level, depth = [value], 0
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth


def check(found: Raw) -> None:
    """Everything but the value is there, and nothing of it makes anybody stumble."""
    assert found["type"] == "MODIFIED"
    assert found["object"]["metadata"]["name"] == "a"
    assert found["object"]["metadata"]["managedFields"][0]["manager"] == '\\"m{'
    assert found["object"]["spec"] == {"a": [1, {"b": "]"}]}
    assert depth_of(found) <= MAX_DEPTH
    assert json.loads(json.dumps(copy.deepcopy(found))) == found


@pytest.mark.parametrize("kind", ["{", "["])
@pytest.mark.parametrize("levels", DEPTHS)
def test_what_is_nested_too_deep_is_cut_and_all_else_is_read(levels: int, kind: str) -> None:
    check(decode(event(nested(levels, kind))))


@pytest.mark.parametrize(
    "inner",
    [
        "[" + ",".join([nested(9_000)] * 18) + "]",
        "[" + "[]," * 100_000 + nested(2_000) + "]",
        "[" * 95 + ("[" * 10 + "]" * 10 + ",") * 20_000 + nested(2_000, "[") + "]" * 95,
        '["' + "\\\\" * 100_000 + '\\"[",' + nested(2_000) + "]",
        '["' + "[{" * 100_000 + '",' + nested(2_000) + "]",
        nested(2_000).replace('":', '" :\n '),
        '["' + "{}[]" * 100_000 + '",{},[],' + nested(MAX_DEPTH + 10) + "]",
        nested(MAX_DEPTH + 10).replace('":', '{}[]":'),
    ],
    ids=[
        "many branches",
        "many beside",
        "to and fro over the bound",
        "escapes",
        "brackets in texts",
        "blanks",
        "pairs in texts",
        "pairs in names",
    ],
)
def test_whatever_it_is_made_of(inner: str) -> None:
    check(decode(event(inner)))


def test_what_is_not_too_deep_stays_beside_what_is() -> None:
    kept: Raw = {"f:spec": {"f:stopRequested": {}}}
    found = decode(event(f"[{json.dumps(kept)},{nested(5_000)},{json.dumps(kept)}]"))
    before, deep, after = found["object"]["metadata"]["managedFields"][0]["fieldsV1"]
    assert before == after == kept
    assert depth_of(deep) >= CUT_DEPTH - 10


def value(choose: random.Random, levels: int) -> Any:
    text = "".join(choose.choice('[]{}",:\\ é\U0001f600\nx') for _ in range(choose.randrange(8)))
    if levels <= 0:
        return choose.choice([1, -2.5, True, None, text])
    inner = [value(choose, levels - choose.randrange(1, 4)) for _ in range(choose.randrange(4))]
    return inner if choose.random() < 0.5 else {f"{number}{text}": each for number, each in enumerate(inner)}


@pytest.mark.parametrize("seed", range(40))
def test_what_is_cut_out_of_is_otherwise_the_same(seed: int) -> None:
    choose = random.Random(seed)  # noqa: S311  (it chooses what is tried)
    items = [value(choose, 7) for _ in range(60)]
    text = json.dumps({"a": items, "b": 1}, indent=choose.choice([None, 2]), ensure_ascii=choose.random() < 0.5)
    hostile = text.replace("{", f'{{"deep": {nested(3_000, choose.choice("{["))}, ', 1)
    found, end = decode_at(f"xx{hostile}yy", 2)
    assert end == len(hostile) + 2
    assert depth_of(found.pop("deep")) >= CUT_DEPTH - 1
    assert found == json.loads(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (b'"\xff\xfe"', "\ufffd\ufffd"),
        (b'"\\ud800"', "\ufffd"),
        (b'"a\\uDC00\\ud83d\\ude00b"', "a\ufffd\U0001f600b"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'"\xed\xa0\x80"', "\ufffd\ufffd\ufffd"),
        (b"NaN", None),
        (b"[1,-Infinity,1e999]", [1, None, None]),
        (b"[" + b"9" * 5_000 + b",2]", [None, 2]),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b" [ 1 , 2 ] \n", [1, 2]),
    ],
)
def test_what_python_does_not_read_or_cannot_write_again(text: bytes, meant: Any) -> None:
    found = decode(text) if text.strip().startswith(b"[") else decode(b'{"x":%b}' % text)["x"]
    assert found == meant
    assert json.dumps(found, ensure_ascii=False).encode()


@pytest.mark.parametrize("text", [b"", b"{", b"<html>", b'{"a":1}}', b'{"a":', b'["a', b"[1,]", b"[" * 5_000, b"]"])
def test_what_is_no_json_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(UnreadableError):
        decode(text)


EACH, WHOLE = 0, 10**9
"""So many bytes of a list may be read at once."""


def listing(*items: str, after: str = "", whole_bytes: int = EACH) -> Listing:
    head = '{"kind":"PodList","metadata":{"continue":"x"},'
    return Listing(f'{head}"items":[{",".join(items)}]{after}}}'.encode(), whole_bytes)


@pytest.mark.parametrize("whole_bytes", [EACH, WHOLE])
@pytest.mark.parametrize("bad", [nested(20_000), "7", '"x"', "null", '{"a":\\x}', "{" + "9" * 30 + "}", "[]"])
def test_one_item_costs_no_page(bad: str, whole_bytes: int) -> None:
    page = listing('{"n":1}', bad, '{"n":2}', after=',"apiVersion":"v1"', whole_bytes=whole_bytes)
    numbers = [each.get("n") for each in page.items()]
    assert [each for each in numbers if each is not None] == [1, 2]
    assert (len(numbers), page.unread) in {(3, 0), (2, 1)}
    assert page.head == {"kind": "PodList", "metadata": {"continue": "x"}, "apiVersion": "v1"}


@pytest.mark.parametrize("whole_bytes", [EACH, WHOLE])
@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"items":null}', b'{"items":[],"a":1}', b' { "items" : [ ] } '])
def test_an_empty_list(body: bytes, whole_bytes: int) -> None:
    page = Listing(body, whole_bytes)
    if body == b"[]":
        with pytest.raises(UnreadableError):
            list(page.items())
    else:
        assert list(page.items()) == []


@pytest.mark.parametrize("whole_bytes", [EACH, WHOLE])
@pytest.mark.parametrize(
    "body", [b"<html>", b'{"items":[{}', b'{"items":[{}}', b'{"items" {}}', b'{"items":[] 1}', b""]
)
def test_what_is_no_list_is_said_to_be_none(body: bytes, whole_bytes: int) -> None:
    with pytest.raises(UnreadableError):
        list(Listing(body, whole_bytes).items())


texts = st.text(alphabet='{}[]"\\\n\u00e4\u20ac\U0001f600\ud800a', max_size=8)
values = st.recursive(
    texts | st.none() | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)


@given(st.lists(values, max_size=5), st.integers(0, ORDINARY_DEPTH), st.booleans(), st.booleans())
def test_a_list_that_is_read_at_once_says_what_its_items_say(
    inner: list[Any], levels: int, ascii_only: bool, closed: bool
) -> None:
    for _ in range(levels):
        inner = ["}]\n" if closed else "\\", inner, {}]
    raw = {"items": [{"n": number, "a": each} for number, each in enumerate([*inner, inner])], "metadata": {"b": 1}}
    data = json.dumps(raw, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    each, whole = Listing(data), Listing(data, WHOLE)
    found = list(each.items())
    assert list(whole.items()) == found
    assert whole.head == each.head
    assert not is_ordinary(data) or depth_of(json.loads(data)) <= ORDINARY_DEPTH
    assert depth_of(found) <= MAX_DEPTH


@pytest.mark.parametrize("hidden", ["}]" * 50, "}]\\n", "\\\\", '\\"}]', "\\u0022]}"])
def test_texts_hide_no_depth(hidden: str) -> None:
    deep, shallow = (
        (f'["{hidden}",' * levels + "1" + f',"{hidden}"]' * levels).encode() for levels in (ORDINARY_DEPTH + 1, 30)
    )
    assert not is_ordinary(deep)
    assert is_ordinary(shallow)


def test_an_ordinary_list_is_read_at_once_and_a_strange_one_object_by_object() -> None:
    ordinary = b'{"items":[' + b",".join([b'{"a":"\\"an ordinary text\\n","c":[{"d":{}}]}'] * 200) + b"]}"
    assert is_ordinary(ordinary)
    assert not is_ordinary(b'{"items":["' + b"\\\\" * ORDINARY_ESCAPES + b'"]}')
    assert not is_ordinary(b'{"items":[' + b"[]," * 1_000 + b"1]}")
    assert not is_ordinary(b'{"items":["\\ud800"]}')


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"metadata": None},
        {"metadata": []},
        {"metadata": {"name": "a", "uid": "u"}},
        {"metadata": {"name": 1, "uid": "u", "resourceVersion": "1"}},
        {"metadata": {"name": "a", "uid": "u", "resourceVersion": "1", "namespace": {}}},
    ],
)
def test_what_does_not_say_which_object_it_is(raw: Raw) -> None:
    assert not is_object(raw)
    assert is_object({"metadata": {"name": "a", "uid": "u", "resourceVersion": "1"}})
