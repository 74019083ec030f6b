"""One task: why it is as it is, how far its stop has come, and all that belongs to it."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from agentstop.api.task import PausePolicy, Phase
from agentstop.gateway.dialect import Call, task_id_of
from agentstop.gateway.entry import Entry
from agentstop.gateway.errors import ForbiddenError, InvalidIdError
from agentstop.gateway.families import Family, events_of, family_of
from agentstop.gateway.page.holds import holds
from agentstop.gateway.page.rendering import part
from agentstop.gateway.page.task_list import facts_of, stop_button
from agentstop.gateway.page.view import Shown, View
from agentstop.gateway.page.words import conditions_of, steps_of
from agentstop.words import reasons
from agentstop.words.durations import moment
from agentstop.words.moments import moments_of
from agentstop.words.tasks import clean, cleaned, container_state, created_at, spec_of, status_of, stop_of
from agentstop.words.usage import limits_of, usage_of, used_words

MAX_DESCENDANTS: Final = 200
"""So many tasks below one are shown."""

EVENTS_SECONDS: Final = 3.0
"""Events are read so often at most."""

LATE_SECONDS: Final = 30.0
"""So long after a task's end its last Events may still come."""

ENDED_EVENTS_SECONDS: Final = 60.0
"""After that they are read so often at most: there may be other tools that write some, and nobody waits for them."""


_PAUSES: Final = (
    (
        "Freeze",
        PausePolicy.FREEZE,
        "The kernel of its node holds its processes where they are, with all that they have in memory; they go on there"
        " when it is resumed. It takes the component on each node: where it cannot be frozen it runs on, and this page"
        " says why.",
    ),
    (
        "Pause",
        PausePolicy.TERMINATE,
        "Its processes are ended, and what they have not saved is lost. It starts anew when it is resumed.",
    ),
)
"""How a task can be paused, and what that does to it. What is said is what is asked for, whatever its policy was."""

_THAWED: Final = "It goes on where it was."
_RESUMED: Final[Mapping[Phase, str]] = {
    Phase.PENDING: "It starts.",
    Phase.RUNNING: "It runs on.",
    Phase.PAUSING: "What is frozen of it goes on where it was; what was ended starts anew.",
    Phase.PAUSED: "It starts anew.",
}
"""What a resume does, by the phase of a task that is not frozen and not at its end."""


class TaskView(View):
    """One task, for one caller."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._ref = _ref(call)
        self._entry: Entry | None = None
        self._events: list[Any] = []
        self._events_at = float("-inf")

    @property
    def period(self) -> float:
        """While it is being stopped, the seconds count."""
        return 1.0 if self._entry is not None and self._entry.stopping else 5.0

    @property
    def title(self) -> str:
        """The task's name."""
        return clean(self._entry.name) if self._entry is not None else ""

    async def show(self) -> Shown:
        """Return the task."""
        entry = self._entry = await self._call.tasks.get(self._ref)
        task: dict[str, Any] = dict(entry.raw)
        now = datetime.now(UTC)
        events = await self._read_events(entry, now)
        moments = moments_of(task, events, now)
        line = [(each, moments[number - 1].at if number else None) for number, each in enumerate(moments)]
        may_stop = not entry.ended and not entry.stopping and await self._rights.stop(entry.namespace)
        pauses = not entry.ended and not entry.stopping and await self._rights.pause(entry.namespace)
        family, hidden = await self._family(entry)
        return Shown(
            {
                "holds": await holds(self._call, self._rights),
                "head": part(
                    "task/head.html",
                    task=facts_of(entry),
                    stop=stop_button(entry) if may_stop else None,
                    buttons=_pause_buttons(entry) if pauses else (),
                ),
                "why": part("task/why.html", why=reasons.answer(task, events, now), ended=entry.ended),
                "budget": part("task/budget.html", **_budget(task, now)),
                "steps": part("task/steps.html", steps=steps_of(task, now), now=now),
                "containers": part("task/containers.html", pods=_pods(task, now), workload=_workload(task)),
                "family": part("task/family.html", family=family, hidden=hidden, uid=entry.uid),
                "conditions": part("task/conditions.html", conditions=conditions_of(task), now=now),
                "moments": part("task/moments.html", line=line, now=now, zone=now.astimezone().tzname()),
                "facts": part("task/facts.html", facts=_facts(entry, task), labels=sorted(entry.labels.items())),
            }
        )

    async def _read_events(self, entry: Entry, now: datetime) -> Sequence[Any]:
        at = asyncio.get_running_loop().time()
        finished = moment(entry.status.get("finishedAt"))
        over = finished is not None and (now - finished).total_seconds() > LATE_SECONDS
        if at - self._events_at >= (ENDED_EVENTS_SECONDS if over else EVENTS_SECONDS):
            self._events = await events_of(self._call, entry)
            self._events_at = at
        return self._events

    async def _family(self, entry: Entry) -> tuple[list[Mapping[str, Any]], int]:
        """Return the family from its head on, each with its depth, and how many are left out."""
        try:
            family = await family_of(self._call, entry)
        except ForbiddenError:
            family = Family([], [])
        if not family.ancestors and not family.descendants:
            return [], 0
        found = [*reversed(family.ancestors), entry]
        depths = {each.key: number for number, each in enumerate(found)}
        children: dict[Any, list[Entry]] = {}
        for each in family.descendants[:MAX_DESCENDANTS]:
            children.setdefault(each.parent, []).append(each)
        shown = [(each, depths[each.key]) for each in found]
        left = [(child, depths[entry.key] + 1) for child in reversed(children.get(entry.key, []))]
        while left:
            each, depth = left.pop()
            shown.append((each, depth))
            left += [(child, depth + 1) for child in reversed(children.get(each.key, []))]
        rows: list[Mapping[str, Any]] = [{**facts_of(each), "depth": min(depth, 8)} for each, depth in shown]
        return rows, max(len(family.descendants) - MAX_DESCENDANTS, 0)


