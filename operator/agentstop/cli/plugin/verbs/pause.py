"""`agentstop pause` and `agentstop resume`: each task is patched, many at a time."""

from typing import Any, Final

import click

from agentstop.cli.plugin.changing import Change, carry_out, change_options
from agentstop.cli.plugin.command import Verb
from agentstop.cli.plugin.options import Options
from agentstop.cli.plugin.selecting import Selection
from agentstop.cli.plugin.session import Session
from agentstop.cli.plugin.waiting.aims import missed_pause, missed_thaw, phase_is, resumed
from agentstop.words.tasks import spec_of

PAUSE: Final = Change(
    "pause",
    "Pausing",
    "paused",
    {"paused": True},
    phase_is("Paused"),
    missed_pause,
    lambda task: not spec_of(task).get("paused"),
    ends=True,
)
RESUME: Final = Change(
    "resume",
    "Resuming",
    "resumed",
    {"paused": False},
    resumed,
    missed_thaw,
    lambda task: bool(spec_of(task).get("paused")),
)


@click.command(cls=Verb, short_help="halt tasks until they are resumed")
@change_options
@click.pass_obj
def pause(session: Session, /, **given: Any) -> int:
    """Halts tasks until they are resumed, as their spec.pausePolicy says.

    Terminate, the default, ends the processes: afterwards a task's pod is made anew, and any other workload, which is
    suspended or scaled to nothing, runs again. Freeze has the nodes' kernels hold the processes where they are, and
    takes the component on each node; `agentstop freeze` sets it.
    """
    return carry_out(session, PAUSE, Selection.taken_from(given), Options.taken_from(given))


@click.command(cls=Verb, short_help="let paused tasks run again")
@change_options
@click.pass_obj
def resume(session: Session, /, **given: Any) -> int:
    """Lets paused tasks run again."""
    return carry_out(session, RESUME, Selection.taken_from(given), Options.taken_from(given))
