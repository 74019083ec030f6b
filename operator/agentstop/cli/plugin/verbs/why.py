"""`agentstop why`: in plain words."""

from collections.abc import Iterator
from typing import Any

import click

from agentstop.cli.plugin.command import Verb
from agentstop.cli.plugin.exit_codes import Exit
from agentstop.cli.plugin.names import TASK
from agentstop.cli.plugin.options import connection_options, output_option, task_argument
from agentstop.cli.plugin.output import print_data
from agentstop.cli.plugin.session import Session
from agentstop.cli.plugin.story import events_of
from agentstop.words.durations import now
from agentstop.words.reasons import Answer, answer
from agentstop.words.tasks import clean


@click.command(cls=Verb, short_help="say in plain words why a task stopped, or what holds it up")
@task_argument
@output_option("json", "yaml")
@connection_options
@click.pass_obj
def why(session: Session, name: str, output: str | None) -> int:
    """Says in plain words why a task stopped, who did it and what proves it; or what holds it up, and what to do."""
    task = session.find(TASK, name)
    found = answer(task, events_of(session.api, task), now())
    if output is not None:
        print_data({"namespace": session.namespace, "name": name, **found.data()}, output)
    else:
        from agentstop.cli.plugin.verbs.get import console

        for line in why_lines(found):
            console().print(line)
    return Exit.OK


def why_lines(found: Answer) -> Iterator[Any]:
    """Return the answer as rich text."""
    from rich.padding import Padding
    from rich.text import Text

    yield Text(clean(found.headline), "bold")
    for fact in found.facts:
        yield Padding(Text(clean(fact)), (0, 0, 0, 2), expand=False)
    for title, lines, style in (
        ("What proves it" if found.phase == "Stopped" else "What is known of its containers", found.proof, "green"),
        ("What it leaves behind", found.remains, "yellow"),
        ("What holds it up", (found.held_up,) if found.held_up else (), "red"),
        ("What to do", found.advice, "yellow"),
    ):
        if lines:
            yield Text(f"\n{title}", style)
            for line in lines:
                yield Padding(Text(clean(line)), (0, 0, 0, 2), expand=False)
