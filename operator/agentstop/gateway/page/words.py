"""What the page says, where no object says it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agentstop.words.durations import moment, spell
from agentstop.words.tasks import Object, busy_kubelet, cleaned, has_ended, kill_to_tell, spec_of, status_of, stop_of

CONDITIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "Ready": {"True": "It is as it was asked to be", "False": "It is not as it was asked to be yet"},
    "Reconciling": {"True": "Work on it goes on", "False": "No work on it is under way"},
    "Stalled": {"True": "Something holds it up", "False": "Nothing holds it up"},
    "Stopped": {
        "True": "It is proven that no process is left",
        "False": "It is not proven yet that no process is left",
    },
    "BudgetExceeded": {
        "True": "A limit of its budget is reached",
        "False": "No limit of its budget is reached",
        "Unknown": "Its budget cannot be compared with what it uses",
    },
    "Tethered": {
        "True": "Its tether is kept",
        "False": "Nobody keeps its tether",
        "Unknown": "Whether its tether is kept is not known",
    },
    "ControlledElsewhere": {
        "True": "Something else may start it again",
        "False": "Nothing else will start it again",
    },
}
"""What a condition means, by its type and status."""

_ALWAYS_TOLD: Final = frozenset({"Stopped", "BudgetExceeded", "Tethered"})
"""Conditions whose reason tells something whatever their status is."""


@dataclass(frozen=True, slots=True)
class ConditionWords:
    """One condition, for people."""

    kind: str
    status: str
    says: str
    because: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a stop."""

    what: str
    at: datetime | None
    """When it was done; None where it was not yet."""
    state: str
    """done, current, failed or open."""
    detail: str = ""


def conditions_of(item: Object) -> list[ConditionWords]:
    """Return the conditions of a task or an order."""
    found = []
    for each in map(cleaned, status_of(item).get("conditions") or ()):
        kind, status = each.get("type", ""), each.get("status", "Unknown")
        says = CONDITIONS.get(kind, {}).get(status, f"{kind} is {status.lower()}")
        told = status == "True" or kind in _ALWAYS_TOLD
        because = ": ".join(filter(None, (each.get("reason"), each.get("message")))) if told else ""
        found.append(ConditionWords(kind, status, says, because, moment(each.get("lastTransitionTime"))))
    return found


def steps_of(task: Object, now: datetime) -> list[Step]:
    """Return how far the stop of a task has come; empty where nobody has asked for one."""
    stop = stop_of(task)
    if not stop:
        if not spec_of(task).get("stopRequested") or has_ended(task):
            return []
        return [
            Step("The stop is requested", None, "done"),
            Step("An operator accepts it", None, "current", "none has yet"),
            Step("The processes are told to end", None, "open"),
            Step("It is proven that no process is left", None, "open"),
        ]
    accepted, signaled = moment(stop.get("acceptedAt")), moment(stop.get("signaledAt"))
    confirmed, kill = moment(stop.get("confirmedAt")), kill_to_tell(task, now)
    verdict = stop.get("verdict")
    ended = has_ended(task)
    told = (
        "The stop is on its way to a busy kubelet" if busy_kubelet(task) else "SIGTERM: the processes are told to end"
    )
    steps = [Step("The stop is accepted", accepted, "done")]
    if verdict == "NotStarted":
        steps.append(Step("Nothing of it had started", None, "done"))
    elif signaled is not None or not ended:
        steps.append(Step(told, signaled, "done" if signaled else "current"))
    if kill is not None:
        over = kill <= now
        due = "" if over else f"in {spell((kill - now).total_seconds())}, if something still runs then"
        steps.append(
            Step("SIGKILL: the grace period is over", kill if over else None, "done" if over else "current", due)
        )
    if verdict == "Unverified":
        steps.append(Step("It could not be proven that no process is left", confirmed, "failed"))
    else:
        waiting = "current" if signaled is not None else "open"
        detail = f"after {spell(float(stop['durationSeconds']))}" if stop.get("durationSeconds") is not None else ""
        detail = f"{verdict}, {detail}" if verdict and detail else str(verdict or "")
        what = "It is proven that no process is left" if ended else "Proof that no process is left"
        steps.append(Step(what, confirmed, "done" if ended else waiting, detail))
    return steps
