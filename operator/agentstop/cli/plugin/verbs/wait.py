"""`agentstop wait`: for the end of tasks, or for another state."""

from typing import Final

import click

from agentstop.cli.plugin.command import Verb
from agentstop.cli.plugin.exit_codes import Exit
from agentstop.cli.plugin.following import follow_tasks
from agentstop.cli.plugin.names import TASK
from agentstop.cli.plugin.options import Duration, connection_options, output_option, selection_options
from agentstop.cli.plugin.selecting import Selection
from agentstop.cli.plugin.session import Session
from agentstop.cli.plugin.waiting.aims import (
    TaskAim,
    ended,
    keys_of,
    missed_pause,
    missed_resume,
    missed_stopped,
    never_missed,
    phase_is,
    resumed,
)
from agentstop.words.durations import now
from agentstop.words.tasks import Object

STATES: Final = {
    "ended": ("Ending", ended, never_missed),
    "stopped": ("Stopping", phase_is("Stopped"), missed_stopped),
    "paused": ("Pausing", phase_is("Paused"), missed_pause),
    "running": ("Starting", resumed, missed_resume),
}


@click.command(cls=Verb, short_help="wait until tasks have ended")
@selection_options
@click.option(
    "--for", "state", type=click.Choice(list(STATES)), default="ended", show_default=True, help="Wait for this state."
)
@click.option("--timeout", type=Duration(), metavar="TIME", help="Give up after this time.")
@output_option("json", "yaml", "name")
@connection_options
@click.pass_obj
def wait(
    session: Session,
    names: tuple[str, ...],
    labels: str | None,
    agents: tuple[str, ...],
    everything: bool,
    all_namespaces: bool,
    state: str,
    timeout: float | None,
    output: str | None,
) -> int:
    """Waits until tasks have ended, however they end, or for another state.

    It asks nothing of them. Tasks that come later do not count.
    """
    selection = Selection(tuple(dict.fromkeys(names)), labels, agents, everything, all_namespaces)
    selection.check()
    verb, there, missed = STATES[state]
    if selection.names:
        tasks = [session.find(TASK, name) for name in selection.names]
    else:
        tasks = [each for each in _listed(session, selection) if selection.matches(each)]
    if not tasks:
        click.echo(f"there are no {selection.words(session.namespace)}", err=True)
        return Exit.OK
    aim = TaskAim(verb, keys_of(tasks), there, missed, now())
    narrow = None if selection.single is not None else selection
    return follow_tasks(session, tasks, aim, timeout, output, "nothing else changes", narrow)


def _listed(session: Session, selection: Selection) -> list[Object]:
    return session.tasks(selection.query(active_only=True), all_namespaces=selection.all_namespaces)
