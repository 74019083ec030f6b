"""Grace periods, which nothing shortens once they run: said before a long one is given, and when a wish is too late."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import click

from agentstop.cli.plugin.exit_codes import Exit, PluginError
from agentstop.cli.plugin.names import TASK
from agentstop.cli.plugin.output import note
from agentstop.cli.plugin.session import Session, asks
from agentstop.client.errors import ApiError
from agentstop.words.durations import date_and_clock, moment, spell
from agentstop.words.graces import MIN_KUBELET_SECONDS
from agentstop.words.tasks import (
    Object,
    has_ended,
    longer_kill,
    name_of,
    phase_of,
    status_of,
    stop_asked,
    stop_of,
)

LONG_SECONDS: Final = 60
"""From here on a grace period is worth a word: twice Kubernetes' own."""


def longest(tasks: Iterable[Object]) -> int | None:
    """Return the longest grace period that a stop would give one of the tasks, where that is long."""
    found = (int(status_of(task).get("gracePeriodSeconds") or 0) for task in tasks if not _is_ending(task))
    seconds = max(found, default=0)
    return seconds if seconds >= LONG_SECONDS else None


def _is_ending(task: Object) -> bool:
    return stop_asked(task) or has_ended(task) or phase_of(task) == "Pausing"


def warning(what: str, seconds: int, verb: str = "stop") -> str:
    """Say how long it may take, and how to have less: later is too late."""
    less = "for less, say so now: --grace 30s, or --now" if verb == "stop" else "not even a stop does"
    return f"{what} may take {spell(seconds)} to end, and nothing shortens that once it runs; {less}"


def mind(session: Session, name: str, *, yes: bool) -> None:
    """Warn before a task is given a long grace period, and ask where somebody can answer.

    Raises PluginError where the answer is no. What keeps the task from being read is left to the stop to say.
    """
    try:
        task = session.api.get(TASK.path(session.namespace, name))
    except ApiError:
        return
    seconds = longest([task])
    if seconds is None:
        return
    note(warning(name_of(task), seconds))
    if not yes and asks() and not click.confirm(f"Stop {name_of(task)} so?", err=True):
        raise PluginError("nothing was done", Exit.ERROR)


def too_late(task: Object, asked_seconds: int | None, now: datetime) -> str | None:
    """Say so where less time is asked for than runs already; None where it is in time."""
    stop = stop_of(task)
    kill = moment(stop.get("killAt"))
    if asked_seconds is None or kill is None or has_ended(task):
        return None
    left = (kill - now).total_seconds()
    if left <= max(asked_seconds, MIN_KUBELET_SECONDS) + 1:
        return None
    return (
        f"{name_of(task)} is ending already, and no kubelet shortens the grace period that runs: SIGKILL comes at"
        f" {date_and_clock(kill, now)}, in {spell(left)}, and not after {asked_seconds}s"
    )


def running_out(tasks: Iterable[Object], now: datetime) -> str | None:
    """Say so where tasks run out a longer grace period than was asked for; the same words until it is over."""
    kills = [kill for task in tasks if (kill := longer_kill(task)) is not None and kill > now]
    if not kills:
        return None
    return (
        "less time was asked for when a longer grace period ran already, which no kubelet shortens: SIGKILL comes at"
        f" {date_and_clock(max(kills), now)}"
    )
