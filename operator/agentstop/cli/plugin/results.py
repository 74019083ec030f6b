"""The last lines: how a stop ended, in a sentence."""

import sys
from typing import Final

from agentstop.cli.plugin.output import COLOURS, paint, say
from agentstop.words.durations import spell
from agentstop.words.orders import ENDS
from agentstop.words.tasks import (
    Object,
    clean,
    exit_codes,
    has_ended,
    name_of,
    namespace_of,
    phase_of,
    shown_phase,
    spec_of,
    status_of,
    stop_of,
)

LISTED: Final = 10
"""So many tasks get a line each."""


def tell_tasks(tasks: list[Object]) -> None:
    """Print how tasks ended."""
    for task in tasks[:LISTED]:
        say(task_line(task))
    if len(tasks) > LISTED:
        say(f"... and {len(tasks) - LISTED} more")


def task_line(task: Object) -> str:
    """Return how a task stands, in a line."""
    name, phase, stop = paint(name_of(task), None, bold=True), phase_of(task), stop_of(task)
    if phase == "Stopped":
        seconds, verdict = stop.get("durationSeconds"), str(stop.get("verdict"))
        took = f" after {spell(float(seconds))}" if seconds is not None else ""
        codes = exit_codes(task)
        listed = f", exit code {', '.join(map(str, codes[:4]))}" if codes else ""
        return f"{_mark(verdict != 'Unverified')} {name} stopped{took}: {paint(verdict, COLOURS.get(verdict))}{listed}"
    if has_ended(task):
        message = clean(status_of(task).get("message") or "")
        shown = paint(phase, COLOURS.get(phase))
        return f"{_mark(True)} {name} had ended by itself: {shown}" + (f" ({message})" if message else "")
    return f"{_mark(True)} {name} is {paint(shown_phase(task), COLOURS.get(phase))}"


def tell_order(order: Object) -> None:
    """Print what became of an order."""
    status = status_of(order)
    if spec_of(order).get("freeze") and not status.get("startedAt"):
        _tell_freeze(order)
        return
    matched, finished = int(status.get("matched") or 0), int(status.get("alreadyFinished") or 0)
    stopped = status.get("stopped") or {}
    if not matched:
        before = f"; {counted(finished)} had ended before" if finished else ""
        say(f"no task was running that matches{before}")
    else:
        counts = ", ".join(f"{stopped[key]} {word}" for key, word in ENDS if stopped.get(key))
        halt, signal = status.get("haltSeconds"), status.get("signalSeconds")
        took = f" in {spell(float(halt))}" if halt is not None else ""
        sent = f"; the last SIGTERM was on its way after {spell(float(signal))}" if signal is not None else ""
        say(f"{_mark(True)} {counted(matched)} stopped{took}: {counts or 'none counted'}{sent}")
        if finished:
            say(f"  {counted(finished)} had ended before")
    if phase_of(order) == "Holding":
        kind = "order lift" if order["kind"] == "StopOrder" else "order lift -A"
        where = f" -n {namespace_of(order)}" if order["kind"] == "StopOrder" else ""
        say(f"  the hold stands: nothing that matches starts, until: agentstop {kind} {name_of(order)}{where}")


def _tell_freeze(order: Object) -> None:
    """Print what an order has frozen, and how it goes on from there."""
    status = status_of(order)
    matched, frozen = int(status.get("matched") or 0), int(status.get("frozen") or 0)
    if phase_of(order) == "Lifted":
        say(f"{_mark(True)} nothing is frozen any more by {order_words(order)}")
        return
    seconds = status.get("freezeSeconds")
    took = f" in {spell(float(seconds))}" if seconds is not None and frozen else ""
    rest = f"; nothing runs of {matched - frozen} more" if matched > frozen else ""
    say(f"{_mark(True)} {counted(frozen)} frozen{took}{rest}")
    where = f"-n {namespace_of(order)}" if order["kind"] == "StopOrder" else "-A"
    name = name_of(order)
    say(f"  nothing that matches starts. Let them go: agentstop order lift {name} {where}")
    say(f"  or end them: agentstop order stop {name} {where}, without a thaw: agentstop order kill {name} {where}")


def order_words(order: Object) -> str:
    """Return the kind and name of an order, as kubectl takes it."""
    return clean(f"{order['kind'].lower()}/{name_of(order)}")


def counted(count: int) -> str:
    """Return a number of tasks in words."""
    return "1 task" if count == 1 else f"{count} tasks"


def _mark(good: bool) -> str:
    encoding = (sys.stdout.encoding or "").lower()
    tick, cross = ("✓", "✗") if encoding.startswith("utf") else ("+", "x")
    return paint(tick, "green") if good else paint(cross, "red")