def _pause_buttons(entry: Entry) -> list[Mapping[str, Any]]:
    """Return what the buttons say and do that halt a task, or let it go on."""
    where, order = f"/api/v1/tasks/{entry.uid}", entry.kept_frozen_by
    if entry.spec.get("paused") is True:
        what = _THAWED if entry.frozen else _RESUMED[entry.phase]
        if order is not None:
            what = f"It is paused by itself no more, and stays frozen until {order.words} is lifted."
        return [{"verb": "Resume", "url": f"{where}/resume", "body": "{}", "what": what}]
    if order is not None:
        return []  # its own policy changes nothing while an order freezes it
    return [
        {"verb": verb, "url": f"{where}/pause", "body": json.dumps({"pausePolicy": policy.value}), "what": what}
        for verb, policy, what in _PAUSES
    ]


def _budget(task: dict[str, Any], now: datetime) -> Mapping[str, Any]:
    """Return what is said of a task's usage, and of the limits of its budget."""
    usage = usage_of(task)
    return {
        "limits": limits_of(task, now),
        "warn": int((spec_of(task).get("budget") or {}).get("warnPercent") or 80),
        "used": used_words(usage),
        "family": used_words(usage.get("family") or {}),
        "as_of": moment(usage.get("asOf")),
        "now": now,
    }


def _ref(call: Call) -> str:
    ref = task_id_of(call.params["id"])
    if ref is None:
        raise InvalidIdError("an id is a UID, or 1 to 253 printable characters", where=("path", "id"))
    return ref


def _workload(task: dict[str, Any]) -> str:
    workload = cleaned(status_of(task).get("workload") or spec_of(task).get("workloadRef") or {})
    return f"{workload.get('kind')} {workload.get('name')}" if workload.get("name") else ""


def _pods(task: dict[str, Any], now: datetime) -> list[Mapping[str, Any]]:
    workload = status_of(task).get("workload") or {}
    found: list[Mapping[str, Any]] = []
    for pod in map(cleaned, workload.get("pods") or ()):
        containers = []
        for each in pod.get("containers") or ():
            says, mood = container_state(each, now, moment(pod.get("frozenAt")))
            because = each.get("reason") if each.get("exitCode") is not None else None
            containers.append(
                {"name": each.get("name"), "says": says, "mood": mood, "signal": each.get("signal"), "because": because}
            )
        found.append({"name": pod.get("name", ""), "node": pod.get("node"), "containers": containers})
    return found


def _facts(entry: Entry, task: dict[str, Any]) -> list[tuple[str, str]]:
    spec, stop = cleaned(spec_of(task)), stop_of(task)
    found = [
        ("Namespace", clean(entry.namespace)),
        ("Agent", spec.get("agent")),
        ("UID", entry.uid),
        ("External id", spec.get("externalID")),
        ("Parent", (spec.get("parentRef") or {}).get("name")),
        ("Made", str(created_at(task)) if created_at(task) else None),
        ("Deadline", f"{spec['activeDeadlineSeconds']}s" if spec.get("activeDeadlineSeconds") else None),
        ("Stop reason", stop.get("reason")),
        ("Stop message", stop.get("message")),
    ]
    return [(name, str(value)) for name, value in found if value]
