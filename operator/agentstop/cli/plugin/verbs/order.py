"""`agentstop order`: stop orders by hand."""

from typing import Any

import click

from agentstop.cli.plugin.command import Verb
from agentstop.cli.plugin.confirm import confirm
from agentstop.cli.plugin.exit_codes import Exit, PluginError
from agentstop.cli.plugin.names import API_VERSION, CLUSTER_ORDER, FIELD_MANAGER, ORDER, Kind
from agentstop.cli.plugin.options import (
    Duration,
    Function,
    Options,
    connection_options,
    grace_of,
    order_argument,
    output_option,
    reason_options,
    waiting_options,
    yes_option,
)
from agentstop.cli.plugin.output import note, print_objects, say
from agentstop.cli.plugin.selecting import Selection
from agentstop.cli.plugin.session import Session, asks
from agentstop.client.errors import ApiError
from agentstop.words.durations import now
from agentstop.words.orders import freezes
from agentstop.words.tasks import Object, name_of, namespace_of, phase_of, spec_of, status_of


@click.group(short_help="stop orders: for many tasks, held, or as a drill")
def order() -> None:
    """Stop orders: one object that stops all that matches, and may keep it stopped."""


def _selects(function: Function) -> Function:
    """Add the selectors of an order."""
    for add in reversed(
        (
            click.argument("name", required=False),
            click.option("-l", "--selector", "labels", metavar="SELECTOR", help="Tasks with these labels."),
            click.option("--agent", "agents", multiple=True, metavar="AGENT", help="Tasks of this agent; repeatable."),
            click.option("--task", "tasks", multiple=True, metavar="NAME", help="The task of this name; repeatable."),
            click.option("--all", "everything", is_flag=True, help="Every task."),
            click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces: a ClusterStopOrder."),
            click.option(
                "--namespace-selector", metavar="SELECTOR", help="With -A: only in namespaces with these labels."
            ),
            click.option(
                "--ttl", type=Duration(whole=True), metavar="TIME", help="Delete the order so long after its end."
            ),
        )
    ):
        function = add(function)
    return function


@order.command(cls=Verb, short_help="make an order")
@_selects
@click.option("--hold", is_flag=True, help="As long as it stands, nothing that matches starts or resumes.")
@click.option("--freeze", is_flag=True, help="Freeze what matches, and stop nothing before somebody says so.")
@click.option(
    "--then", type=click.Choice(["stop", "kill"]), help="With --freeze: stop or kill what matches once it is frozen."
)
@reason_options
@waiting_options
@yes_option
@output_option("json", "yaml", "name")
@connection_options
@click.pass_obj
def create(session: Session, /, hold: bool, freeze: bool, then: str | None, yes: bool, **options: Any) -> int:
    """Makes an order, which stops all tasks that match, or freezes them first.

    \b
      agentstop order create incident-4711 --all -A --hold --reason SecurityIncident
      agentstop order lift incident-4711 -A
    """
    selection = _selection(options)
    if then and not freeze:
        raise click.UsageError("--then is for --freeze: without it the order stops at once")
    if len(selection.names) != 1:
        patient = not freeze and grace_of(options["grace"], options["now"]) is None
        confirm(session, selection, "freeze" if freeze else "stop", yes=yes, patient=patient)
    return _make(session, selection, options, hold=hold, freeze=freeze, then=then.capitalize() if then else None)


@order.command(cls=Verb, short_help="rehearse an order: count, name, stop nothing")
@_selects
@reason_options
@waiting_options
@output_option("json", "yaml", "name")
@connection_options
@click.pass_obj
def drill(session: Session, /, **options: Any) -> int:
    """Rehearses an order: says what it would stop and what it could not, and stops nothing."""
    return _make(session, _selection(options), options, drill=True)


