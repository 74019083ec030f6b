"""`agentstop get`: one task as a tree."""

import sys
from typing import Any

import click

from agentstop.cli.plugin.command import Verb
from agentstop.cli.plugin.exit_codes import Exit
from agentstop.cli.plugin.names import TASK
from agentstop.cli.plugin.options import connection_options, output_option, task_argument
from agentstop.cli.plugin.output import note, print_objects, say
from agentstop.cli.plugin.session import Session
from agentstop.words.durations import now
from agentstop.words.tasks import Object, has_ended, held_up, shown_phase


@click.command(cls=Verb, short_help="show one task as a tree, with the story of its stop")
@task_argument
@click.option("-w", "--watch", is_flag=True, help="Follow it until it has ended.")
@output_option("json", "yaml", "name")
@connection_options
@click.pass_obj
def get(session: Session, name: str, watch: bool, output: str | None) -> int:
    """Shows one task as a tree: its family, its workload with pods, containers and exit codes, its conditions in words,
    and the story of its stop on a time line.
    """
    task = session.find(TASK, name)
    if output is not None and not watch:
        print_objects([task], output, single=True)
        return Exit.OK
    if watch:
        return _watch(session, task, output)
    console().print(_tree(session, task))
    return Exit.OK


def console(*, wide: int = 100_000) -> Any:
    """Return where trees are printed: as wide as the terminal, and uncut where there is none."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(width=None if terminal else wide, soft_wrap=not terminal, highlight=False)


def _tree(session: Session, task: Object) -> Any:
    from agentstop.cli.plugin.story import read_story
    from agentstop.cli.plugin.views.tree import tree_of

    return tree_of(read_story(session.api, task), now())


def _watch(session: Session, task: Object, output: str | None) -> int:
    """Show the task anew whenever it changes, in place on a terminal, until it has ended."""
    from agentstop.client.follow import Follower, key_of

    follower = Follower(session.api, TASK.path(session.namespace), name=key_of(task)[1])
    follower.start(task)
    show = _Lines(output) if output is not None or not sys.stdout.isatty() else _Redrawn(session)
    seen = -1
    try:
        with show:
            while True:
                if follower.failure is not None:
                    raise follower.failure
                newest = follower.objects.get(key_of(task))
                if newest is None:
                    note(f"{key_of(task)[1]} was deleted")
                    return Exit.NOT_FOUND
                show.update(newest)
                if has_ended(newest):
                    return Exit.OK
                seen = follower.wait(seen, 1.0)
    except KeyboardInterrupt:
        return Exit.OK
    finally:
        follower.stop()


class _Lines:
    """A line, or a document, for each change."""

    def __init__(self, output: str | None) -> None:
        self._output = output
        self._last: Any = None

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, task: Object) -> None:
        stalled = held_up(task)
        state = task["metadata"]["resourceVersion"] if self._output else (shown_phase(task), stalled and stalled.reason)
        if state == self._last:
            return
        self._last = state
        if self._output is not None:
            print_objects([task], self._output, single=True)
        else:
            held = f", held up: {stalled.reason}: {stalled.message}" if stalled else ""
            say(f"{now().astimezone():%H:%M:%S} {shown_phase(task)}{held}")


class _Redrawn:
    """The tree, drawn again in place."""

    def __init__(self, session: Session) -> None:
        from rich.live import Live

        self._session = session
        self._live = Live(console=console(), auto_refresh=False, vertical_overflow="visible")

    def __enter__(self) -> "_Redrawn":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, task: Object) -> None:
        self._live.update(_tree(self._session, task), refresh=True)
