"""`agentstop list`: tasks as a table, once or for as long as they change."""

import json
from collections.abc import Callable
from typing import Final

import click

from agentstop.cli.plugin.command import Verb
from agentstop.cli.plugin.exit_codes import Exit
from agentstop.cli.plugin.names import API_VERSION, TASK
from agentstop.cli.plugin.options import Duration, connection_options, filter_options, output_option
from agentstop.cli.plugin.output import note, print_objects, say
from agentstop.cli.plugin.selecting import Selection
from agentstop.cli.plugin.session import Session
from agentstop.cli.plugin.views.tables import task_table
from agentstop.words.durations import now
from agentstop.words.tasks import Object, at, name_of, namespace_of, phase_of, status_of, stop_of

ALIVE: Final = frozenset({"Running", "Pausing", "Stopping"})
"""Phases in which there may be processes."""


@click.command("list", cls=Verb, short_help="list tasks: phase, verdict, who, how long")
@filter_options
@click.option("--running", is_flag=True, help="Those that may have processes: Running, Pausing, Stopping.")
@click.option("--stopped-by", metavar="WHO", help="Those whose stop came from this user, or source such as Deadline.")
@click.option(
    "--since", type=Duration(), metavar="TIME", help="Those that started, were stopped or ended within this time."
)
@click.option("-w", "--watch", is_flag=True, help="Go on showing what changes.")
@output_option("table", "wide", "json", "yaml", "name")
@connection_options
@click.pass_obj
def listing(
    session: Session,
    names: tuple[str, ...],
    labels: str | None,
    agents: tuple[str, ...],
    all_namespaces: bool,
    running: bool,
    stopped_by: str | None,
    since: float | None,
    watch: bool,
    output: str | None,
) -> int:
    """Lists tasks: all of the namespace, or those that match.

    TOOK is how long the stop took, or has taken up to now; RAN how long the task has run, without its pauses.
    """
    selection = Selection(names, labels, agents, False, all_namespaces)

    def wanted(task: Object) -> bool:
        return (
            selection.matches(task)
            and (not running or phase_of(task) in ALIVE)
            and (stopped_by is None or stopped_by in {stop_of(task).get("requestedBy"), stop_of(task).get("source")})
            and (since is None or _newest(task, since))
        )

    query = selection.query(active_only=running)
    if watch:
        return _watch(session, all_namespaces, query, wanted, output)
    items = session.tasks(query, all_namespaces=all_namespaces)
    found = sorted(filter(wanted, items), key=lambda task: (namespace_of(task), name_of(task)))
    if output in {"json", "yaml", "name"}:
        print_objects(found, str(output))
    elif found:
        for line in task_table(found, now(), namespaces=all_namespaces, wide=output == "wide"):
            say(line)
    else:
        note(_nothing(session, all_namespaces, narrowed=bool(items) or bool(query)))
    return Exit.OK


def _nothing(session: Session, all_namespaces: bool, *, narrowed: bool) -> str:
    such = "such tasks" if narrowed else "tasks"
    if all_namespaces:
        return f"there are no {such} in this cluster"
    return f"there are no {such} in namespace {session.namespace}; -A looks into all namespaces"


def _newest(task: Object, seconds: float) -> bool:
    """Whether anything happened to a task within so many seconds."""
    status, stop = status_of(task), stop_of(task)
    moments = [at(status, "startedAt"), at(status, "finishedAt"), at(stop, "acceptedAt")]
    return any(each is not None and (now() - each).total_seconds() <= seconds for each in moments)


def _watch(
    session: Session,
    all_namespaces: bool,
    query: dict[str, str],
    wanted: Callable[[Object], bool],
    output: str | None,
) -> int:
    """Show what there is, and then what changes, until interrupted."""
    from agentstop.client.follow import Follower

    # Without the selector for active tasks: one that has just ended is a change worth showing.
    query = {key: value for key, value in query.items() if "status.phase!=" not in value}
    follower = Follower(session.api, TASK.path(None if all_namespaces else session.namespace), query)
    follower.start()
    known: dict[tuple[str, str], str] = {}
    head = True
    seen = -1
    try:
        while True:
            if follower.failure is not None:
                raise follower.failure
            changed = []
            for key, task in sorted((follower.objects | follower.gone).items()):
                version = task["metadata"]["resourceVersion"]
                if known.get(key) != version and (wanted(task) or key in known):
                    known[key] = version
                    changed.append(task)
            if changed:
                _show(changed, output, all_namespaces, head=head)
                head = False
            seen = follower.wait(seen, 5.0)
    except KeyboardInterrupt:
        return Exit.OK
    finally:
        follower.stop()


def _show(tasks: list[Object], output: str | None, namespaces: bool, *, head: bool) -> None:
    """Print rows below those that were printed before."""
    if output in {"json", "yaml", "name"}:
        for task in tasks:
            task.setdefault("apiVersion", API_VERSION)
            task.setdefault("kind", TASK.kind)
            if output == "json":
                say(json.dumps(task))
                continue
            if output == "yaml":
                say("---")
            print_objects([task], str(output), single=True)
        return
    lines = task_table(tasks, now(), namespaces=namespaces, wide=output == "wide")
    for line in lines if head else lines[1:]:
        say(line)
