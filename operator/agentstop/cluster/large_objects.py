"""Events of large objects: recognized without being read, and read when there is time.

To read an object of 1.5 MB may take 0.1 s, in which nothing else happens. Whoever changes such objects of his some ten
times a second would leave no time for the stops of others. So an event of a large object counts only as a hint that it
has changed; it is then read live, once for all events meanwhile. The namespaces take turns, and in each of them what is
to end comes first.
"""

import asyncio
import re
from typing import Final, NamedTuple

HEAVY_BYTES: Final = 128 * 1024
"""From this size on. To read less takes some milliseconds at most."""

SHARE: Final = 0.2
MAX_PAUSE_SECONDS: Final = 2.0
"""So much of the time goes into reading large objects, and how long a pause after one is at most."""

_TYPED: Final = re.compile(
    rb'\{"type":"(?:ADDED|MODIFIED|DELETED)","object":\{"kind":"\w+","apiVersion":"[\w./]+","metadata":\{'
    rb'"name":"([^"\\]+)",(?:"generateName":"[^"\\]*",)?"namespace":"([^"\\]+)",(?:"selfLink":"[^"\\]*",)?'
    rb'"uid":"[^"\\]+","resourceVersion":"(\d+)"'
)
"""How the API server writes what it knows itself: name, namespace and version come first."""

_CUSTOM: Final = re.compile(rb'\{"type":"(?:ADDED|MODIFIED|DELETED)","object":\{"apiVersion":"')
_NAME: Final = re.compile(rb'[\]}0-9],"name":"([^"\\]+)","namespace":"([^"\\]+)",')
_VERSION: Final = re.compile(rb'"resourceVersion":"(\d+)"')
"""How it writes custom objects, by the alphabet: labels and managed fields, which end with a bracket, or the
generation come before the name. No text can look like that, since quotes in it are escaped."""

_BEFORE_NAME: Final = b',"name":"'

_ENDING: Final = (b'"stopRequested":true', b'"deletionTimestamp":"')
"""What the event of an object has that is to end. In a text, there would be backslashes before the quotes; a label of
that name gets an object its turn sooner, and no more."""


class NamespacedName(NamedTuple):
    """What an object is called."""

    namespace: str
    name: str


class Hint(NamedTuple):
    """What is said by the event of a large object."""

    name: NamespacedName
    version: str
    ending: bool
    """Whether somebody wants the object to end."""


def hint_of(line: bytes) -> Hint | None:
    """Return which object an event is about; None where that is not certain without reading all of it."""
    found = _TYPED.match(line)
    if found is not None:
        return Hint(NamespacedName(found[2].decode(), found[1].decode()), found[3].decode(), _is_to_end(line))
    if not _CUSTOM.match(line):
        return None
    names: list[re.Match[bytes]] = []
    at = line.find(_BEFORE_NAME)
    while at >= 0:
        named = _NAME.match(line, at - 1)
        if named is not None:
            names.append(named)
        at = line.find(_BEFORE_NAME, at + 1)
    if len(names) != 1:
        return None
    version = _VERSION.search(line, names[0].end())
    if version is None:
        return None
    return Hint(NamespacedName(names[0][2].decode(), names[0][1].decode()), version[1].decode(), _is_to_end(line))


def _is_to_end(line: bytes) -> bool:
    return any(each in line for each in _ENDING)


class FairQueue:
    """Names that wait for their turn: each once, and one of each namespace at a time."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[NamespacedName, bool]] = {}
        """Of each namespace the names, and whether these are to end."""
        self._some = asyncio.Event()

    def add(self, name: NamespacedName, *, ending: bool) -> None:
        """Put a name last among those of its namespace, or of these that are to end, unless it waits there already."""
        names = self._waiting.setdefault(name.namespace, {})
        names[name] = names.get(name, False) or ending
        self._some.set()

    async def next(self) -> tuple[NamespacedName, bool]:
        """Wait for a name, and take it; return whether it is to end, too."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        namespace = next(iter(self._waiting))
        names = self._waiting.pop(namespace)
        name = next((each for each, ending in names.items() if ending), next(iter(names)))
        ending = names.pop(name)
        if names:
            self._waiting[namespace] = names
        return name, ending


def pause_after(seconds: float) -> float:
    """Return for how long to do nothing of the kind after so many seconds of it."""
    return min(MAX_PAUSE_SECONDS, seconds * (1 / SHARE - 1))
