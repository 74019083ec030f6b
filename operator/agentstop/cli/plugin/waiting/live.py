"""The live view: a bar, and a table of what still runs."""

import time
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from agentstop.cli.plugin.output import COLOURS
from agentstop.cli.plugin.waiting.progress import Progress, Row
from agentstop.words.durations import spell
from agentstop.words.tasks import clean

FRAMES_A_SECOND: Final = 8
ROWS: Final = 10
BAR_WIDTH: Final = 40


class Live:
    """Redraws itself in place until it ends, and leaves nothing behind: the result is printed after it."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._live = RichLive(
            console=self._console, refresh_per_second=FRAMES_A_SECOND, transient=True, redirect_stdout=False
        )
        self._spinner = Spinner("dots")
        self._since = time.monotonic()

    def __enter__(self) -> Self:
        """Begin."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End."""
        self._live.stop()

    def update(self, progress: Progress, *, trouble: str | None = None) -> None:
        """Show this now."""
        room = max(min(ROWS, self._console.size.height - 8), 1)
        self._live.update(render(progress, self._spinner, time.monotonic() - self._since, room, trouble))


def render(progress: Progress, spinner: Any, seconds: float, room: int, trouble: str | None = None) -> Group:
    """Return the view: the bar, the counts, at most `room` rows, and what else to know."""
    head = Table.grid(padding=(0, 1))
    numbers = "" if progress.total is None else f"{progress.done}/{progress.total}"
    bar = ProgressBar(
        total=progress.total or None,
        completed=progress.done,
        width=BAR_WIDTH,
        pulse=progress.total is None,
        complete_style="cyan",
        finished_style="green",
    )
    head.add_row(spinner, Text(progress.verb, "bold"), bar, Text(numbers, "bold"), Text(spell(seconds), "dim"))
    parts: list[Any] = [head]
    counts = Text("  ")
    for word, count in progress.counts.items():
        counts.append(f"{clean(word)} ", COLOURS.get(word, ""))
        counts.append(f"{count}   ", "bold")
    if progress.stalled:
        counts.append("Held up ", "red")
        counts.append(f"{progress.stalled}", "bold red")
    if counts.plain.strip():
        parts.append(counts)
    if progress.rows:
        parts += [Text(), _table(progress.rows[:room])]
        left = (progress.total or len(progress.rows)) - progress.done
        shown = min(room, len(progress.rows))
        if left > shown:
            parts.append(Text(f"  ... and {left - shown} more", "dim"))
    if progress.note:
        parts.append(Text(f"  {clean(progress.note)}", "yellow"))
    if trouble:
        parts.append(Text(f"  the API server does not answer ({clean(trouble)}); trying again", "yellow"))
    return Group(*parts)


def _table(rows: tuple[Row, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    several = len({row.namespace for row in rows}) > 1
    for name in (["  NAMESPACE", "NAME"] if several else ["  NAME"]) + ["PHASE", ""]:
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for row in rows:
        names = [Text(f"  {clean(row.namespace)}")] if several else []
        names.append(Text(("" if several else "  ") + clean(row.name)))
        phase = Text(clean(row.phase), COLOURS.get(row.phase, ""))
        table.add_row(*names, phase, Text(clean(row.detail), "red" if row.stalled else "dim"))
    return table
