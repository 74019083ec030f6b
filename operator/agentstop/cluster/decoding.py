"""Reads JSON that anybody may have had a hand in: whatever one object holds, it is read, or it alone is not.

Python's own decoder is quick, and gives up a whole document for one object that is nested deep (from about 1,000 levels
on, or 10,000, by the version of Python), for one number of 5,000 digits or for one byte that is no text. Where it gives
up, the document is read again with what made it do so cut out. What is nested deeper than `MAX_DEPTH` is cut always:
nobody who works on the object later has to reckon with it.
"""

import json
import re
from collections.abc import Iterator
from itertools import accumulate
from math import isfinite
from typing import Any, Final

MAX_DEPTH: Final = 100
"""So many levels are read, and what is deeper is empty. A PodSpec has less than 20, and its managed fields a few more;
Python itself follows some 1,000 calls, and whoever goes through an object may need several for one level."""

MAX_DIGITS: Final = 400
"""So long are the numbers that are read; what Kubernetes knows has 64 bits, which are 20 digits."""

CUT_DEPTH: Final = 50
"""Where Python gives up, a branch that goes deeper than `MAX_DEPTH` is cut off here. The distance between the two
keeps it cheap to go to and fro over the bound a million times."""

_WINDOW: Final = 8192
"""So many characters are looked at together: brackets are counted, and followed one by one only where that is not
enough."""

_BLANKS: Final = frozenset(" \t\r\n")
_BRACKET: Final = re.compile(r"[{}\[\]]")
_REST_OF_ESCAPE: Final = re.compile(r"\\*+.?", re.DOTALL)
_NO_BRACKETS: Final = bytes(each for each in range(256) if chr(each) not in "{}[]")
_STEPS: Final = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}

_NO_MARKS: Final = bytes(each for each in range(256) if chr(each) not in '{}[]"\\')

ORDINARY_DEPTH: Final = 60
ORDINARY_ESCAPES: Final = 30_000
ORDINARY_SHARE: Final = 4
"""A list of ordinary objects has at most so many levels and escaped characters, and one bracket among so many bytes. A
list with more is read object by object: to look into it as a whole could take long."""

_PAIR: Final = r"[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_SURROGATE: Final = re.compile(rf"(?<!\\)((?:\\\\)*+)\\u(?:({_PAIR})|[dD][89a-fA-F][0-9a-fA-F]{{2}})")
"""An escaped half of a character, or both halves: with one alone, a text cannot be written anywhere."""


JsonObject = dict[str, Any]


class UnreadableError(ValueError):
    """What came is no JSON; the message says where."""


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if isfinite(number) else None


def _short(digits: str) -> int | None:
    return int(digits) if len(digits) <= MAX_DIGITS else None


_QUICK: Final = json.JSONDecoder(strict=False, parse_float=_finite, parse_constant=lambda _: None)
_PATIENT: Final = json.JSONDecoder(strict=False, parse_float=_finite, parse_constant=lambda _: None, parse_int=_short)


def decode(data: bytes) -> Any:
    """Return what a document says. Raises UnreadableError where it is none."""
    text = data.decode(errors="replace")
    value, end = decode_at(text, _blank(text, 0))
    if _blank(text, end) != len(text):
        raise UnreadableError(f"something follows the end of the document at character {end}")
    return value


