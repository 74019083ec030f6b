"""What is waited for, as pure functions of what is seen."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from agentstop.cli.plugin.exit_codes import Exit
from agentstop.cli.plugin.graces import running_out
from agentstop.cli.plugin.names import ORDER_OVER
from agentstop.cli.plugin.waiting.progress import Assessment, Progress, Row
from agentstop.client.follow import Key, key_of
from agentstop.words.durations import moment, spell
from agentstop.words.tasks import (
    Object,
    busy_kubelet,
    clean,
    freezer_of,
    has_ended,
    held_up,
    is_frozen,
    name_of,
    namespace_of,
    phase_of,
    spec_of,
    status_of,
    stop_asked,
    stop_of,
    taken_up,
)

UNHEARD_AFTER: Final = timedelta(seconds=5)
"""When nobody has taken up a request for so long, the user is told."""

NOBODY: Final = "no operator has taken it up yet; is one running here? agentstop check says"

ROWS: Final = 10


class Aim(Protocol):
    """What is waited for."""

    def assess(self, objects: Mapping[Key, Object], gone: Mapping[Key, Object], now: datetime) -> Assessment:
        """Return what these objects, and the last states of deleted ones, mean."""


@dataclass(frozen=True, slots=True)
class TaskAim:
    """Tasks are to come to a state."""

    verb: str
    """What is going on, such as Stopping."""
    keys: frozenset[Key]
    """Which tasks."""
    there: Callable[[Object], bool]
    """Whether a task is where it is to be."""
    missed: Callable[[Object], str | None]
    """Why a task can never be there any more, if so."""
    asked_at: datetime
    """When it was asked for."""

    def assess(self, objects: Mapping[Key, Object], gone: Mapping[Key, Object], now: datetime) -> Assessment:
        """Return how many tasks are there, and what the others wait for."""
        keys = self.keys
        counts: Counter[str] = Counter()
        rows, problems, held = [], [], []
        for key in sorted(keys):
            task = objects.get(key)
            if task is None:
                last = gone.get(key)
                if last is not None and self.there(last):
                    counts[_word_of(last)] += 1
                else:
                    problems.append(f"{key[1]} was deleted, or no longer matches, before its end was seen")
                continue
            if self.there(task):
                counts[_word_of(task)] += 1
                if stop_of(task).get("verdict") == "Unverified":
                    problems.append(f"{key[1]} was marked as stopped without proof that its processes are gone")
                continue
            miss = self.missed(task)
            if miss is not None:
                problems.append(f"{key[1]} {miss}")
                continue
            stalled = held_up(task)
            unheard = not taken_up(task) and now - self.asked_at > UNHEARD_AFTER
            if stalled is not None:
                held.append(f"{key[1]} is held up: {stalled.reason}: {clean(stalled.message)}")
            elif unheard:
                held.append(NOBODY)
            rows.append(row_of(task, now))
        done = len(keys) - len(rows)
        progress = Progress(
            verb=self.verb,
            total=len(keys),
            done=done,
            counts=dict(counts),
            rows=tuple(sorted(rows, key=lambda row: not row.stalled)),
            stalled=sum(row.stalled for row in rows),
            note=NOBODY if NOBODY in held else running_out(filter(None, map(objects.get, sorted(keys))), now),
        )
        outcome = None if rows else Exit.HELD_UP if problems else Exit.OK
        return Assessment(
            progress,
            outcome,
            problem="; ".join(problems[:3]) or None,
            held_up=_joined(held) if held and len(held) == len(rows) else None,
        )


@dataclass(frozen=True, slots=True)
class OrderAim:
    """An order is to be carried out."""

    asked_at: datetime
    running: Callable[[], Sequence[Object]]
    """Asks for some tasks that the order is still stopping."""

    def assess(self, objects: Mapping[Key, Object], gone: Mapping[Key, Object], now: datetime) -> Assessment:
        """Return what the order's status says."""
        del gone  # an order that is no more has nothing to say
        order = next(iter(objects.values()), None)
        if order is None:
            progress = Progress("Stopping", None)
            return Assessment(progress, Exit.HELD_UP, "the order was deleted before it was carried out")
        status, phase = status_of(order), phase_of(order)
        if spec_of(order).get("freeze") and not status.get("startedAt"):
            return self._freezing(order, now)
        matched, left = int(status.get("matched") or 0), int(status.get("stopping") or 0)
        accepted = bool(status.get("startedAt")) or phase != "Pending"
        stopped: dict[str, int] = status.get("stopped") or {}
        counts = {_ORDER_WORDS[name]: int(count) for name, count in stopped.items() if count and name in _ORDER_WORDS}
        finished = phase in ORDER_OVER | {"Holding"} and (left == 0 or phase == "Drilled")
        stalled = int(status.get("stalledCount") or 0)
        unheard = not accepted and now - self.asked_at > UNHEARD_AFTER
        running = self.running() if accepted and left and not finished else ()
        progress = Progress(
            verb="Drill" if spec_of(order).get("drill") else "Stopping",
            total=matched if accepted else None,
            done=matched - left,
            counts=counts,
            rows=tuple(row_of(task, now) for task in running),
            stalled=stalled,
            note=NOBODY if unheard else running_out(running, now),
        )
        held = NOBODY if unheard else None
        if accepted and not finished and stalled and stalled >= left:
            held = stalled_words(order)
        return Assessment(progress, Exit.OK if finished else None, held_up=held)

    def _freezing(self, order: Object, now: datetime) -> Assessment:
        """Return what the status of an order says that freezes, or lets go, and has stopped nothing."""
        status, phase, then = status_of(order), phase_of(order), spec_of(order).get("then")
        matched, halted = int(status.get("matched") or 0), int(status.get("frozen") or 0)
        heard = bool(status.get("freezeStartedAt"))
        unheard = not heard and now - self.asked_at > UNHEARD_AFTER
        progress = Progress(
            verb="Thawing" if then == "Resume" else "Freezing",
            total=matched if heard else None,
            done=halted,
            counts={"Frozen": halted} if halted else {},
            stalled=int(status.get("stalledCount") or 0),
            note=NOBODY if unheard else None,
        )
        there = taken_up(order) and phase == {None: "Frozen", "Resume": "Lifted"}.get(then)
        held = stalled_words(order) if heard and progress.stalled else NOBODY if unheard else None
        return Assessment(progress, Exit.OK if there else None, held_up=None if there else held)


