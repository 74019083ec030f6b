"""The time line of a task: what happened when, from its status and its Events."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agentstop.words.durations import moment
from agentstop.words.tasks import (
    Object,
    busy_kubelet,
    clean,
    containers_of,
    created_at,
    freezer_of,
    is_frozen,
    kill_to_tell,
    longer_kill,
    phase_of,
    status_of,
    stop_of,
)

IN_STATUS: Final = frozenset({"StopAccepted", "StopSignaled", "StopConfirmed", "Running", "Completed"})
"""Reasons of Events whose moments the status has more exactly."""

_NAMED: Final = {
    "User": "a user",
    "Deadline": "its deadline",
    "Budget": "its budget",
    "Idle": "its budget, for its silence,",
    "Tether": "its tether",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened, or is to happen."""

    at: datetime
    what: str
    kind: str = ""
    """stop, end, warning or nothing: how it is shown."""


def moments_of(task: Object, events: Sequence[Object], now: datetime) -> list[Moment]:
    """Return what happened to a task, in order."""
    status, stop = status_of(task), stop_of(task)
    found: list[Moment] = []

    def add(at: datetime | None, what: str, kind: str = "") -> None:
        if at is not None:
            found.append(Moment(at, clean(what), kind))

    add(created_at(task), "created")
    add(moment(status.get("startedAt")), "first container started")
    add(moment(status.get("pausedAt")), _pause(task), "end")
    if stop:
        _add_stop(task, now, add)
    for pod, container in containers_of(task):
        code = container.get("exitCode")
        if code is not None:
            reason = f" ({container['reason']})" if container.get("reason") else ""
            add(
                moment(container.get("finishedAt")),
                f"{pod}/{container['name']} ended with exit code {code}{reason}",
                "end",
            )
    if not stop:
        add(
            moment(status.get("finishedAt")),
            f"{status.get('phase')}: {status.get('message') or ''}".rstrip(": "),
            "end",
        )
    for event in events:
        if event.get("reason") not in IN_STATUS:
            at, times = event_time(event)
            again = f" ({times} times)" if times > 1 else ""
            kind = "warning" if event.get("type") == "Warning" else ""
            add(at, f"{event.get('reason')}: {event.get('note') or ''}{again}", kind)
    # Nodes report whole seconds: what ended in the second of the signal ended after it.
    return sorted(found, key=lambda each: (_sortable(each, found), _ORDER.get(each.kind, 0)))


_ORDER: Final = {"stop": 1, "end": 2, "proof": 3}


def _sortable(each: Moment, found: Sequence[Moment]) -> datetime:
    if each.kind != "end" or each.at.microsecond:
        return each.at
    same_second = [other.at for other in found if other.kind == "stop" and other.at.replace(microsecond=0) == each.at]
    return max(same_second, default=each.at)


def _add_stop(task: Object, now: datetime, add: Callable[..., None]) -> None:
    stop = stop_of(task)
    order, why, source = stop.get("order") or {}, stop.get("reason"), stop["source"]
    named = f"{order['kind']} {order['name']}" if order else _NAMED.get(source)
    by = stop.get("requestedBy") or named or source
    through = f" through {named}" if order and by != named else ""
    through += f" at {stop['origin']}, further up its family" if stop.get("origin") else ""
    add(moment(stop.get("acceptedAt")), f"stop by {by}{through} accepted" + (f": {why}" if why else ""), "stop")
    signaled, kill = moment(stop.get("signaledAt")), moment(stop.get("killAt"))
    grace = f"grace {stop.get('gracePeriodSeconds')}s"
    if signaled is not None and kill is not None and longer_kill(task) is not None:
        grace = f"grace {round((kill - signaled).total_seconds())}s; {stop.get('gracePeriodSeconds')}s came too late"
    busy = busy_kubelet(task)
    add(signaled, f"{'stop on its way to a busy kubelet' if busy else 'SIGTERM on its way'} ({grace})", "stop")
    told = kill_to_tell(task, now)
    if told is not None:
        add(told, "grace period over: SIGKILL" if told <= now else "SIGKILL, if something still runs then", "stop")
    add(moment(stop.get("confirmedAt")), f"proof that no process is left: {stop.get('verdict')}", "proof")


def event_time(event: Object) -> tuple[datetime | None, int]:
    """Return when an Event happened last, and how often."""
    series = event.get("series") or {}
    at = series.get("lastObservedTime") or event.get("eventTime") or event.get("deprecatedLastTimestamp")
    return moment(at), int(series.get("count") or event.get("deprecatedCount") or 1)


def _pause(task: Object) -> str:
    """Return what it means that the task was paused; of one that is over nobody knows any more how it was."""
    if is_frozen(task):
        by = freezer_of(task)
        return "frozen: the kernel holds all processes" + (f", for {by.words}" if by is not None else "")
    return "paused: no process was left" if phase_of(task) == "Paused" else "paused"