class Listing:
    """A list of objects, of which one at a time is read where it is large: they may be many times what their text is.

    A list of at most `whole_bytes`, in which nothing is out of the ordinary, is read at once. That takes half the time:
    the decoder makes each field's name once for all objects.
    """

    def __init__(self, data: bytes, whole_bytes: int = 0) -> None:
        self._text = data.decode(errors="replace")
        self._whole = len(data) <= whole_bytes and is_ordinary(data)
        self.size = len(data)
        """In bytes."""
        self.head: JsonObject = {}
        """What else the list says; complete once all items were gone through, since it may stand after them."""
        self.unread = 0
        """How many items could not be read."""
        self.item_size = 0
        """How many characters the item has that was read last, where it was read alone."""

    def items(self) -> Iterator[JsonObject]:
        """Yield the objects. Raises UnreadableError where it is no list."""
        whole = self._read_whole() if self._whole else None
        if whole is None:
            yield from self._read_each()
            return
        items = whole.pop("items", None) or ()
        self.head = whole
        for item in items:
            if isinstance(item, dict):
                yield item
            else:
                self.unread += 1

    def _read_whole(self) -> JsonObject | None:
        """Return the list, or None where something in it keeps it from being read at once."""
        try:
            value = _QUICK.decode(self._text)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) and isinstance(value.get("items", []), list | None) else None

    def _read_each(self) -> Iterator[JsonObject]:
        text, here = self._text, self._after(0, "{")
        while not text.startswith("}", here):
            name, here = decode_key(text, here)
            here = self._after(here, ":")
            if name == "items" and text.startswith("[", here):
                here = _blank(text, here + 1)
                while not text.startswith("]", here):
                    start = here
                    try:
                        item, here = decode_at(text, here)
                    except UnreadableError:
                        item, (_, here) = None, _shallow(text, here)
                    self.item_size = here - start
                    if isinstance(item, dict):
                        yield item
                    else:
                        self.unread += 1
                    here = self._next(here, "]")
                here = self._next(here + 1, "}")
            else:
                self.head[name], here = decode_at(text, here)
                here = self._next(here, "}")

    def _after(self, start: int, mark: str) -> int:
        """Return where something begins after a mark."""
        here = _blank(self._text, start)
        if not self._text.startswith(mark, here):
            raise UnreadableError(f"no list: no {mark} at character {here}")
        return _blank(self._text, here + 1)

    def _next(self, start: int, end: str) -> int:
        """Return where the next one begins, or where the end is."""
        here = _blank(self._text, start)
        return here if self._text.startswith(end, here) else self._after(here, ",")


def is_ordinary(data: bytes) -> bool:
    """Whether a document has few levels, and no half of a character: Python's own decoder reads it as it is.

    Only brackets and quotes are looked at, then only the brackets that are in no text; from those, the innermost pairs
    are taken away level by level.
    """
    pieces = data.split(b"\\", ORDINARY_ESCAPES)
    escaped = {piece[:1] for piece in pieces[1:]}
    if len(pieces) > ORDINARY_ESCAPES or (b"u" in escaped and (b"\\ud" in data or b"\\uD" in data)):
        return False
    if escaped <= {b'"'}:
        marks = data.translate(None, _NO_MARKS).replace(b'\\"', b"")
    else:
        marks = data.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NO_MARKS + b"\\")
    brackets = b"".join(marks.replace(b'""', b"").split(b'"')[::2])
    if len(brackets) * ORDINARY_SHARE > len(data):
        return False
    for _ in range(ORDINARY_DEPTH // 2):  # each time one level goes, or two
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if not brackets:
            return True
    return False


def is_object(raw: JsonObject) -> bool:
    """Whether it says which object it is, and at which version."""
    metadata = raw.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("namespace", ""), str):
        return False
    return all(isinstance(metadata.get(each), str) for each in ("name", "uid", "resourceVersion"))


def decode_key(text: str, start: int) -> tuple[str, int]:
    """Return a name in an object, and where it ends."""
    if not text.startswith('"', start):
        raise UnreadableError(f"no name at character {start}")
    return decode_at(text, start)


def decode_at(text: str, start: int) -> tuple[Any, int]:
    """Return the value that begins there, and where it ends. Raises UnreadableError where there is none."""
    try:
        value, end = _QUICK.raw_decode(text, start)
    except (ValueError, RecursionError):
        return _decode_with_care(text, start)
    if text.find("\\ud", start, end) >= 0 or text.find("\\uD", start, end) >= 0:
        value = _QUICK.decode(_whole_characters(text[start:end]))
    if _levels_at_most(text, start, end) > MAX_DEPTH:
        _cut(value)
    return value, end


def _levels_at_most(text: str, start: int, end: int) -> int:
    """Return what the depth is not above: a level more takes a bracket that is not closed at once.

    Managed fields are full of those that are. Where such a pair stands in a text, it counts for nothing, either.
    """
    opened = text.count("{", start, end) + text.count("[", start, end)
    return opened - text.count("{}", start, end) - text.count("[]", start, end) + 1


