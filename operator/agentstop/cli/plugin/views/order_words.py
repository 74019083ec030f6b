"""An order in words."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from agentstop.cli.plugin.output import COLOURS, paint, table_lines
from agentstop.words.durations import ago, spell
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


def order_lines(order: Object, now: datetime) -> list[str]:
    """Return an order as lines for people."""
    return list(_lines(order, now))


def _lines(order: Object, now: datetime) -> Iterator[str]:
    spec, status = cleaned(spec_of(order)), cleaned(status_of(order))
    where = f" in namespace {namespace_of(order)}" if namespace_of(order) else ""
    phase = phase_of(order)
    yield f"{clean(order['kind'])} {paint(name_of(order), None, bold=True)}{where}: {paint(phase, COLOURS.get(phase))}"
    yield f"  stops       {_selects(spec)}"
    by = f" by {status['requestedBy']}" if status.get("requestedBy") else ""
    yield f"  made        {ago(created_at(order), now)} ago{by}"
    if spec.get("reason") or spec.get("message"):
        yield f"  because     {': '.join(filter(None, (spec.get('reason'), spec.get('message'))))}"
    if spec.get("gracePeriodSeconds") is not None:
        yield f"  grace       {spec['gracePeriodSeconds']}s"
    if spec.get("podPolicy"):
        yield f"  pods        {'are kept' if spec['podPolicy'] == 'Keep' else 'are deleted'}"
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
        yield from _counts(status)
    if status.get("stalledCount"):
        yield paint(f"  held up     {status['stalledCount']}", "red")
        rows = [
            (each["namespace"], each["name"], each["reason"], each.get("message") or "")
            for each in status.get("stalled") or ()
        ]
        yield from (f"    {line}" for line in table_lines(("NAMESPACE", "NAME", "REASON", "MESSAGE"), rows))


def _counts(status: dict[str, Any]) -> Iterator[str]:
    stopped = status.get("stopped") or {}
    words = (("graceful", "graceful"), ("killed", "killed"), ("notStarted", "not started"), ("other", "other"))
    if stopped:
        yield f"  ended       {', '.join(f'{stopped.get(key, 0)} {word}' for key, word in words)}"
    if status.get("alreadyFinished"):
        yield f"  before      {status['alreadyFinished']} had ended before"
    if status.get("refused"):
        yield f"  refused     {status['refused']} that were made under the hold"
    if status.get("signalSeconds") is not None:
        yield f"  signal      the last SIGTERM was on its way after {spell(float(status['signalSeconds']))}"
    if status.get("haltSeconds") is not None:
        yield f"  halt        the last process was proven gone after {spell(float(status['haltSeconds']))}"


def _selects(spec: dict[str, Any]) -> str:
    parts = []
    if spec.get("taskNames"):
        parts.append(f"the tasks {', '.join(spec['taskNames'])}")
    if spec.get("agents"):
        parts.append(f"of agent {', '.join(spec['agents'])}")
    if spec.get("selector"):
        parts.append(f"with {selector_words(spec['selector'])}")
    if spec.get("namespaceSelector"):
        parts.append(f"in namespaces with {selector_words(spec['namespaceSelector'])}")
    return " ".join(parts) or "everything"


def selector_words(selector: dict[str, Any]) -> str:
    """Return a label selector as kubectl writes it."""
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for each in selector.get("matchExpressions") or ():
        values = ",".join(each.get("values") or ())
        form = {"In": "{0} in ({1})", "NotIn": "{0} notin ({1})", "Exists": "{0}", "DoesNotExist": "!{0}"}
        parts.append(form.get(each["operator"], "{0} ? ({1})").format(each["key"], values))
    return ",".join(parts)
