"""`agentstop freeze` and `agentstop thaw`: what is named is patched, all else goes by an order."""

from dataclasses import replace
from typing import Any, Final

import click

from agentstop.cli.plugin.changing import Change, carry_out, change_options, found, frozen_by_itself, patch, tell
from agentstop.cli.plugin.command import Verb
from agentstop.cli.plugin.confirm import confirm
from agentstop.cli.plugin.exit_codes import Exit
from agentstop.cli.plugin.names import CLUSTER_ORDER, FIELD_MANAGER, ORDER
from agentstop.cli.plugin.options import Options
from agentstop.cli.plugin.output import note, print_objects, say
from agentstop.cli.plugin.results import order_words
from agentstop.cli.plugin.selecting import Selection
from agentstop.cli.plugin.session import Session
from agentstop.cli.plugin.waiting.aims import frozen, missed_pause, missed_resume, missed_thaw, resumed
from agentstop.client.errors import ApiError
from agentstop.words.orders import freezes
from agentstop.words.tasks import Object, freezer_of, name_of, namespace_of, spec_of

FREEZE: Final = Change(
    "freeze",
    "Freezing",
    "frozen",
    {"paused": True, "pausePolicy": "Freeze"},
    frozen,
    missed_pause,
    lambda task: not spec_of(task).get("paused"),
)
THAW: Final = Change("thaw", "Thawing", "thawed", {"paused": False}, resumed, missed_thaw, frozen_by_itself)


@click.command(cls=Verb, short_help="hold the processes of tasks where they are")
@change_options
@click.option("--reason", metavar="WORD", help="Why, as one CamelCase word; not for a NAME.")
@click.option("--message", metavar="TEXT", help="Why, for people; not for a NAME.")
@click.option(
    "--then",
    type=click.Choice(["stop", "kill"]),
    help="Stop or kill them as soon as they are frozen; without it they stay frozen. Not for a NAME.",
)
@click.pass_obj
def freeze(session: Session, /, reason: str | None, message: str | None, then: str | None, **given: Any) -> int:
    """Holds the processes of tasks where they are, with all they have in memory, until they are thawed or stopped.

    It takes the component on each node. A NAME changes that task; -l, --agent and --all make a StopOrder that freezes,
    with -A a ClusterStopOrder: whatever matches is frozen, and nothing that matches starts.

    \b
      agentstop freeze research-42
      agentstop freeze --all -A --reason SecurityIncident
      agentstop thaw --all -A
    """
    selection, options = Selection.taken_from(given), Options.taken_from(given)
    if selection.names:
        if reason or message or then:
            raise click.UsageError(
                "--reason, --message and --then are for -l, --agent and --all: a NAME makes no order"
            )
        return carry_out(session, FREEZE, selection, options)
    asked = {"reason": reason, "message": message, "then": then.capitalize() if then else None}
    return _by_order(session, selection, asked, options)


def _by_order(session: Session, selection: Selection, asked: dict[str, Any], options: Options) -> int:
    from agentstop.cli.plugin.ended_orders import finish
    from agentstop.cli.plugin.ordering import KEPT_SECONDS, make_order, order_body

    if options.dry_run:
        tasks = found(session, selection, FREEZE)
        for task in tasks if options.output is None else ():
            say(f"{name_of(task)} would be frozen; nothing was done")
        if options.output is not None:
            print_objects(tasks, options.output)
        return Exit.OK
    verb = f"freeze and {asked['then'].lower()}" if asked["then"] else "freeze"
    confirm(session, selection, verb, yes=options.yes)
    try:
        body = order_body(selection, name=None, **asked, freeze=True, ttlSecondsAfterFinished=KEPT_SECONDS)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return finish(session, make_order(session, body), options)


@click.command(cls=Verb, short_help="let frozen tasks go on where they were")
@change_options
@click.pass_obj
def thaw(session: Session, /, **given: Any) -> int:
    """Lets frozen tasks go on where they were.

    A NAME changes that task. -l and --agent lift the orders that freeze by the same words, and --all every order that
    freezes; and they resume the tasks that are frozen by their own spec.
    """
    selection, options = Selection.taken_from(given), Options.taken_from(given)
    if selection.names:
        return carry_out(session, THAW, selection, options)
    return _lift_all(session, selection, options)


def _lift_all(session: Session, selection: Selection, options: Options) -> int:
    dry_run = options.dry_run
    if not dry_run:
        confirm(session, selection, "thaw", yes=options.yes)
    orders = [each for each in _orders(session, selection) if _selects_the_same(each, selection)]
    for order in orders:
        kind = ORDER if order["kind"] == ORDER.kind else CLUSTER_ORDER
        if not dry_run:
            path = kind.path(namespace_of(order), name_of(order))
            session.api.merge(path, {"spec": {"then": "Resume"}}, manager=FIELD_MANAGER)
        note(f"{order_words(order)} {'would be' if dry_run else 'is'} lifted")
    tasks, rest = _frozen(session, selection, orders)
    own = [task for task in tasks if frozen_by_itself(task)]
    changed, problems = patch(session, own, THAW, dry_run) if own else ([], [])
    for problem in problems[1:]:
        note(f"agentstop: {problem}")
    for words, lift in sorted({(by.words, by.lift) for each in rest if (by := freezer_of(each)) is not None}):
        note(f"{words} freezes some of them, and others besides; to lift it: {lift}")
    code = int(Exit.OK)
    freed = changed + [task for task in tasks if not frozen_by_itself(task)]
    if freed:
        letting_go = replace(THAW, missed=missed_resume)  # the orders that have frozen them are lifted just now
        code = tell(session, freed, letting_go, selection, options)
    elif not (orders or problems):
        say(f"there is nothing to thaw: no frozen {selection.words(session.namespace)}")
    if problems:
        raise problems[0]
    return code


def _orders(session: Session, selection: Selection) -> list[Object]:
    """Return the orders that freeze, of the namespace or of all. Raises ApiError."""
    kinds = (CLUSTER_ORDER, ORDER) if selection.all_namespaces else (ORDER,)
    listed = []
    for kind in kinds:
        items, _ = session.api.list(kind.path(None if selection.all_namespaces else session.namespace))
        listed += [{"kind": kind.kind} | item for item in items]
    return [each for each in listed if freezes(each)]


def _selects_the_same(order: Object, selection: Selection) -> bool:
    if selection.everything:
        return True
    spec = spec_of(order)
    try:
        wanted = selection.order_spec()
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    said = {name: spec.get(name) for name in ("selector", "agents", "taskNames", "namespaceSelector")}
    said["agents"] = sorted(said["agents"]) if said["agents"] else None
    return {name: each for name, each in said.items() if each is not None} == wanted


def _frozen(session: Session, selection: Selection, orders: list[Object]) -> tuple[list[Object], list[Object]]:
    """Return the tasks that are frozen and are let go, and those that another order keeps frozen.

    None where the user may not look: lifting an order takes no right on tasks.
    """
    uids = {order["metadata"]["uid"] for order in orders}
    try:
        tasks = session.tasks(selection.query(active_only=True), all_namespaces=selection.all_namespaces)
    except ApiError as error:
        if error.code == 403 and orders:
            return [], []
        raise
    freed: list[Object] = []
    kept: list[Object] = []
    for task in tasks:
        by = freezer_of(task)
        if not selection.matches(task) or (by is None and not frozen_by_itself(task)):
            continue
        (freed if by is None or by.uid in uids else kept).append(task)
    return freed, kept
