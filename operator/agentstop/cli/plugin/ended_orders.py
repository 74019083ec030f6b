"""How an order's verb ends: followed or not, printed as it was asked for."""

from agentstop.cli.plugin.exit_codes import Exit
from agentstop.cli.plugin.names import CLUSTER_ORDER
from agentstop.cli.plugin.options import Options
from agentstop.cli.plugin.ordering import drill_lines, follow_order, kind_of
from agentstop.cli.plugin.output import note, print_objects, say
from agentstop.cli.plugin.results import order_words, tell_order
from agentstop.cli.plugin.session import Session
from agentstop.words.tasks import Object, name_of, spec_of


def finish(session: Session, order: Object, options: Options, *, made: bool = True) -> int:
    """Follow an order, that was just made or before, if that is wanted, and print it. Raises PluginError."""
    drill, output = bool(spec_of(order).get("drill")), options.output
    if not options.follows:
        if output is not None:
            print_objects([order], output, single=True)
        else:
            where = "-A" if kind_of(order) is CLUSTER_ORDER else f"-n {session.namespace}"
            done = "created" if made else "is to do so"
            say(f"{order_words(order)} {done}; follow it: agentstop order get -w {name_of(order)} {where}")
        return Exit.OK
    if output is None and made:
        note(f"{order_words(order)} created")
    order = follow_order(session, order, options.timeout)
    if output is not None:
        print_objects([order], output, single=True)
    elif drill:
        for line in drill_lines(order):
            say(line)
    else:
        tell_order(order)
    return Exit.OK
