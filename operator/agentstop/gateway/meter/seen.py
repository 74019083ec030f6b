"""Remembers what was taken in, so that what is told twice is counted once. Bounded."""

import hashlib
from typing import Final

MAX_SEEN: Final = 100_000
"""So many are remembered, the newest ones: some 20 MB, and ten seconds of the largest flood that is taken."""


class Seen:
    """Identities of what was taken in not long ago."""

    def __init__(self, most: int = MAX_SEEN) -> None:
        self._most = most
        self._known: dict[str, None] = {}

    def __contains__(self, identity: str) -> bool:
        return identity in self._known

    def add(self, identity: str) -> None:
        """Remember one."""
        self._known[identity] = None
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]


def digest(*parts: object) -> str:
    """Return a short text that is the same for the same parts, and for no others."""
    told = "\0".join(map(repr, parts)).encode(errors="surrogatepass")
    return hashlib.blake2b(told, digest_size=10).hexdigest()
