"""`agentstop stop`: one name is patched, more than one becomes an order."""

from dataclasses import replace
from typing import Any

import click

from agentstop.cli.plugin.command import Verb
from agentstop.cli.plugin.confirm import confirm
from agentstop.cli.plugin.exit_codes import Exit, PluginError
from agentstop.cli.plugin.graces import mind, too_late
from agentstop.cli.plugin.names import FIELD_MANAGER, TASK
from agentstop.cli.plugin.options import (
    Options,
    connection_options,
    grace_of,
    output_option,
    reason_options,
    selection_options,
    waiting_options,
    yes_option,
)
from agentstop.cli.plugin.output import note, print_objects, say
from agentstop.cli.plugin.problems import is_unknown_kind, no_such
from agentstop.cli.plugin.results import task_line
from agentstop.cli.plugin.selecting import Selection
from agentstop.cli.plugin.session import Session
from agentstop.client.errors import ApiError
from agentstop.words.durations import now as this_moment
from agentstop.words.tasks import has_ended, phase_of


@click.command(cls=Verb, short_help="stop tasks for good, and prove it")
@selection_options
@reason_options
@waiting_options
@click.option("--dry-run", is_flag=True, help="Stop nothing; say what would be stopped. For more than one, a drill.")
@yes_option
@output_option("json", "yaml", "name")
@connection_options
@click.pass_obj
def stop(
    session: Session,
    /,
    reason: str | None,
    message: str | None,
    grace: float | None,
    now: bool,
    pod_policy: str | None,
    **given: Any,
) -> int:
    """Stops tasks: one by its NAME, or all that match.

    A stop is final. It ends the agent's processes with SIGTERM, and with SIGKILL when its grace period is over, and the
    task is Stopped once they are proven gone. One name changes the task; more than one, -l, --agent and --all make a
    StopOrder, with -A a ClusterStopOrder.

    \b
      agentstop stop research-42 --reason RunawayCost
      agentstop stop --agent researcher --now
      agentstop stop --all -A --reason SecurityIncident
    """
    selection, options = Selection.taken_from(given), Options.taken_from(given)
    seconds = grace_of(grace, now)
    asked = {"reason": reason, "message": message, "gracePeriodSeconds": seconds, "podPolicy": pod_policy}
    if selection.single is not None:
        how = {name: value for name, value in asked.items() if value is not None}
        return _stop_one(session, selection.single, how, options)
    return _stop_many(session, selection, asked, options)


def _stop_one(session: Session, name: str, how: dict[str, Any], options: Options) -> int:
    asked, dry_run, output = how.get("gracePeriodSeconds"), options.dry_run, options.output
    if asked is None and not dry_run:
        mind(session, name, yes=options.yes)
    body = {"spec": {"stopRequested": True, **({"stop": how} if how else {})}}
    try:
        task = session.api.merge(TASK.path(session.namespace, name), body, manager=FIELD_MANAGER, dry_run=dry_run)
    except ApiError as error:
        raise session.missing(TASK, name, error) from error
    if dry_run:
        if output is None:
            would = (
                f"had ended already: {phase_of(task)}" if has_ended(task) else f"would be stopped ({phase_of(task)})"
            )
            say(f"{name} {would}; nothing was done")
        else:
            print_objects([task], output, single=True)
        return Exit.OK
    if not options.follows or has_ended(task):
        late = too_late(task, asked, this_moment())
        if late is not None:
            note(late)
        if output is not None:
            print_objects([task], output, single=True)
        elif has_ended(task):
            say(task_line(task))
        else:
            say(f"the stop of {name} is requested; follow it: agentstop wait {name} -n {session.namespace}")
        return Exit.OK
    from agentstop.cli.plugin.following import follow_stop

    return follow_stop(session, task, options.timeout, output)


def _stop_many(session: Session, selection: Selection, spec: dict[str, Any], options: Options) -> int:
    from agentstop.cli.plugin.ended_orders import finish
    from agentstop.cli.plugin.ordering import DRILL_KEPT_SECONDS, KEPT_SECONDS, make_order, order_body

    if not options.dry_run:
        confirm(session, selection, "stop", yes=options.yes, patient=spec["gracePeriodSeconds"] is None)
    missing = _missing(session, selection) if selection.names else []
    kept = DRILL_KEPT_SECONDS if options.dry_run else KEPT_SECONDS
    try:
        body = order_body(selection, name=None, **spec, drill=options.dry_run, ttlSecondsAfterFinished=kept)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    order = make_order(session, body)
    # What a drill says is what was asked for.
    code = finish(session, order, replace(options, wait=True) if options.dry_run else options)
    if missing:
        raise _none_of(session, missing)
    return code


def _missing(session: Session, selection: Selection) -> list[str]:
    """Return the names that no task has; the others are stopped all the same. Raises PluginError if all are."""
    missing = []
    for name in selection.names:
        try:
            session.api.get(TASK.path(session.namespace, name))
        except ApiError as error:
            if error.code == 403:
                return []
            if error.code != 404 or is_unknown_kind(error):
                raise
            missing.append(name)
    if missing and len(missing) == len(selection.names):
        raise _none_of(session, missing)
    return missing


def _none_of(session: Session, missing: list[str]) -> PluginError:
    for name in missing[1:]:
        note(f"agentstop: {no_such(session.api, TASK, session.namespace, name)}")
    return no_such(session.api, TASK, session.namespace, missing[0])
