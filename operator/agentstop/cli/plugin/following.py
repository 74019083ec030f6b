"""Following tasks that somebody asked something of."""

from collections.abc import Sequence

from agentstop.cli.plugin.exit_codes import Exit, PluginError
from agentstop.cli.plugin.names import TASK
from agentstop.cli.plugin.output import print_objects
from agentstop.cli.plugin.results import tell_tasks
from agentstop.cli.plugin.selecting import Selection
from agentstop.cli.plugin.session import Session
from agentstop.cli.plugin.waiting.aims import TaskAim, ended, keys_of, never_missed
from agentstop.cli.plugin.waiting.display import make_display
from agentstop.cli.plugin.waiting.loop import wait_for
from agentstop.client.follow import Follower, key_of
from agentstop.words.durations import now
from agentstop.words.tasks import Object


def follow_stop(session: Session, task: Object, timeout: float | None, output: str | None) -> int:
    """Wait for the end of a task that was asked to stop, and print it. Raises PluginError."""
    aim = TaskAim("Stopping", keys_of([task]), ended, never_missed, now())
    goes_on = f"the stop goes on. Follow it: agentstop wait {key_of(task)[1]} -n {session.namespace}"
    return follow_tasks(session, [task], aim, timeout, output, goes_on)


def follow_tasks(
    session: Session,
    tasks: Sequence[Object],
    aim: TaskAim,
    timeout: float | None,
    output: str | None,
    goes_on: str,
    selection: Selection | None = None,
) -> int:
    """Wait until tasks are where they are to be, and print them. `goes_on` is said where the user does not wait.

    Raises PluginError.
    """
    follower = _follower(session, tasks, selection)
    try:
        found = wait_for(follower, aim, make_display(), timeout)
    except KeyboardInterrupt:
        raise PluginError(f"stopped waiting; {goes_on}", Exit.INTERRUPTED) from None
    finally:
        follower.stop()
    known = follower.gone | follower.objects
    reached = [known[key] for key in sorted(aim.keys) if key in known]
    if output is None:
        tell_tasks(reached)
    else:
        for each in reached:
            each.setdefault("apiVersion", "agentstop.dev/v1alpha1")
            each.setdefault("kind", TASK.kind)
        print_objects(reached, output, single=selection is None)
    if found.problem is not None:
        raise PluginError(found.problem, found.outcome or Exit.HELD_UP)
    return found.outcome or Exit.OK


def _follower(session: Session, tasks: Sequence[Object], selection: Selection | None) -> Follower:
    if selection is None and len(tasks) == 1:
        follower = Follower(session.api, TASK.path(session.namespace), name=key_of(tasks[0])[1])
        follower.start(tasks[0])
        return follower
    wanted = selection or Selection()
    path = TASK.path(None if wanted.all_namespaces else session.namespace)
    follower = Follower(session.api, path, wanted.query())
    follower.start()
    return follower
