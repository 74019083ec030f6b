"""Reading raw tasks and orders: what a person asks of their status."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from agentstop.words.durations import ago, date_and_clock, moment
from agentstop.words.graces import DEFAULT_GRACE_SECONDS, MIN_KUBELET_SECONDS

Object = dict[str, Any]
"""An object as the API has it."""

TERMINAL: Final = frozenset({"Stopped", "Completed", "Failed"})
"""Phases of a task that has ended."""


@dataclass(frozen=True, slots=True)
class Held:
    """What holds something up: a reason in one word, and a message."""

    reason: str
    message: str
    since: datetime | None = None


def name_of(item: Object) -> str:
    """Return the name."""
    return clean(item["metadata"]["name"])


def namespace_of(item: Object) -> str:
    """Return the namespace; empty for what has none."""
    return clean(item["metadata"].get("namespace", ""))


def status_of(item: Object) -> dict[str, Any]:
    """Return the status, empty where nobody has written one: the definitions' default says generation 0."""
    found = item.get("status") or {}
    return {} if found.get("observedGeneration") == 0 else found


def spec_of(item: Object) -> dict[str, Any]:
    """Return the spec."""
    return item.get("spec") or {}


def phase_of(item: Object) -> str:
    """Return the phase; Pending where nobody has written one."""
    return clean(status_of(item).get("phase") or "Pending")


def is_frozen(task: Object) -> bool:
    """Whether a task is paused with its processes frozen."""
    return phase_of(task) == "Paused" and status_of(task).get("pausePolicy") == "Freeze"


def is_thawing(task: Object) -> bool:
    """Whether a task that was frozen is being let go on."""
    return status_of(task).get("reason") == "Thawing" and phase_of(task) in {"Paused", "Pausing"}


def shown_phase(task: Object) -> str:
    """Return the phase of a task as people are shown it."""
    return f"{phase_of(task)} (frozen)" if is_frozen(task) else phase_of(task)


def stop_of(task: Object) -> dict[str, Any]:
    """Return the record of the stop, empty where none was accepted."""
    return cleaned(status_of(task).get("stop") or {})


def has_ended(task: Object) -> bool:
    """Whether the task has come to its end."""
    return phase_of(task) in TERMINAL


def condition(item: Object, kind: str) -> dict[str, Any]:
    """Return a condition, empty where there is none of this type."""
    conditions: Iterable[dict[str, Any]] = status_of(item).get("conditions") or ()
    return cleaned(next((each for each in conditions if each.get("type") == kind), {}))


def held_up(item: Object) -> Held | None:
    """Return what holds an object up that has not ended, if anything does."""
    stalled = condition(item, "Stalled")
    if stalled.get("status") != "True" or phase_of(item) in TERMINAL:
        return None
    return Held(stalled.get("reason", ""), stalled.get("message", ""), moment(stalled.get("lastTransitionTime")))


def busy_kubelet(task: Object) -> bool:
    """Whether a stop waits for a kubelet that is busy with something else, and acts on it only when that is done."""
    for kind in ("Reconciling", "Stalled"):
        found = condition(task, kind)
        if (found.get("status"), found.get("reason")) == ("True", "KubeletBusy"):
            return not has_ended(task)
    return False


def taken_up(item: Object) -> bool:
    """Whether the operator has seen the newest spec."""
    return int(status_of(item).get("observedGeneration") or 0) >= int(item["metadata"].get("generation") or 0)


def stop_asked(task: Object) -> bool:
    """Whether a stop was requested or accepted."""
    return bool(spec_of(task).get("stopRequested")) or bool(stop_of(task))


@dataclass(frozen=True, slots=True)
class Freezer:
    """The order that has a task frozen."""

    kind: str
    name: str
    uid: str
    namespace: str

    @property
    def words(self) -> str:
        """Its kind and name."""
        return f"{self.kind} {self.name}"

    @property
    def lift(self) -> str:
        """The command that lifts it."""
        where = f"-n {self.namespace}" if self.kind == "StopOrder" else "-A"
        return f"agentstop order lift {self.name} {where}"


def freezer_of(task: Object) -> Freezer | None:
    """Return the order that has a task frozen, or is about to; None where its own spec does, or nothing."""
    by = cleaned(status_of(task).get("frozenBy") or {})
    if not by:
        return None
    return Freezer(str(by.get("kind")), str(by.get("name")), str(by.get("uid")), namespace_of(task))


