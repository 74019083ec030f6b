"""Events of large objects: recognized without being read, and read when there is time.

To read an object of 1.5 MB may take 0.1 s, in which nothing else happens. Whoever changes such objects of his some ten
times a second would leave no time for the stops of others. So an event of a large object counts only as a hint that it
has changed; it is then read live, once for all events meanwhile, the namespaces taking turns.
"""

import asyncio
import re
from typing import Final, NamedTuple

HEAVY_BYTES: Final = 128 * 1024
"""From this size on. To read less takes some milliseconds at most."""

SHARE: Final = 0.2
MOST_PAUSE_SECONDS: Final = 2.0
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


class Name(NamedTuple):
    """What an object is called."""

    namespace: str
    name: str


class Hint(NamedTuple):
    """What is said by the event of a large object."""

    name: Name
    version: str


def hint_of(line: bytes) -> Hint | None:
    """Return which object an event is about; None where that is not certain without reading all of it."""
    found = _TYPED.match(line)
    if found is not None:
        return Hint(Name(found[2].decode(), found[1].decode()), found[3].decode())
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
    return Hint(Name(names[0][2].decode(), names[0][1].decode()), version[1].decode())


class Turns:
    """Names that wait for their turn: each once, and one of each namespace at a time."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[Name, None]] = {}
        self._some = asyncio.Event()

    def add(self, name: Name) -> None:
        """Put a name last among those of its namespace, unless it waits already."""
        self._waiting.setdefault(name.namespace, {}).setdefault(name)
        self._some.set()

    async def next(self) -> Name:
        """Wait for a name, and take it."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        namespace = next(iter(self._waiting))
        names = self._waiting.pop(namespace)
        name = next(iter(names))
        del names[name]
        if names:
            self._waiting[namespace] = names
        return name


def pause_after(seconds: float) -> float:
    """Return for how long to do nothing of the kind after so many seconds of it."""
    return min(MOST_PAUSE_SECONDS, seconds * (1 / SHARE - 1))