def _selection(options: dict[str, Any]) -> Selection:
    selection = Selection(
        tuple(dict.fromkeys(options["tasks"])),
        options["labels"],
        options["agents"],
        options["everything"],
        options["all_namespaces"],
    )
    selection.check()
    if options["namespace_selector"] and not selection.all_namespaces:
        raise click.UsageError("--namespace-selector is for -A: an order of one namespace has no others")
    return selection


def _make(session: Session, selection: Selection, options: dict[str, Any], **more: Any) -> int:
    from agentstop.cli.plugin.ended_orders import finish
    from agentstop.cli.plugin.ordering import make_order, order_body
    from agentstop.words.labels import parse_selector

    try:
        places = parse_selector(options["namespace_selector"]) if options["namespace_selector"] else None
        body = order_body(
            selection,
            name=options["name"],
            namespaceSelector=places,
            reason=options["reason"],
            message=options["message"],
            gracePeriodSeconds=grace_of(options["grace"], options["now"]),
            podPolicy=options["pod_policy"],
            ttlSecondsAfterFinished=options["ttl"],
            **more,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return finish(session, make_order(session, body), Options.taken_from(options))


@order.command("list", cls=Verb, short_help="list orders of both kinds")
@click.option("-A", "--all-namespaces", is_flag=True, help="Those of all namespaces.")
@output_option("table", "wide", "json", "yaml", "name")
@connection_options
@click.pass_obj
def listing(session: Session, all_namespaces: bool, output: str | None) -> int:
    """Lists the orders of the namespace, and those of the whole cluster where you may see them."""
    from agentstop.cli.plugin.views.tables import order_table

    orders = _all(session, CLUSTER_ORDER, None, optional=True)
    orders += _all(session, ORDER, None if all_namespaces else session.namespace)
    orders.sort(key=lambda each: (each["kind"], namespace_of(each), name_of(each)))
    if output in {"json", "yaml", "name"}:
        print_objects(orders, str(output))
    elif orders:
        for line in order_table(orders, now(), wide=output == "wide"):
            say(line)
    else:
        note(
            "there are no orders" + ("" if all_namespaces else f" in namespace {session.namespace}, nor of the cluster")
        )
    return Exit.OK


def _all(session: Session, kind: Kind, namespace: str | None, *, optional: bool = False) -> list[Object]:
    try:
        items, _ = session.api.list(kind.path(namespace))
    except ApiError as error:
        if optional and error.code == 403:
            return []
        raise
    return [{"apiVersion": API_VERSION, "kind": kind.kind} | item for item in items]


@order.command(cls=Verb, short_help="show an order")
@order_argument
@click.option(
    "-A", "--all-namespaces", is_flag=True, help="A ClusterStopOrder; without it, where there is no StopOrder."
)
@click.option("-w", "--watch", is_flag=True, help="Follow it until it is carried out.")
@click.option("--timeout", type=Duration(), metavar="TIME", help="With -w: give up after this time.")
@output_option("json", "yaml", "name")
@connection_options
@click.pass_obj
def get(
    session: Session, name: str, all_namespaces: bool, watch: bool, timeout: float | None, output: str | None
) -> int:
    """Shows an order: what it stops, how far it has come, what holds it up."""
    from agentstop.cli.plugin.ended_orders import finish
    from agentstop.cli.plugin.views.order_words import order_lines

    found = find_order(session, name, all_namespaces)
    if watch:
        return finish(session, found, Options(wait=True, timeout=timeout, output=output), made=False)
    if output is not None:
        print_objects([found], output, single=True)
        return Exit.OK
    for line in order_lines(found, now()):
        say(line)
    return Exit.OK


@order.command(cls=Verb, short_help="end the hold or the freeze of an order")
@order_argument
@click.option(
    "-A", "--all-namespaces", is_flag=True, help="A ClusterStopOrder; without it, where there is no StopOrder."
)
@connection_options
@click.pass_obj
def lift(session: Session, name: str, all_namespaces: bool) -> int:
    """Ends the hold of an order, or has what it froze go on. What was stopped stays stopped."""
    found = find_order(session, name, all_namespaces)
    kind = CLUSTER_ORDER if found["kind"] == CLUSTER_ORDER.kind else ORDER
    if freezes(found):
        session.api.merge(kind.path(session.namespace, name), {"spec": {"then": "Resume"}}, manager=FIELD_MANAGER)
        say(f"{kind.kind} {name} is lifted: what it froze goes on where it was")
        return Exit.OK
    before = phase_of(found) == "Lifted" or spec_of(found).get("then") == "Resume"
    if before or not spec_of(found).get("hold"):
        lifted = "was lifted before" if before else "holds nothing; there is nothing to lift"
        say(f"{kind.kind} {name} {lifted}")
        return Exit.OK
    session.api.merge(kind.path(session.namespace, name), {"spec": {"hold": False}}, manager=FIELD_MANAGER)
    say(f"{kind.kind} {name} is lifted: what matches may start again; what was stopped stays stopped")
    return Exit.OK


def _ends(function: Function) -> Function:
    """Add what the verbs take that end what an order froze."""
    function = connection_options(function)
    function = output_option("json", "yaml", "name")(function)
    function = waiting_options(yes_option(function))
    function = click.option(
        "-A", "--all-namespaces", is_flag=True, help="A ClusterStopOrder; without it, where there is no StopOrder."
    )(function)
    return order_argument(function)


@order.command("stop", cls=Verb, short_help="stop what an order has frozen")
@_ends
@click.pass_obj
def stop_frozen(session: Session, /, **options: Any) -> int:
    """Stops what an order has frozen, and all else that matches: thawed into SIGTERM, with the grace period."""
    return _then(session, "Stop", options.pop("name"), options.pop("all_namespaces"), Options.taken_from(options))


@order.command("kill", cls=Verb, short_help="kill what an order has frozen")
@_ends
@click.pass_obj
def kill_frozen(session: Session, /, **options: Any) -> int:
    """Kills what an order has frozen, and all else that matches: it never runs again, and gets no SIGTERM."""
    return _then(session, "Kill", options.pop("name"), options.pop("all_namespaces"), Options.taken_from(options))


def _then(session: Session, word: str, name: str, all_namespaces: bool, options: Options) -> int:
    from agentstop.cli.plugin.ended_orders import finish

    found = find_order(session, name, all_namespaces)
    kind = CLUSTER_ORDER if found["kind"] == CLUSTER_ORDER.kind else ORDER
    if not freezes(found):
        said = f"was told to {spec_of(found)['then'].lower()}" if spec_of(found).get("then") else "freezes nothing"
        raise PluginError(f"{kind.kind} {name} {said}; stop what matches by another: agentstop stop --help")
    if not options.yes:
        if not asks():
            raise click.UsageError(f"{word.lower()} is final, and there is no terminal to ask on: add -y")
        count = status_of(found).get("matched", 0)
        if not click.confirm(f"{word} the tasks that {kind.kind} {name} has frozen ({count} match)?", err=True):
            raise PluginError("nothing was done", Exit.ERROR)
    made = session.api.merge(kind.path(session.namespace, name), {"spec": {"then": word}}, manager=FIELD_MANAGER)
    return finish(session, made, options, made=False)


def find_order(session: Session, name: str, cluster: bool) -> Object:
    """Return an order: that of the namespace, or the cluster's where there is none or where that is asked for."""
    for kind in (CLUSTER_ORDER,) if cluster else (ORDER, CLUSTER_ORDER):
        try:
            return session.api.get(kind.path(session.namespace, name))
        except ApiError as error:
            if kind is ORDER and error.code in {403, 404} and error.details.get("name"):
                continue
            if kind is CLUSTER_ORDER and not cluster and error.code in {403, 404}:
                raise session.missing(ORDER, name, ApiError(404, {"details": {"name": name}})) from error
            raise session.missing(kind, name, error) from error
    raise AssertionError("the last kind returns or raises")