def frozen_words(task: Object, now: datetime) -> str | None:
    """Return by what a task is frozen, and since when; None where it is not."""
    if not is_frozen(task):
        return None
    by, since = freezer_of(task), moment(status_of(task).get("pausedAt"))
    words = "its own spec" if by is None else by.words
    return words if since is None else f"{words} since {date_and_clock(since, now)}, for {ago(since, now)}"


def created_at(item: Object) -> datetime | None:
    """Return when the object was created."""
    return moment(item["metadata"].get("creationTimestamp"))


def at(record: dict[str, Any], name: str) -> datetime | None:
    """Return a moment of a record."""
    return moment(record.get(name))


def containers_of(task: Object) -> list[tuple[str, dict[str, Any]]]:
    """Return (pod, container) of all containers on record."""
    pods = (status_of(task).get("workload") or {}).get("pods") or ()
    return [(clean(pod["name"]), cleaned(each)) for pod in pods for each in pod.get("containers") or ()]


def container_state(container: dict[str, Any], now: datetime, frozen: datetime | None = None) -> tuple[str, str]:
    """Return what a container does, and what to make of it: runs, frozen, waits, good or bad.

    `frozen` is since when its pod is frozen, if it is.
    """
    code, started = container.get("exitCode"), moment(container.get("startedAt"))
    if code is not None:
        return f"exit code {code}", "good" if code == 0 else "bad"
    if started is not None and frozen is not None:
        return f"frozen, for {ago(frozen, now)}", "frozen"
    if started is not None:
        return f"runs, for {ago(started, now)}", "runs"
    return str(container.get("reason") or "not started"), "waits"


def exit_codes(task: Object) -> list[int]:
    """Return the exit codes on record."""
    return [each["exitCode"] for _, each in containers_of(task) if each.get("exitCode") is not None]


def took_seconds(task: Object, now: datetime) -> float | None:
    """Return how long the stop took, or has taken up to now; None without one."""
    stop = stop_of(task)
    if not stop:
        return None
    if stop.get("durationSeconds") is not None:
        return float(stop["durationSeconds"])
    accepted = moment(stop.get("acceptedAt"))
    return max((now - accepted).total_seconds(), 0.0) if accepted else None


def ran_seconds(task: Object, now: datetime) -> float | None:
    """Return how long the task has run, its pauses taken off; None before its start."""
    status = status_of(task)
    started = moment(status.get("startedAt"))
    if started is None:
        return None
    until = moment(status.get("finishedAt")) or moment(status.get("pausedAt")) or now
    return max((until - started).total_seconds() - float(status.get("pausedSeconds") or 0), 0.0)


def who(task: Object) -> str | None:
    """Return who or what stopped the task: a person where one is known, else the source."""
    stop = stop_of(task)
    if not stop:
        return None
    return str(stop.get("requestedBy") or stop.get("source") or "") or None


def longer_kill(task: Object) -> datetime | None:
    """Return when SIGKILL comes, or came, where a longer grace period runs than was asked for by then."""
    stop = stop_of(task)
    signaled, kill = moment(stop.get("signaledAt")), moment(stop.get("killAt"))
    asked = stop.get("gracePeriodSeconds")
    if signaled is None or kill is None or asked is None:
        return None
    pods = (status_of(task).get("workload") or {}).get("pods") or ()
    if pods and all(int(pod.get("gracePeriodSeconds", DEFAULT_GRACE_SECONDS)) <= int(asked) for pod in pods):
        return None  # SIGTERM came later: whoever controls the pods took its time
    return kill if (kill - signaled).total_seconds() > int(asked) + MIN_KUBELET_SECONDS + 1 else None


def kill_to_tell(task: Object, now: datetime) -> datetime | None:
    """Return when SIGKILL came, or comes if something still runs then; None where nothing can be said of it.

    While a kubelet is busy, nobody knows when. Once the moment is there, whether it was sent is known by the verdict.
    """
    stop = stop_of(task)
    kill = moment(stop.get("killAt"))
    if kill is None or busy_kubelet(task):
        return None
    comes = not stop.get("confirmedAt") and not has_ended(task) and kill > now
    return kill if comes or stop.get("verdict") == "Killed" else None


def clean(text: Any) -> str:
    """Return text from the cluster without what a terminal would take for commands: control characters, line breaks,
    and what turns the direction of writing. All that is shown of an object goes through here.
    """
    return "".join(each if each.isprintable() else " " for each in str(text))


def cleaned(value: dict[str, Any]) -> dict[str, Any]:
    """Return a part of an object with all text in it clean."""
    return {key: _cleaned(each) for key, each in value.items()}


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return cleaned(value)
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    return clean(value) if isinstance(value, str) else value
