"""What the demo shows: colours on a terminal, plain lines elsewhere."""

import os
import shlex
import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH: Final = 100
COMMAND_WIDTH: Final = 72
"""Longer commands are continued on the next line, so that they fit into 80 columns with what stands around them."""

PHASE_STYLES: Final = {
    "Pending": "dim",
    "Running": "cyan",
    "Pausing": "yellow",
    "Paused": "bold blue",
    "Stopping": "yellow",
    "Stopped": "bold green",
    "Completed": "bold green",
    "Failed": "bold red",
}

NAME_WIDTH: Final = 10


def command_line(words: Sequence[str]) -> str:
    """Write a command so that it can be pasted into a shell, on as many lines as it takes."""
    parts: list[str] = []
    for word in words:
        quoted = shlex.quote(word)
        if parts and not word.startswith("-"):
            parts[-1] += f" {quoted}"
        else:
            parts.append(quoted)
    lines = parts[:1]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) < COMMAND_WIDTH:
            lines[-1] += f" {part}"
        else:
            lines.append(part)
    return " \\\n      ".join(lines)


class _Console(Console):
    """A console that falls silent when nobody listens any more: the clean-up is still to be done."""

    def on_broken_pipe(self) -> None:
        """Print nothing from now on."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Display:
    """Prints what happens, with the seconds since it was made."""

    def __init__(self) -> None:
        self._plain = plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
        self._console = (
            _Console(color_system=None, force_terminal=False, width=PLAIN_WIDTH, highlight=False)
            if plain
            else _Console(highlight=False)
        )
        unicode = (self._console.encoding or "").lower().startswith("utf")
        self._arrow, self._tick, self._cross = ("→", "✓", "✗") if unicode else ("->", "ok", "!!")
        self._box = (box.ROUNDED if not plain else box.SIMPLE_HEAD) if unicode else box.ASCII
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._began

    def heading(self, text: str) -> None:
        """Begin a new part."""
        self._line(Text())
        self._line(Text(text, "bold"))

    def say(self, text: str) -> None:
        """Say something in passing."""
        self._line(Text(f"  {text}", "dim"))

    def command(self, words: Sequence[str], *, prefix: str = "") -> None:
        """Show the command of the step that comes now."""
        self._line(Text.assemble(("  $ ", "dim"), (prefix + command_line(words), "bold bright_blue")))

    def output(self, text: str, *, failed: bool = False) -> None:
        """Show what a command said."""
        for line in text.strip().splitlines():
            indented = f"    {line}"
            if not self._plain:
                indented = textwrap.fill(indented, self._console.width - 1, subsequent_indent="    ")
            self._line(Text(indented, "red" if failed else ""))

    def change(self, name: str, before: str | None, after: str, note: str) -> None:
        """Show that a task went from one phase to another."""
        text = Text.assemble((f"  {self.seconds:5.1f} s  ", "dim"), (f"{name:<{NAME_WIDTH}}  ", "bold"))
        if before is not None:
            text.append(before, PHASE_STYLES.get(before, "")).append(f" {self._arrow} ")
        text.append(after, PHASE_STYLES.get(after, ""))
        if note:
            text.append(f"  {note}", "dim")
        self._line(text)

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Show the table at the end."""
        table = Table(*header, box=self._box, header_style="bold")
        for row in rows:
            table.add_row(*(Text(cell, PHASE_STYLES.get(cell, "")) for cell in row))
        self._console.print(table)

    def success(self, text: str) -> None:
        """Say that all is well."""
        self._line(Text(f"{self._tick} {text}", "bold green"))

    def problem(self, text: str) -> None:
        """Say what is not as it should be."""
        self._line(Text(f"{self._cross} {text}", "bold red"))

    def _line(self, text: Text) -> None:
        # Lines are left whole: one that is broken for its length cannot be pasted.
        self._console.print(text, soft_wrap=True)
