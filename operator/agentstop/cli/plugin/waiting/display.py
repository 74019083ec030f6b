"""How it goes, on standard error: a bar and a table on a terminal, plain lines elsewhere."""

import os
import sys
import time
from types import TracebackType
from typing import Final, Protocol, Self

from agentstop.cli.plugin.output import note
from agentstop.cli.plugin.waiting.progress import Progress

LINE_SECONDS: Final = 2.0
"""Plain lines about many tasks come at most this often."""

FEW: Final = 5
"""So many tasks are told of one by one in plain lines."""


class Display(Protocol):
    """Shows how it goes, for as long as it is entered."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End."""

    def update(self, progress: Progress, *, trouble: str | None = None) -> None:
        """Show this now; `trouble` is why nothing new is heard."""


class Lines:
    """Plain lines, one for each change that matters."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], tuple[str, str]] = {}
        self._said: set[str] = set()
        self._line = ""
        self._said_at = 0.0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End."""

    def update(self, progress: Progress, *, trouble: str | None = None) -> None:
        """Say what has changed."""
        for text in (progress.note, trouble and f"the API server does not answer ({trouble}); trying again"):
            if text and text not in self._said:
                self._said.add(text)
                note(text)
        if progress.total is not None and progress.total <= FEW:
            self._each(progress)
        else:
            self._together(progress)

    def _each(self, progress: Progress) -> None:
        for row in progress.rows:
            state = (row.phase, row.detail if row.stalled else "")
            if self._rows.get((row.namespace, row.name)) != state:
                self._rows[row.namespace, row.name] = state
                note(f"{row.name}: {row.phase}" + (f", held up: {row.detail}" if row.stalled else ""))

    def _together(self, progress: Progress) -> None:
        if progress.total is None:
            return
        counts = ", ".join(f"{count} {word}" for word, count in progress.counts.items())
        stalled = f", {progress.stalled} held up" if progress.stalled else ""
        line = f"{progress.done} of {progress.total} done" + (f" ({counts})" if counts else "") + stalled
        now = time.monotonic()
        last = progress.done == progress.total
        if line != self._line and (last or now - self._said_at >= LINE_SECONDS):
            self._line, self._said_at = line, now
            note(line)


def make_display() -> Display:
    """Return the display that fits where standard error goes."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        from agentstop.cli.plugin.waiting.live import Live

        return Live()
    return Lines()
