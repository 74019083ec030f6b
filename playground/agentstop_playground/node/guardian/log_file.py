"""Writing a container's output, with times, as container log files have it."""

import sys
import time
from pathlib import Path

MAX_LINE = 16 * 1024
"""Bytes of one log record; a longer line is split into partial records, as in the CRI log format."""
LARGEST_LOG = 10 * 1024 * 1024
"""Bytes after which a log file is put aside (one older file is kept); the kubelet's containerLogMaxSize."""


def timestamp(seconds: float) -> bytes:
    """RFC 3339 in UTC with nanosecond digits, as container log files have it."""
    whole = int(seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)).encode() + b".%09dZ" % int((seconds - whole) * 1e9)


class LogFile:
    """Appends output as records ``TIME F text`` (a full line) or ``TIME P text`` (a part without its line end)."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take output in the order in which it came."""
        stamp = timestamp(time.time())
        *lines, self._rest = (self._rest + data).split(b"\n")
        records: list[bytes] = []
        for line in lines:
            while len(line) > MAX_LINE:
                records.append(stamp + b" P " + line[:MAX_LINE] + b"\n")
                line = line[MAX_LINE:]
            records.append(stamp + b" F " + line + b"\n")
        while len(self._rest) > MAX_LINE:
            records.append(stamp + b" P " + self._rest[:MAX_LINE] + b"\n")
            self._rest = self._rest[MAX_LINE:]
        self._append(records)

    def finish(self) -> None:
        """Write what is left of a last line that had no line end."""
        if self._rest:
            self._append([timestamp(time.time()) + b" P " + self._rest + b"\n"])
            self._rest = b""

    def _append(self, records: list[bytes]) -> None:
        if not records:
            return
        try:
            with open(self._path, "ab") as file:  # noqa: PTH123 - this runs for every write of every container
                file.write(b"".join(records))
                size = file.tell()
            if size > LARGEST_LOG:
                Path(self._path).replace(self._path + ".1")
        except OSError as error:
            # A full disk must not end the containers, and there is nowhere else to say it.
            print(f"agentstop guardian: cannot write {self._path}: {error.strerror}", file=sys.stderr)
