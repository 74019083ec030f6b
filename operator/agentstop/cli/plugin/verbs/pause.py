"""`agentstop pause` and `agentstop resume`: each task is patched, many at a time."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import click

from agentstop.cli.plugin.command import Verb
from agentstop.cli.plugin.confirm import confirm
from agentstop.cli.plugin.exit_codes import Exit, PluginError
from agentstop.cli.plugin.following import follow_tasks
from agentstop.cli.plugin.graces import longest, warning
from agentstop.cli.plugin.names import FIELD_MANAGER, TASK
from agentstop.cli.plugin.options import (
    Function,
    connection_options,
    output_option,
    selection_options,
    waiting_options,
    yes_option,
)
from agentstop.cli.plugin.output import note, print_objects, say
from agentstop.cli.plugin.problems import problem_of
from agentstop.cli.plugin.selecting import Selection
from agentstop.cli.plugin.session import Session
from agentstop.cli.plugin.waiting.aims import TaskAim, keys_of, missed_pause, missed_resume, phase_is, resumed
from agentstop.client.errors import ApiError
from agentstop.words.durations import now
from agentstop.words.tasks import Object, has_ended, name_of, namespace_of, phase_of, spec_of

AT_A_TIME: Final = 16
"""So many requests are under way at once."""


def _options(function: Function) -> Function:
    function = connection_options(function)
    function = output_option("json", "yaml", "name")(function)
    function = yes_option(function)
    function = click.option("--dry-run", is_flag=True, help="Change nothing; say which tasks it would be.")(function)
    return selection_options(waiting_options(function))


@click.command(cls=Verb, short_help="halt tasks until they are resumed")
@click.option("--freeze", is_flag=True, help="Freeze the processes: sets spec.pausePolicy to Freeze.")
@_options
@click.pass_obj
def pause(session: Session, /, freeze: bool, **options: Any) -> int:
    """Halts tasks until they are resumed, as their spec.pausePolicy says.

    Terminate, the default, ends the processes: afterwards a task's pod is made anew, and any other workload, which is
    suspended or scaled to nothing, runs again. Freeze has the nodes' kernels hold the processes where they are, and
    takes the component on each node.
    """
    change = {"paused": True} | ({"pausePolicy": "Freeze"} if freeze else {})
    return _carry_out(session, change, "Pausing", phase_is("Paused"), missed_pause, **options)


@click.command(cls=Verb, short_help="let paused tasks run again")
@_options
@click.pass_obj
def resume(session: Session, /, **options: Any) -> int:
    """Lets paused tasks run again."""
    return _carry_out(session, {"paused": False}, "Resuming", resumed, missed_resume, **options)


def _carry_out(
    session: Session,
    change: dict[str, Any],
    doing: str,
    there: Callable[[Object], bool],
    missed: Callable[[Object], str | None],
    *,
    names: tuple[str, ...],
    labels: str | None,
    agents: tuple[str, ...],
    everything: bool,
    all_namespaces: bool,
    wait: bool | None,
    timeout: float | None,
    dry_run: bool,
    yes: bool,
    output: str | None,
) -> int:
    paused = bool(change["paused"])
    verb = "pause" if paused else "resume"
    selection = Selection(tuple(dict.fromkeys(names)), labels, agents, everything, all_namespaces)
    selection.check()
    if not dry_run:
        confirm(session, selection, verb, yes=yes, patient=paused)
    tasks = _found(session, selection, paused)
    if not tasks:
        say(f"there is nothing to {verb}: no {selection.words(session.namespace)}")
        return Exit.OK
    ended = [task for task in tasks if not _freezes(task, change)]
    seconds = longest(ended) if paused and not dry_run and selection.single else None
    if seconds is not None:
        note(warning(name_of(tasks[0]), seconds, verb))
    changed, problems = _change(session, tasks, change, dry_run)
    for problem in problems[1:]:
        note(f"agentstop: {problem}")
    code = int(Exit.OK)
    if changed:
        code = _tell(
            session,
            changed,
            selection,
            wait,
            timeout,
            dry_run,
            output,
            TaskAim(doing, keys_of(changed), there, missed, now()),
        )
    if problems:
        raise problems[0]
    return code


def _freezes(task: Object, change: dict[str, Any]) -> bool:
    """Whether a pause of a task ends nothing."""
    return "Freeze" in {change.get("pausePolicy"), spec_of(task).get("pausePolicy")}


def _found(session: Session, selection: Selection, paused: bool) -> list[Object]:
    """Return the tasks that are meant; of those that were not named, the ones for which it makes a difference."""
    if selection.names:
        return [session.find(TASK, name) for name in selection.names]
    found = session.tasks(selection.query(active_only=True), all_namespaces=selection.all_namespaces)
    return [
        task
        for task in found
        if selection.matches(task)
        and bool(spec_of(task).get("paused")) is not paused
        and not spec_of(task).get("stopRequested")
        and phase_of(task) != "Stopping"
    ]


Outcome = tuple[list[Object], list[PluginError]]


def _change(session: Session, tasks: list[Object], spec: dict[str, Any], dry_run: bool) -> Outcome:
    """Patch the tasks; return them as they are now, and what went wrong with the others."""
    paused = bool(spec["paused"])

    def change(task: Object) -> Object | PluginError:
        verb = "paused" if paused else "resumed"
        if has_ended(task):
            return PluginError(f"{name_of(task)} has ended ({phase_of(task)}) and cannot be {verb}")
        if spec_of(task).get("stopRequested") or phase_of(task) == "Stopping":
            return PluginError(f"{name_of(task)} is being stopped and cannot be {verb}: a stop is final")
        path = TASK.path(namespace_of(task), name_of(task))
        try:
            return session.api.merge(path, {"spec": spec}, manager=FIELD_MANAGER, dry_run=dry_run)
        except ApiError as error:
            problem = problem_of(session.api, error)
            return PluginError(f"{name_of(task)} was not {verb}: {problem}", problem.code)

    if len(tasks) == 1:
        results = [change(tasks[0])]
    else:
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            results = list(pool.map(change, tasks))
    changed = [each for each in results if not isinstance(each, PluginError)]
    return changed, [each for each in results if isinstance(each, PluginError)]


def _tell(
    session: Session,
    changed: list[Object],
    selection: Selection,
    wait: bool | None,
    timeout: float | None,
    dry_run: bool,
    output: str | None,
    aim: TaskAim,
) -> int:
    follows = wait if wait is not None else sys.stdout.isatty() or timeout is not None
    if follows and not dry_run:
        narrow = None if selection.single is not None else selection
        return follow_tasks(session, changed, aim, timeout, output, "what was asked for goes on", narrow)
    if output is not None:
        print_objects(changed, output, single=selection.single is not None)
        return Exit.OK
    word = {"Pausing": "paused", "Resuming": "resumed"}[aim.verb]
    for task in changed:
        say(f"{name_of(task)} {f'would be {word}; nothing was done' if dry_run else f'is to be {word}'}")
    return Exit.OK
