"""`agentstop tether`: tasks live only as long as a command, or until Ctrl-C."""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import click

from agentstop.cli.plugin import child
from agentstop.cli.plugin.command import Verb
from agentstop.cli.plugin.exit_codes import Exit, PluginError
from agentstop.cli.plugin.names import TASK
from agentstop.cli.plugin.options import Duration, Options, connection_options, namespaced_options, waiting_options
from agentstop.cli.plugin.output import note
from agentstop.cli.plugin.problems import problem_of
from agentstop.cli.plugin.results import counted
from agentstop.cli.plugin.selecting import Selection
from agentstop.cli.plugin.session import Session
from agentstop.client.errors import ApiError, TetherError
from agentstop.words.durations import now, spell
from agentstop.words.leases import HELD_SECONDS, LEAST_SECONDS, MOST_SECONDS
from agentstop.words.tasks import Object, has_ended, name_of, phase_of, spec_of, stop_asked

if TYPE_CHECKING:
    from agentstop.client.tether import Tether

LEASE_VARIABLE: Final = "AGENTSTOP_TETHER"
"""In the environment of the command: the name of the Lease, for tasks that it makes itself."""

AT_A_TIME: Final = 16
"""So many requests are under way at once."""

LISTED: Final = 10
"""So many tasks are named."""

_COMMAND: Final = "agentstop.command"


class WithCommand(Verb):
    """A verb behind whose own words, and two dashes, a command may come."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Leave the command out."""
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[_COMMAND] = tuple(args[at + 1 :])
        return super().parse_args(ctx, args[:at])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Tell of it in the line of usage."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


@click.command(cls=WithCommand, short_help="have tasks live only as long as a command, or until Ctrl-C")
@namespaced_options
@click.option("--all", "everything", is_flag=True, help="Every task of the namespace.")
@click.option("--lease", metavar="NAME", help="Name of the Lease; one of its own without it.")
@click.option(
    "--duration",
    type=Duration(whole=True, least=LEAST_SECONDS),
    default=HELD_SECONDS,
    metavar="TIME",
    help=f"So long after this command was killed the tasks are stopped; {HELD_SECONDS}s without it.",
)
@waiting_options
@connection_options
@click.pass_obj
@click.pass_context
def tether(
    context: click.Context,
    session: Session,
    names: tuple[str, ...],
    labels: str | None,
    agents: tuple[str, ...],
    everything: bool,
    lease: str | None,
    duration: float,
    wait: bool | None,
    timeout: float | None,
) -> int:
    """Has tasks live only as long as COMMAND, or until Ctrl-C.

    It keeps a Lease, ties the tasks to it, runs the command, and ends with its exit code. When the command ends, or
    this is killed, hangs or loses its network, the tasks are stopped. What is tied stays so: it cannot be taken back.

    \b
      agentstop tether research-42 -- ./planner.sh
      agentstop tether -l session=7 --duration 30s
      agentstop tether --lease session-7 -- ./start-agents.sh    # they name the Lease in spec.tether
    """
    command: tuple[str, ...] = context.meta[_COMMAND]
    selection = Selection(tuple(dict.fromkeys(names)), labels, agents, everything)
    if lease is None or names or labels is not None or agents or everything:
        selection.check()
        tasks = _found(session, selection)
    else:
        tasks = []
    if duration > MOST_SECONDS:
        raise click.UsageError(f"the most for --duration is {MOST_SECONDS}s")
    if command and not child.is_there(command[0]):
        raise PluginError(f"there is no program {command[0]!r} on PATH; nothing was tied", Exit.NO_COMMAND)
    code, left = _held(session, tasks, lease, duration, command)
    if left and Options(wait=wait, timeout=timeout).follows:
        try:
            ended = _followed(session, left, timeout)
        except PluginError as error:
            if not command:
                raise
            note(f"agentstop: {error}")
        else:
            return code if command else ended
    return code


def _held(
    session: Session, tasks: list[Object], lease: str | None, duration: float, command: tuple[str, ...]
) -> tuple[int, tuple[str, ...]]:
    """Keep the Lease while the command runs; return its exit code, and which tasks stop then."""
    from agentstop.client.tether import Tether

    with_it = Tether(lease, duration=duration, target=session.api.target, say=lambda text: note(f"agentstop: {text}"))
    code = int(Exit.OK)
    try:
        with with_it:
            _tie(session, with_it, tasks, dry_run=True)
            _tie(session, with_it, tasks)
            held = f" holds {_listed([name_of(each) for each in tasks])}" if tasks else " is kept"
            end = "the command ends" if command else "Ctrl-C"
            note(f"Lease {with_it.name}{held} until {end}")
            if command:
                code = _run(command, with_it.name)
            else:
                child.wait_for_the_end()
    except TetherError as error:
        raise PluginError(str(error)) from error
    stopped = with_it.stopped
    stop = "stops" if len(stopped) == 1 else "stop"
    when = "now" if with_it.prompt else f"within {spell(duration + 1)}"
    note(f"{_listed(stopped)} {stop} {when}" if stopped else "nothing was left to stop")
    return code, stopped


def _run(command: tuple[str, ...], lease: str) -> int:
    try:
        return child.run(command, {LEASE_VARIABLE: lease})
    except OSError as error:
        note(f"agentstop: {command[0]} cannot be run: {error.strerror}")
        return Exit.NOT_RUN


def _found(session: Session, selection: Selection) -> list[Object]:
    """Return the tasks that are meant. Raises PluginError where there is none, or one that has ended."""
    if selection.names:
        found = [session.find(TASK, name) for name in selection.names]
        over = next((each for each in found if has_ended(each)), None)
        if over is not None:
            raise PluginError(f"{name_of(over)} has ended ({phase_of(over)}); nothing was tied")
        return found
    listed = session.tasks(selection.query(active_only=True))
    found = [each for each in listed if selection.matches(each) and not has_ended(each) and not stop_asked(each)]
    if not found:
        raise PluginError(f"there are no {selection.words(session.namespace)} that go on", Exit.NOT_FOUND)
    return found


def _tie(session: Session, with_it: "Tether", tasks: list[Object], *, dry_run: bool = False) -> None:
    """Put the tether on tasks. Raises PluginError where one is refused."""

    def tie(task: Object) -> PluginError | None:
        other = (spec_of(task).get("tether") or with_it.spec).get("leaseName")
        if other != with_it.name:
            return PluginError(f"{name_of(task)} is tied to Lease {other} already, and a tether is never changed")
        try:
            with_it.attach(name_of(task), dry_run=dry_run)
        except ApiError as error:
            problem = problem_of(session.api, error)
            return PluginError(f"{name_of(task)} cannot be tied: {problem}", problem.code)
        return None

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        problem = next(filter(None, pool.map(tie, tasks)), None)
    if problem is not None:
        raise problem


def _followed(session: Session, names: tuple[str, ...], timeout: float | None) -> int:
    """Wait for the end of tasks, and print it. Raises PluginError."""
    from agentstop.cli.plugin.following import follow_tasks
    from agentstop.cli.plugin.waiting.aims import TaskAim, ended, keys_of, never_missed

    tasks = [session.find(TASK, name) for name in names]
    aim = TaskAim("Stopping", keys_of(tasks), ended, never_missed, now())
    narrow = Selection(names) if len(names) > 1 else None
    return follow_tasks(session, tasks, aim, timeout, None, "the tasks stop all the same", narrow)


def _listed(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{counted(len(names))} ({', '.join(names[:LISTED])}{more})"
