"""Changing tasks one by one, many at a time: pause, resume, freeze and thaw."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import click

from agentstop.cli.plugin.confirm import confirm
from agentstop.cli.plugin.exit_codes import Exit, PluginError
from agentstop.cli.plugin.following import follow_tasks
from agentstop.cli.plugin.graces import longest, warning
from agentstop.cli.plugin.names import FIELD_MANAGER, TASK
from agentstop.cli.plugin.options import (
    Function,
    Options,
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
from agentstop.cli.plugin.waiting.aims import TaskAim, keys_of
from agentstop.client.errors import ApiError
from agentstop.words.durations import now
from agentstop.words.tasks import (
    Object,
    freezer_of,
    has_ended,
    is_frozen,
    name_of,
    namespace_of,
    phase_of,
    spec_of,
    stop_asked,
)

AT_A_TIME: Final = 16
"""So many requests are under way at once."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a verb does to each task."""

    verb: str
    doing: str
    """What is going on meanwhile, such as Pausing."""
    done: str
    """What a task is afterwards, such as paused."""
    spec: dict[str, Any]
    """The fields that are set."""
    there: Callable[[Object], bool]
    """Whether a task is where it is to be."""
    missed: Callable[[Object], str | None]
    """Why a task can never be there any more, if so."""
    concerns: Callable[[Object], bool]
    """Whether it makes a difference to a task that was not named."""
    ends: bool = False
    """Whether processes are ended, in the time that is theirs."""


def change_options(function: Function) -> Function:
    """Add what these verbs take."""
    function = connection_options(function)
    function = output_option("json", "yaml", "name")(function)
    function = yes_option(function)
    function = click.option("--dry-run", is_flag=True, help="Change nothing; say which tasks it would be.")(function)
    return selection_options(waiting_options(function))


def carry_out(
    session: Session,
    change: Change,
    selection: Selection,
    options: Options,
) -> int:
    """Change the tasks that are meant, and follow them. Raises PluginError."""
    if not options.dry_run:
        confirm(session, selection, change.verb, yes=options.yes, patient=change.ends)
    tasks = found(session, selection, change)
    if not tasks:
        say(f"there is nothing to {change.verb}: no {selection.words(session.namespace)}")
        return Exit.OK
    ended = [task for task in tasks if spec_of(task).get("pausePolicy") != "Freeze"]
    seconds = longest(ended) if change.ends and not options.dry_run and selection.single else None
    if seconds is not None:
        note(warning(name_of(tasks[0]), seconds, change.verb))
    changed, problems = patch(session, tasks, change, options.dry_run)
    for problem in problems[1:]:
        note(f"agentstop: {problem}")
    code = int(Exit.OK)
    if changed:
        code = tell(session, changed, change, selection, options)
    if problems:
        raise problems[0]
    return code


def found(session: Session, selection: Selection, change: Change) -> list[Object]:
    """Return the tasks that are meant; of those that were not named, the ones for which it makes a difference."""
    if selection.names:
        return [session.find(TASK, name) for name in selection.names]
    tasks = session.tasks(selection.query(active_only=True), all_namespaces=selection.all_namespaces)
    return [
        task
        for task in tasks
        if selection.matches(task) and change.concerns(task) and not stop_asked(task) and phase_of(task) != "Stopping"
    ]


Outcome = tuple[list[Object], list[PluginError]]


def patch(session: Session, tasks: list[Object], change: Change, dry_run: bool) -> Outcome:
    """Patch the tasks; return them as they are now, and what went wrong with the others."""

    def patched(task: Object) -> Object | PluginError:
        if has_ended(task):
            return PluginError(f"{name_of(task)} has ended ({phase_of(task)}) and cannot be {change.done}")
        if spec_of(task).get("stopRequested") or phase_of(task) == "Stopping":
            return PluginError(f"{name_of(task)} is being stopped and cannot be {change.done}: a stop is final")
        if change.spec.get("paused") is False and not spec_of(task).get("paused"):
            by = freezer_of(task)
            if by is not None:
                return PluginError(f"{name_of(task)} is frozen by {by.words}; let go all that it froze: {by.lift}")
        path = TASK.path(namespace_of(task), name_of(task))
        try:
            return session.api.merge(path, {"spec": change.spec}, manager=FIELD_MANAGER, dry_run=dry_run)
        except ApiError as error:
            problem = problem_of(session.api, error)
            return PluginError(f"{name_of(task)} was not {change.done}: {problem}", problem.code)

    if len(tasks) == 1:
        results = [patched(tasks[0])]
    else:
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            results = list(pool.map(patched, tasks))
    changed = [each for each in results if not isinstance(each, PluginError)]
    return changed, [each for each in results if isinstance(each, PluginError)]


def tell(
    session: Session,
    changed: list[Object],
    change: Change,
    selection: Selection,
    options: Options,
) -> int:
    """Follow the tasks that were changed, or print them. Raises PluginError."""
    timeout, output = options.timeout, options.output
    if options.follows and not options.dry_run:
        narrow = None if selection.single is not None else selection
        aim = TaskAim(change.doing, keys_of(changed), change.there, change.missed, now())
        return follow_tasks(session, changed, aim, timeout, output, "what was asked for goes on", narrow)
    if output is not None:
        print_objects(changed, output, single=selection.single is not None)
        return Exit.OK
    for task in changed:
        would = f"would be {change.done}; nothing was done" if options.dry_run else f"is to be {change.done}"
        say(f"{name_of(task)} {would}")
    return Exit.OK


def frozen_by_itself(task: Object) -> bool:
    """Whether a task's own spec has it frozen."""
    freezes = spec_of(task).get("pausePolicy") == "Freeze" or is_frozen(task)
    return bool(spec_of(task).get("paused")) and freezes
