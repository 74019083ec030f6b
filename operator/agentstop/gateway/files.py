"""Files that are read anew when they change, as what is mounted from a Secret does."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from agentstop.gateway.problems import why_unread

log = logging.getLogger(__name__)

T = TypeVar("T")

Fingerprint = tuple[int, int, int, int]


def fingerprint(path: Path) -> Fingerprint | None:
    """Return what changes when a file is written or replaced; None where there is none that can be read."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


class WatchedFile(Generic[T]):
    """What a file says at the moment that it is asked.

    It is looked at each time, which takes a few microseconds: what was taken out of it counts no more at once. One that
    cannot be read leaves what it said before: a slip of the pen must not lock out everybody who may have to stop
    something.
    """

    def __init__(self, path: Path, read: Callable[[str], T], nothing: T | None) -> None:
        """`nothing` is what a file says that is gone; None has what it said before count, and wants one to begin with.

        `read` raises ValueError for a text that it cannot read. So does this, for the one that is there, and OSError
        where it needs one.
        """
        self._path = path
        self._read = read
        self._nothing = nothing
        self._seen = fingerprint(path)
        self._value = nothing if nothing is not None and self._seen is None else read(path.read_text(encoding="utf-8"))
        self.problem: str | None = None
        """Why the newest state of the file does not count, if so."""

    def current(self) -> T:
        """Return what the file says."""
        now = fingerprint(self._path)
        if now == self._seen:
            return self._value
        self._seen = now
        if now is None and self._nothing is not None:
            log.warning("%s is gone", self._path)
            self._value, self.problem = self._nothing, None
            return self._value
        try:
            self._value = self._read(self._path.read_text(encoding="utf-8"))
            self.problem = None
            log.info("%s has changed and was read anew", self._path)
        except (OSError, ValueError) as error:
            self.problem = f"{self._path} cannot be read, and what it said before still counts: {why_unread(error)}"
            log.error("%s", self.problem)
        return self._value