_ORDER_WORDS: Final = {"graceful": "Graceful", "killed": "Killed", "notStarted": "NotStarted", "other": "Other"}


def stalled_words(order: Object) -> str:
    """Return which tasks hold an order up, and why."""
    status = status_of(order)
    listed = [f"{each['namespace']}/{each['name']}: {each['reason']}" for each in (status.get("stalled") or ())[:3]]
    count = int(status.get("stalledCount") or len(listed))
    more = f" and {count - len(listed)} more" if count > len(listed) else ""
    return f"{count} {'task is' if count == 1 else 'tasks are'} held up: {', '.join(listed)}{more}"


def ended(task: Object) -> bool:
    """Whether a task has ended, however."""
    return has_ended(task)


def never_missed(_: Object) -> str | None:
    """Nothing makes it impossible to end."""
    return None


def missed_stopped(task: Object) -> str | None:
    """Why a task will not be Stopped."""
    phase = phase_of(task)
    return f"had ended before: {phase}" if has_ended(task) and phase != "Stopped" else None


def missed_pause(task: Object) -> str | None:
    """Why a task will not be paused."""
    if stop_asked(task):
        return "is being stopped" if not has_ended(task) else "was stopped"
    return f"has ended: {phase_of(task)}" if has_ended(task) else None


def frozen(task: Object) -> bool:
    """Whether a task is frozen, as the operator sees its newest spec."""
    return is_frozen(task) and taken_up(task)


def resumed(task: Object) -> bool:
    """Whether a task runs again, or has run to its end meanwhile."""
    return phase_of(task) in {"Running", "Completed", "Failed"}


def missed_resume(task: Object) -> str | None:
    """Why a task will not run again."""
    if stop_asked(task):
        return "was stopped; a stop is final"
    return "is to be paused again" if spec_of(task).get("paused") else None


def missed_thaw(task: Object) -> str | None:
    """The same of one that nobody lifts an order for."""
    by = freezer_of(task)
    return f"is frozen by {by.words}; let go all that it froze: {by.lift}" if by is not None else missed_resume(task)


def phase_is(phase: str) -> Callable[[Object], bool]:
    """Return whether a task is in a phase, as the operator sees its newest spec."""
    return lambda task: phase_of(task) == phase and taken_up(task)


def row_of(task: Object, now: datetime) -> Row:
    """Return what a task waits for."""
    stalled = held_up(task)
    stop, phase = stop_of(task), phase_of(task)
    if stalled is not None:
        detail = f"{stalled.reason}: {stalled.message}"
    elif not taken_up(task):
        detail = "waits for the operator"
    elif stop:
        detail = _stop_detail(task, now)
    else:
        detail = str(status_of(task).get("message") or "")
    return Row(namespace_of(task), name_of(task), phase, clean(detail), stalled is not None)


def _stop_detail(task: Object, now: datetime) -> str:
    stop = stop_of(task)
    signaled, kill = moment(stop.get("signaledAt")), moment(stop.get("killAt"))
    if signaled is None:
        return "SIGTERM is about to be sent"
    if busy_kubelet(task):
        return "the kubelet is busy with starting a container, and acts when that is done"
    if kill is None:
        return f"SIGTERM {spell((now - signaled).total_seconds())} ago"
    left = (kill - now).total_seconds()
    if left <= 0:
        return "SIGKILL is due; waiting for the proof"
    return f"SIGTERM {spell(max((now - signaled).total_seconds(), 0))} ago, SIGKILL in {spell(left)}"


def _word_of(task: Object) -> str:
    return str(stop_of(task).get("verdict") or phase_of(task))


def _joined(reasons: Sequence[str]) -> str:
    different = list(dict.fromkeys(reasons))
    more = f"; and {len(different) - 3} more" if len(different) > 3 else ""
    return "; ".join(different[:3]) + more


def keys_of(tasks: Sequence[Object]) -> frozenset[Key]:
    """Return the keys of tasks."""
    return frozenset(key_of(task) for task in tasks)