def _decode_with_care(text: str, start: int) -> tuple[Any, int]:
    shallow, end = _shallow(text, start)
    try:
        return _PATIENT.decode(_whole_characters(shallow)), end
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"no JSON: {error}") from None


def _whole_characters(text: str) -> str:
    return _SURROGATE.sub(lambda found: found[0] if found[2] else rf"{found[1]}\ufffd", text)


def _cut(value: Any) -> None:
    """Empty what is deeper than we go."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH - 1):
        level = [
            inner
            for each in level
            for inner in (each.values() if type(each) is dict else each)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return
    for each in level:
        each.clear()


def _shallow(text: str, start: int) -> tuple[str, int]:
    """Return the text of the value that begins there without what is too deep, and where the value ends.

    All else waits meanwhile, and it may be a million brackets: so whoever can count does it for us.
    """
    cutter = _Cutter(text, start)
    depth, here, in_text = 0, start, False
    while here < len(text):
        window_end = min(here + _WINDOW, len(text))
        if text[window_end - 1] == "\\":
            window_end = _REST_OF_ESCAPE.match(text, window_end).end()  # type: ignore[union-attr]  # it always matches
        # Without escapes, what is between two quotes is in a text every other time, whatever it holds.
        parts = text[here:window_end].replace("\\\\", "__").replace('\\"', "__").split('"')
        outside = "".join(parts[in_text::2])
        opened = outside.count("{") + outside.count("[")
        closed = outside.count("}") + outside.count("]")
        if cutter.may_cross(depth - closed, depth + opened):
            marks = outside.encode("ascii", "replace").translate(None, _NO_BRACKETS)
            depths = list(accumulate(map(_STEPS.__getitem__, marks), initial=depth))
            if cutter.may_cross(min(depths[1:], default=depth), max(depths)) and cutter.follow(
                depths, _places(parts, here, in_text=in_text)
            ):
                return "".join(cutter.kept), cutter.kept_from
        depth += opened - closed
        in_text ^= len(parts) % 2 == 0
        here = window_end
    raise UnreadableError(f"what begins at character {start} has no end")


def _places(parts: list[str], here: int, *, in_text: bool) -> list[int]:
    """Return where the brackets are that are in no text; `in_text` is whether the first part is in one."""
    places: list[int] = []
    for number, part in enumerate(parts):
        if number % 2 == in_text and part:
            places += [here + bracket.start() for bracket in _BRACKET.finditer(part)]
        here += len(part) + 1
    return places


class _Cutter:
    """Leaves out the branches that are too deep."""

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._branch = start
        """Where the branch began that goes deeper than `CUT_DEPTH` now."""
        self._cutting = False
        self.kept: list[str] = []
        self.kept_from = start

    def may_cross(self, least: int, most: int) -> bool:
        """Whether anything begins or ends where the depth stays between these two."""
        below = least > 0 and most <= CUT_DEPTH
        within = least > CUT_DEPTH and (self._cutting or most <= MAX_DEPTH)
        return not (below or within)

    def follow(self, depths: list[int], places: list[int]) -> bool:
        """Go on, by how deep it is before each bracket and after the last one; return whether the value has ended."""
        at, last = 0, len(depths)
        end = _index(depths, 0, 1, last)
        while True:
            if depths[at] <= CUT_DEPTH:
                at = _index(depths, CUT_DEPTH + 1, at + 1, last)
                if end < at:
                    self.kept.append(self._text[self.kept_from : places[end - 1] + 1])
                    self.kept_from = places[end - 1] + 1
                    return True
                if at == last:
                    return False
                self._branch = places[at - 1]
            back = _index(depths, CUT_DEPTH, at + 1, last)
            if not self._cutting and max(depths[at:back]) > MAX_DEPTH:
                self._cutting = True
                self.kept.append(self._text[self.kept_from : self._branch])
            if back == last:
                return False
            if self._cutting:
                self._cutting = False
                self.kept.append("null")
                self.kept_from = places[back - 1] + 1
            at = back


def _index(depths: list[int], depth: int, start: int, end: int) -> int:
    """Return where this depth is reached, or the end."""
    try:
        return depths.index(depth, start, end)
    except ValueError:
        return end


def _blank(text: str, start: int) -> int:
    while text[start : start + 1] in _BLANKS:
        start += 1
    return start
