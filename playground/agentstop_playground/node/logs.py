"""Reading the log files that the guardian writes.

A record is ``TIME F text`` for a full line and ``TIME P text`` for a part without its line end.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from agentstop_playground import times

BLOCK = 64 * 1024


@dataclass(frozen=True)
class LogOptions:
    """What to read (``v1.PodLogOptions``)."""

    tail_lines: int | None = None
    since: datetime | None = None
    limit_bytes: int | None = None
    timestamps: bool = False
    follow: bool = False


def render(record: bytes, options: LogOptions) -> bytes:
    """One record as ``kubectl logs`` prints it; empty if it is older than what was asked for."""
    stamp, _, rest = record.partition(b" ")
    tag, _, text = rest.partition(b" ")
    # Our timestamps have nine digits; datetime reads six.
    if options.since is not None:
        time = times.parse(stamp[:26].decode(errors="replace") + "Z")
        if time is None or time < options.since:
            return b""
    end = b"\n" if tag == b"F" else b""
    return (stamp + b" " if options.timestamps else b"") + text + end


class LogReader:
    """Reads one attempt's records, the older file first, and goes on where it stopped."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._inode = 0
        self._rest = b""

    def start(self, tail_lines: int | None) -> Iterator[bytes]:
        """All records that there are, or the last ones."""
        older = self._path.with_name(self._path.name + ".1")
        files = [file for file in (older, self._path) if file.exists()]
        if tail_lines is not None:
            data = _tail(files, tail_lines)
            if self._path.exists():
                self._mark_end()
            yield from data
            return
        if older.exists():
            yield from _records(older)
        yield from self.more()

    def more(self) -> Iterator[bytes]:
        """Records that came since the last call."""
        older = self._path.with_name(self._path.name + ".1")
        for path in (older, self._path):
            try:
                with path.open("rb") as file:
                    inode = os.fstat(file.fileno()).st_ino
                    if path == older and inode != self._inode:
                        # Put aside before we began; only the file that we were reading is finished here.
                        continue
                    if inode != self._inode:
                        self._inode, self._offset, self._rest = inode, 0, b""
                    yield from self._rest_of(file)
            except FileNotFoundError:
                continue

    def _rest_of(self, file: BinaryIO) -> Iterator[bytes]:
        file.seek(self._offset)
        while data := file.read(BLOCK):
            self._offset += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            yield from lines

    def _mark_end(self) -> None:
        status = self._path.stat()
        self._inode = status.st_ino
        self._offset = status.st_size


def _records(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\n")


def _tail(files: list[Path], count: int) -> list[bytes]:
    """The last full records, read from the end block by block."""
    if count <= 0:
        return []
    found: list[bytes] = []
    for path in reversed(files):
        found = _tail_of_file(path, count - len(found)) + found
        if len(found) >= count:
            break
    return found


def _tail_of_file(path: Path, count: int) -> list[bytes]:
    with path.open("rb") as file:
        position = file.seek(0, 2)
        data = b""
        while position > 0 and data.count(b"\n") <= count:
            size = min(BLOCK, position)
            position -= size
            file.seek(position)
            data = file.read(size) + data
    return data.splitlines()[-count:]
