"""Slows down who tries keys and tokens that are none."""

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from math import ceil
from typing import Final, NamedTuple

FREE: Final = 5
"""So many wrong ones an address may send without a pause: people make mistakes."""

MAX_PAUSE_SECONDS: Final = 60.0
FORGET_SECONDS: Final = 300.0
"""After so long without a wrong one, nothing is known against an address any more."""

MAX_ADDRESSES: Final = 10_000
"""So many addresses are remembered, the newest ones."""


class _Record(NamedTuple):
    wrong: int
    at: float
    until: float


class Throttle:
    """How long an address has to wait until an unknown credential of its is looked at again.

    Whoever has a right key is not held up: many callers may come by one address, and one of them may have to stop
    something now. A key of 32 random bytes cannot be guessed, at whatever pace; this spares the API server, which is
    asked about each token that nobody knows.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def seconds_left(self, address: str) -> int:
        """Return the whole seconds that an address has to wait; 0 for none."""
        record = self._records.get(_source(address))
        return max(0, ceil(record.until - self._clock())) if record is not None else 0

    def wrong(self, address: str) -> None:
        """Take in that an address sent what is no key and no token."""
        source, now = _source(address), self._clock()
        record = self._records.pop(source, None)
        count = record.wrong + 1 if record is not None and now - record.at < FORGET_SECONDS else 1
        pause = min(MAX_PAUSE_SECONDS, 2.0 ** min(count - FREE, 16)) if count > FREE else 0.0
        self._records[source] = _Record(count, now, now + pause)
        if len(self._records) > MAX_ADDRESSES:
            self._records.popitem(last=False)


def _source(address: str) -> str:
    """Return what counts as one sender: of IPv6, a network of 64 bits, since one machine has all of its addresses."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(int(found) >> 64) if isinstance(found, IPv6Address) and found.ipv4_mapped is None else str(found)
