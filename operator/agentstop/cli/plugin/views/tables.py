"""Tables of tasks and of orders."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from agentstop.cli.plugin.output import table_lines
from agentstop.words.durations import ago, spell
from agentstop.words.tasks import (
    Object,
    created_at,
    held_up,
    name_of,
    namespace_of,
    phase_of,
    ran_seconds,
    shown_phase,
    spec_of,
    status_of,
    stop_of,
    took_seconds,
    who,
)
from agentstop.words.usage import cost_words, count_of, usage_of


def task_table(tasks: Sequence[Object], now: datetime, *, namespaces: bool, wide: bool) -> list[str]:
    """Return the lines of a table of tasks."""
    head = ["NAME", "AGENT", "PHASE", "VERDICT", "STOPPED-BY", "TOOK", "RAN", "AGE"]
    if wide:
        head += ["COST", "TOKENS", "TURNS", "WORKLOAD", "NODE", "REASON", "PARENT"]
    rows = [_task_row(task, now, wide) for task in tasks]
    if namespaces:
        head.insert(0, "NAMESPACE")
        rows = [[namespace_of(task), *row] for task, row in zip(tasks, rows, strict=True)]
    return table_lines(head, rows)


def _task_row(task: Object, now: datetime, wide: bool) -> list[str]:
    stop = stop_of(task)
    took, ran = took_seconds(task, now), ran_seconds(task, now)
    phase = shown_phase(task) + (", held up" if held_up(task) else "")
    row = [
        name_of(task),
        str(spec_of(task).get("agent") or "-"),
        phase,
        str(stop.get("verdict") or "-"),
        who(task) or "-",
        "-" if took is None else spell(took),
        "-" if ran is None else spell(ran),
        ago(created_at(task), now),
    ]
    if wide:
        workload: dict[str, Any] = status_of(task).get("workload") or {}
        nodes = sorted({pod["node"] for pod in workload.get("pods") or () if pod.get("node")})
        usage = usage_of(task)
        row += [
            cost_words(usage) or "-",
            *(str(count_of(usage, field)) if usage else "-" for field in ("totalTokens", "turns")),
            f"{workload['kind']}/{workload['name']}" if workload else "-",
            ",".join(nodes[:3]) or "-",
            str(stop.get("reason") or status_of(task).get("reason") or "-"),
            str((spec_of(task).get("parentRef") or {}).get("name") or "-"),
        ]
    return row


def order_table(orders: Sequence[Object], now: datetime, *, wide: bool) -> list[str]:
    """Return the lines of a table of orders of both kinds."""
    head = ["KIND", "NAMESPACE", "NAME", "PHASE", "HOLD", "MATCHED", "FROZEN", "STOPPING", "STALLED"]
    head += ["REASON", "BY", "AGE"]
    if wide:
        head += ["FREEZE", "SIGNAL", "HALT", "MESSAGE"]
    return table_lines(head, [_order_row(order, now, wide) for order in orders])


def _order_row(order: Object, now: datetime, wide: bool) -> list[str]:
    status, spec = status_of(order), spec_of(order)
    row = [
        order["kind"],
        namespace_of(order) or "-",
        name_of(order),
        phase_of(order),
        "yes" if spec.get("hold") else "-",
        str(status.get("matched", "-")),
        str(status.get("frozen", "-") if spec.get("freeze") else "-"),
        str(status.get("stopping", "-")),
        str(status.get("stalledCount") or "-"),
        str(spec.get("reason") or "-"),
        str(status.get("requestedBy") or "-"),
        ago(created_at(order), now),
    ]
    if wide:
        times = (status.get("freezeSeconds"), status.get("signalSeconds"), status.get("haltSeconds"))
        row += ["-" if each is None else spell(float(each)) for each in times]
        row.append(str(spec.get("message") or "-"))
    return row
