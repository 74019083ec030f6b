"""Why a task is as it is, in plain words: who, what, what proves it; or what holds it up, and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from agentstop.words import leases
from agentstop.words.advice import ADVICE, ELSEWHERE, GRACE_RUNS, NEVER_FROZEN, RUNS_ON
from agentstop.words.durations import ago, date_and_clock, moment, spell
from agentstop.words.moments import event_time
from agentstop.words.remains import left_behind
from agentstop.words.tasks import (
    Object,
    busy_kubelet,
    clean,
    condition,
    containers_of,
    freezer_of,
    frozen_words,
    has_ended,
    held_up,
    is_frozen,
    is_thawing,
    longer_kill,
    name_of,
    namespace_of,
    phase_of,
    shown_phase,
    spec_of,
    status_of,
    stop_of,
    taken_up,
)
from agentstop.words.usage import cost_of, cost_words, standing, turn_words, usage_of, used_words


@dataclass(frozen=True, slots=True)
class Answer:
    """Why a task is as it is."""

    phase: str
    headline: str
    """The answer in one sentence."""
    facts: tuple[str, ...] = ()
    """Who asked, when, and how it went."""
    proof: tuple[str, ...] = ()
    """What proves it."""
    remains: tuple[str, ...] = ()
    """What the stop leaves behind."""
    held_up: str | None = None
    """What holds it up."""
    advice: tuple[str, ...] = ()
    """What to do about it."""

    def data(self) -> dict[str, Any]:
        """Return the answer for machines."""
        return {
            "phase": self.phase,
            "headline": self.headline,
            "facts": list(self.facts),
            "proof": list(self.proof),
            "remains": list(self.remains),
            "heldUp": self.held_up,
            "advice": list(self.advice),
        }


_VERDICTS: Final = {
    "Graceful": "every container ended before its grace period was over",
    "Killed": "at least one container was ended by SIGKILL when its grace period was over",
    "NotStarted": "the stop came before anything of it ran, so nothing had to be ended",
    "NodeFenced": "its node was deleted or declared out of service, and the pod went with it",
    "Gone": "its pod is gone from a node that answers, and its grace period is over; its last state was not seen",
    "Unverified": "nobody could prove that its processes are gone; the task asked to be marked as stopped all the same",
}

_SILENT: Final = frozenset({"NodeUnreachable", "NodeDeleted", "NodeUnknown", "NodeReadForbidden"})
"""Reasons for which nobody can say what the node has done."""

_SOURCES: Final = {
    "Deadline": "it ran for longer than its activeDeadlineSeconds",
    "Deletion": "its task, or that of its parent, was deleted",
}

_LIMITS: Final = {"Budget": "its budget", "Idle": "its budget, for its silence", "Tether": "its tether"}
"""What stops a task by itself, and says in the record what was reached."""


def answer(task: Object, events: Sequence[Object], now: datetime) -> Answer:
    """Return why a task is as it is."""
    phase = phase_of(task)
    if phase == "Stopped":
        return _stopped(task, now)
    if stop_of(task):
        return _stopping(task, now)
    if spec_of(task).get("stopRequested") and not has_ended(task):
        return _unheard(task)
    if has_ended(task):
        return _ended(task, events, now)
    return _alive(task, now)


def _stopped(task: Object, now: datetime) -> Answer:
    verdict = str(stop_of(task).get("verdict"))
    proof = [f"{verdict}: {_VERDICTS.get(verdict, 'see the documentation')}", *_ends(task)]
    headline, left = f"{name_of(task)} was stopped {_by(task)}", tuple(left_behind(task, now))
    return Answer("Stopped", headline, tuple(_facts(task, now)), tuple(proof), left)


def _stopping(task: Object, now: datetime) -> Answer:
    stop, stalled = stop_of(task), held_up(task)
    if stalled is None and busy_kubelet(task):
        return Answer(
            "Stopping",
            f"{name_of(task)} is being stopped {_by(task)}; the kubelet is busy, and does not act before that is over",
            tuple(_facts(task, now)),
            tuple(_ends(task)),
            held_up=f"KubeletBusy: {condition(task, 'Reconciling').get('message')}",
            advice=_advice(task, "KubeletBusy"),
        )
    if stalled is None:
        kill = moment(stop.get("killAt"))
        left = f"; SIGKILL follows in {spell((kill - now).total_seconds())}" if kill and kill > now else ""
        headline = f"{name_of(task)} is being stopped {_by(task)}, and nothing holds it up{left}"
        advice = _advice(task, GRACE_RUNS) if kill and kill > now and longer_kill(task) else ()
        return Answer("Stopping", headline, tuple(_facts(task, now)), tuple(_ends(task)), advice=advice)
    since = f" for {ago(stalled.since, now)}" if stalled.since else ""
    return Answer(
        "Stopping",
        f"{name_of(task)} is being stopped {_by(task)}, but is held up{since}",
        tuple(_facts(task, now)),
        tuple(_ends(task)),
        held_up=f"{stalled.reason}: {clean(stalled.message)}",
        advice=_advice(task, stalled.reason),
    )


def _unheard(task: Object) -> Answer:
    told = " It has not seen the newest change of the task." if not taken_up(task) else ""
    return Answer(
        phase_of(task),
        f"the stop of {name_of(task)} is requested, but no operator has accepted it.{told}",
        held_up="an operator that does not run, or does not serve this namespace",
        advice=(f"see whether one runs: agentstop check -n {namespace_of(task)}",),
    )


def _ended(task: Object, events: Sequence[Object], now: datetime) -> Answer:
    status = status_of(task)
    finished = moment(status.get("finishedAt"))
    when = f" {ago(finished, now)} ago" if finished else ""
    facts = [f"{status.get('reason')}: {clean(status.get('message') or '')}"]
    if spec_of(task).get("stopRequested"):
        facts.append("the stop was requested when it had ended already, and changed nothing")
    facts += _used(task)
    facts += _logs(task)
    facts += _warnings(events)
    headline = f"nobody stopped {name_of(task)}: it ended by itself{when}, {phase_of(task)}"
    return Answer(phase_of(task), headline, tuple(facts), tuple(_ends(task)))


def _alive(task: Object, now: datetime) -> Answer:
    status, phase = status_of(task), phase_of(task)
    message = clean(status.get("message") or "nobody has written its status yet")
    stalled = held_up(task)
    waits = condition(task, "Reconciling")
    reason = stalled.reason if stalled else waits.get("reason", "") if waits.get("status") == "True" else ""
    advice = _advice(task, reason) if stalled or reason in ADVICE else ()
    if not status:
        advice = (f"see whether an operator runs: agentstop check -n {namespace_of(task)}",)
    if is_frozen(task) and not is_thawing(task):
        advice = (*advice, _thaw(task))
    started = moment(status.get("startedAt"))
    since = f", started {ago(started, now)} ago" if started else ""
    return Answer(
        phase,
        f"{name_of(task)} is {shown_phase(task)}{since}, and nobody has asked to stop it",
        (
            message,
            *_frozen(task, now),
            *_elsewhere(task),
            *_used(task),
            *filter(None, (standing(task), leases.standing(task))),
        ),
        held_up=f"{stalled.reason}: {clean(stalled.message)}" if stalled else None,
        advice=advice,
    )


def _frozen(task: Object, now: datetime) -> list[str]:
    """Return by what a task is frozen, since when, and what else keeps it from going on."""
    words = frozen_words(task, now)
    facts = [f"frozen by {words}"] if words else []
    if words and freezer_of(task) is not None and spec_of(task).get("paused"):
        facts.append("it is paused by its own spec, too, and stays so when the order is lifted")
    return facts


def _thaw(task: Object) -> str:
    """Return how a task that is frozen goes on."""
    by = freezer_of(task)
    if by is None:
        return f"let it go on: agentstop thaw {name_of(task)} -n {namespace_of(task)}"
    return f"let all go on that the order froze: {by.lift}"


def _used(task: Object) -> list[str]:
    used = used_words(usage_of(task))
    return [f"it has used {used}"] if used else []


def _elsewhere(task: Object) -> list[str]:
    """Return what a stop of this task does not end, or has ended besides."""
    found = condition(task, "ControlledElsewhere")
    if not found:
        return []
    return [f"it goes on elsewhere: {found.get('message')}" if found.get("status") == "True" else found["message"]]


def _by(task: Object) -> str:
    """Return who stopped it, or what."""
    stop = stop_of(task)
    source, by = str(stop.get("source")), stop.get("requestedBy")
    order = stop.get("order") or {}
    if source in _LIMITS:
        return f"by {_LIMITS[source]}{_reached(task, stop)}"
    if source in _SOURCES:
        return f"because {_SOURCES[source]}"
    if source == "Parent":
        return f"together with {stop.get('origin') or 'its parent'}" + (f", by {by}" if by else "")
    through = f" through {order['kind']} {order['name']}" if order else ""
    return f"by {clean(by)}{through}" if by else f"by {'a user' if not order else 'somebody'}{through}"


def _reached(task: Object, stop: dict[str, Any]) -> str:
    """Return which limit was reached, what else was used by then, and what came in after the stop."""
    said, used = clean(stop.get("message") or ""), stop.get("usageAtAcceptance") or {}
    whole = (spec_of(task).get("budget") or {}).get("scope") == "Family"
    also = (cost_words(used), turn_words(used)) if stop["source"] != "Tether" and not whole else ()
    more = [each for each in also if each and each.split()[-1] not in said]
    told = ", ".join(filter(None, (said, *more)))
    return (f": {told}" if told else "") + "".join(f"; {each}" for each in _late(stop))


def _late(stop: dict[str, Any]) -> list[str]:
    late = stop.get("usageAfter") or {}
    said = cost_words(late) if cost_of(late) else used_words(late)
    return [f"{said} came in after the stop"] if said else []


def _facts(task: Object, now: datetime) -> list[str]:
    stop = stop_of(task)
    facts = []
    because = ": ".join(clean(each) for each in (stop.get("reason"), stop.get("message")) if each)
    if stop.get("source") in _LIMITS:
        facts.append(f"nobody asked for it; the reason on record is {stop.get('reason')}")
    elif because:
        facts.append(f"they said: {because}")
    used = used_words(stop.get("usageAtAcceptance") or {})
    if used:
        facts.append(f"it had used {used} by then")
    if stop.get("source") not in _LIMITS:
        facts += _late(stop)
    facts += _elsewhere(task)
    if not stop.get("requestedBy") and stop.get("source") in {"User", "StopOrder"}:
        facts.append("nothing in this cluster stamps who asks for a stop, so it is not on record")
    accepted, signaled = moment(stop.get("acceptedAt")), moment(stop.get("signaledAt"))
    if accepted:
        facts.append(f"accepted at {date_and_clock(accepted, now)}, {ago(accepted, now)} ago")
    killed = moment(stop.get("killAt"))
    if accepted and signaled and killed:
        after = spell((signaled - accepted).total_seconds())
        patience = spell((killed - signaled).total_seconds())
        comes = "is due" if killed > now else "was due"
        stalled = held_up(task)
        if busy_kubelet(task):
            facts.append(
                f"the stop was on its way to the node {after} later; the kubelet acts on it when it is done with what"
                f" it does, and SIGKILL comes {patience} after that at the latest"
            )
        elif stalled is not None and stalled.reason in _SILENT:
            facts.append(f"the stop was on its way to the node {after} later; whether SIGTERM came is not known")
        else:
            facts.append(f"SIGTERM was on its way {after} later, and SIGKILL {comes} {patience} after it")
        if longer_kill(task):
            facts.append(
                f"{stop.get('gracePeriodSeconds')}s were asked for when that ran already, and no kubelet shortens what"
                f" runs: SIGKILL {comes} at {date_and_clock(killed, now)}"
            )
    facts += _logs(task)
    if stop.get("durationSeconds") is not None:
        facts.append(f"no process was left {spell(float(stop['durationSeconds']))} after the acceptance")
    return facts


def _logs(task: Object) -> list[str]:
    lost = (status_of(task).get("workload") or {}).get("logsGone")
    return [clean(f"its logs {'went' if has_ended(task) else 'go'} with the pod: {lost}")] if lost else []


def _ends(task: Object) -> list[str]:
    nodes = {pod["name"]: pod.get("node") for pod in (status_of(task).get("workload") or {}).get("pods") or ()}
    found = []
    for pod, container in containers_of(task):
        if container.get("exitCode") is not None:
            where = f" on node {nodes[pod]}" if nodes.get(pod) else ""
            reason = f" ({container['reason']})" if container.get("reason") else ""
            found.append(
                clean(f"{pod}/{container['name']}{where} ended with exit code {container['exitCode']}{reason}")
            )
        elif container.get("startedAt"):
            found.append(clean(f"{pod}/{container['name']} has not been seen to end"))
    return found


def _warnings(events: Sequence[Object]) -> list[str]:
    warnings = [each for each in events if each.get("type") == "Warning"]
    warnings.sort(key=lambda each: str(event_time(each)[0]))
    return [clean(f"Event {each.get('reason')}: {each.get('note')}") for each in warnings[-3:]]


def _advice(task: Object, reason: str) -> tuple[str, ...]:
    workload = status_of(task).get("workload") or spec_of(task).get("workloadRef") or {}
    pods = workload.get("pods") or ()
    words = {
        "name": name_of(task),
        "namespace": namespace_of(task),
        "node": next((pod["node"] for pod in pods if pod.get("node")), "that it ran on"),
        "workload": f"{workload.get('kind', 'Pod').lower()}/{workload.get('name', name_of(task))}",
        "parent": (spec_of(task).get("parentRef") or {}).get("name", ""),
    }
    ordered = reason in NEVER_FROZEN and freezer_of(task) is not None
    return ((RUNS_ON if ordered else ADVICE.get(reason, ELSEWHERE)).format(**words),)
