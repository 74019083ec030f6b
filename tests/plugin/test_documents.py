"""The plugin's page against the plugin."""

import re
from pathlib import Path

import click
import pytest

from agentstop.cli.plugin.app import agentstop
from agentstop.cli.plugin.exit_codes import Exit
from agentstop.cli.plugin.options import ConnectionOption

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/kubectl-plugin.md").read_text()
OPTIONS = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*|-[A-Z]\b", PAGE))


def verbs() -> dict[str, click.Command]:
    context = click.Context(agentstop)
    found: dict[str, click.Command] = {}
    for name in agentstop.list_commands(context):
        command = agentstop.get_command(context, name)
        assert command is not None
        found[name] = command
        if isinstance(command, click.Group):
            found |= {f"{name} {each}": command.commands[each] for each in command.commands}
    return found


@pytest.mark.parametrize(("name", "verb"), verbs().items(), ids=list(verbs()))
def test_every_verb_and_option_is_documented(name: str, verb: click.Command) -> None:
    assert re.search(rf"`{name}\b", PAGE) or f"agentstop {name}" in PAGE
    for option in verb.params:
        if isinstance(option, click.Option):
            assert set(option.opts) <= OPTIONS, option.opts


def test_options_of_the_connection_are_documented() -> None:
    ours = {name for each in agentstop.params if isinstance(each, ConnectionOption) for name in each.opts}
    assert ours <= OPTIONS


def test_exit_codes_are_documented() -> None:
    below = PAGE[PAGE.index("## Exit codes") :]
    cells = re.findall(r"^\| (\d+(?:, \d+)*) \|", below, re.MULTILINE)
    assert {int(code) for cell in cells for code in cell.split(", ")} == {int(code) for code in Exit}


def test_pictures_reach_for_nothing() -> None:
    for path in (ROOT / "docs/images").glob("*.svg"):
        assert not re.search(r"(?:src|href|url\()[^>]*https?://", path.read_text()), path
