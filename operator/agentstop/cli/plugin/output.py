"""What goes to standard output: JSON, YAML, names, and tables."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

import click

from agentstop.cli.plugin.session import colourful
from agentstop.words.tasks import Object, clean

COLOURS: Final = {
    "Running": "green",
    "Pending": "yellow",
    "Pausing": "yellow",
    "Paused": "yellow",
    "Freezing": "yellow",
    "Frozen": "yellow",
    "Thawing": "yellow",
    "Stopping": "magenta",
    "Stopped": "cyan",
    "Completed": "blue",
    "Failed": "red",
    "Stalled": "red",
    "Graceful": "green",
    "Killed": "yellow",
    "Unverified": "red",
    "Holding": "magenta",
}
"""Colours of words that mean something everywhere."""


def say(text: str = "") -> None:
    """Print a line of a result."""
    click.echo(text)


def note(text: str) -> None:
    """Print a line about how it goes, beside the result."""
    click.echo(clean(text), err=True)


def paint(text: str, colour: str | None, *, bold: bool = False, stream: Any = None) -> str:
    """Return text in a colour, where the terminal shows one."""
    shown = colourful(stream or sys.stdout)
    return click.style(text, fg=colour, bold=bold or None) if shown and (colour or bold) else text


def print_objects(items: Sequence[Object], output: str, *, single: bool = False) -> None:
    """Print objects as the API server has them: json, yaml or name. A `single` one is not wrapped in a List."""
    if output == "name":
        for item in items:
            say(clean(f"{item['kind'].lower()}.agentstop.dev/{item['metadata']['name']}"))
        return
    whole: Any = items[0] if single else {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": list(items)}
    print_data(whole, output)


def print_data(data: Any, output: str) -> None:
    """Print anything as json or yaml."""
    if output == "json":
        say(json.dumps(data, indent=2))
    else:
        import yaml

        say(yaml.safe_dump(data, sort_keys=False, width=110).rstrip())


def table_lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table as kubectl prints it: aligned, not cut, coloured on a terminal only."""
    cleaned = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cleaned, strict=True)]
    lines = ["   ".join(name.ljust(width) for name, width in zip(head, widths, strict=True)).rstrip()]
    for row in cleaned:
        # Padded before they are painted: colours have no width.
        cells = [
            paint(cell.ljust(width), COLOURS.get(cell.partition(",")[0]))
            for cell, width in zip(row, widths, strict=True)
        ]
        lines.append("   ".join(cells).rstrip())
    return lines
