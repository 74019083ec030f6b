"""An order in words."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from agentstop.cli.plugin.output import COLOURS, paint, table_lines
from agentstop.words.durations import ago
from agentstop.words.orders import what_became_of_it, what_it_stops
from agentstop.words.tasks import (
    Object,
    clean,
    cleaned,
    created_at,
    name_of,
    namespace_of,
    phase_of,
    spec_of,
    status_of,
)

PODS: Final = {"Keep": "are kept", "DeleteAfterProof": "are deleted once they have ended", "Delete": "are deleted"}
"""What becomes of the pods, by the policy."""


THEN: Final = {
    "Resume": "lets go what it froze",
    "Stop": "stops what it froze, with the grace period",
    "Kill": "kills what it froze, without a thaw",
}
"""What follows on a freeze."""


def order_lines(order: Object, now: datetime) -> list[str]:
    """Return an order as lines for people."""
    return list(_lines(order, now))


def _lines(order: Object, now: datetime) -> Iterator[str]:
    spec, status = cleaned(spec_of(order)), cleaned(status_of(order))
    where = f" in namespace {namespace_of(order)}" if namespace_of(order) else ""
    phase = phase_of(order)
    yield f"{clean(order['kind'])} {paint(name_of(order), None, bold=True)}{where}: {paint(phase, COLOURS.get(phase))}"
    yield f"  {'freezes' if spec.get('freeze') else 'stops':<11} {what_it_stops(spec)}"
    if spec.get("then"):
        yield f"  then        {THEN.get(spec['then'], clean(spec['then']))}"
    by = f" by {status['requestedBy']}" if status.get("requestedBy") else ""
    yield f"  made        {ago(created_at(order), now)} ago{by}"
    if spec.get("reason") or spec.get("message"):
        yield f"  because     {': '.join(filter(None, (spec.get('reason'), spec.get('message'))))}"
    if spec.get("gracePeriodSeconds") is not None:
        yield f"  grace       {spec['gracePeriodSeconds']}s"
    if spec.get("podPolicy"):
        yield f"  pods        {PODS.get(spec['podPolicy'], clean(spec['podPolicy']))}"
    if spec.get("hold"):
        yield "  hold        nothing that matches starts, until it is lifted"
    if phase == "Lifted":
        yield "  hold        lifted"
    if status.get("drill"):
        from agentstop.cli.plugin.ordering import drill_lines

        yield from drill_lines(order)
        return
    if status:
        left = status.get("stopping", 0)
        yield f"  matched     {status.get('matched', 0)}{f', of which {left} have not ended yet' if left else ''}"
        yield from (f"  {name:<11} {text}" for name, text in what_became_of_it(status))
    if status.get("stalledCount"):
        yield paint(f"  held up     {status['stalledCount']}", "red")
        rows = [
            (each["namespace"], each["name"], each["reason"], each.get("message") or "")
            for each in status.get("stalled") or ()
        ]
        yield from (f"    {line}" for line in table_lines(("NAMESPACE", "NAME", "REASON", "MESSAGE"), rows))
