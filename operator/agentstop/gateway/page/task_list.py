"""All tasks: what is chosen among them by the URL, a page at a time."""

from collections import Counter, OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from operator import attrgetter
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from agentstop.api.task import Phase
from agentstop.gateway.dialect import Call
from agentstop.gateway.entry import Entry
from agentstop.gateway.errors import InvalidError
from agentstop.gateway.filters import selector_of
from agentstop.gateway.page.holds import holds
from agentstop.gateway.page.order_facts import freezer_path
from agentstop.gateway.page.rendering import Part, part
from agentstop.gateway.page.view import Shown, View
from agentstop.lifecycle.orders import selects
from agentstop.words.durations import moment
from agentstop.words.tasks import (
    clean,
    freezer_of,
    held_up,
    namespace_of,
    ran_seconds,
    status_of,
    stop_of,
    who,
)
from agentstop.words.usage import cost_words, limits_of, token_words, usage_of

ROWS: Final = 100
"""So many tasks are on one page."""

MAX_CHOICES: Final = 500
"""So many namespaces and agents are offered to choose from."""

MAX_KEPT: Final = 4000
"""So many rows are kept as they were made, for whoever looks next."""

ACTIVE: Final = "active"

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=253)]


class Query(BaseModel):
    """Which tasks, as the URL says it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    q: Text = ""
    """Words that all stand in what is shown of a task, in its labels or its ids."""
    phase: Literal["", "active"] | Phase = ""
    namespace: Text = ""
    agent: Text = ""
    labels: Annotated[str, StringConstraints(strip_whitespace=True, max_length=1024)] = ""
    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1

    @classmethod
    def of(cls, call: Call) -> "Query":
        """Return what the URL asks for. Raises InvalidError."""
        try:
            return cls.model_validate(dict(call.query))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            raise InvalidError(f"{first['loc'][0]}: {first['msg']}", where=("query", str(first["loc"][0]))) from None

    def url(self, **changes: Any) -> str:
        """Return the URL of this with changes."""
        values = {**self.model_dump(exclude_defaults=True), **changes}
        left = {name: each for name, each in values.items() if each not in ("", None, 1)}
        return f"/?{urlencode(left)}" if left else "/"


class TaskListView(View):
    """The list, for one caller."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._query = Query.of(call)

    @property
    def query(self) -> Query:
        """Its search and filters."""
        return self._query

    async def show(self) -> Shown:
        """Return a page of the tasks, and what there is to choose from."""
        query = self._query
        problem = None
        try:
            selector = selector_of(query.labels) if query.labels else None
        except ValueError as error:
            problem, selector = str(error), None
        words = query.q.casefold().split()

        def keep(entry: Entry) -> bool:
            return (
                problem is None
                and (not query.agent or entry.agent == query.agent)
                and (not query.namespace or entry.namespace == query.namespace)
                and (selector is None or selects(selector, entry.labels))
                and all(each in entry.searchable for each in words)
            )

        everything = (await self._call.tasks.list_visible()).items
        matching = [each for each in everything if keep(each)]
        counts = Counter(map(attrgetter("phase"), matching))
        active = sum(number for phase, number in counts.items() if not phase.terminal)
        chosen = [each for each in matching if _in_phase(each, query.phase)]
        first = (query.page - 1) * ROWS
        rows = {}
        for entry in chosen[first : first + ROWS]:
            may_stop = not entry.ended and not entry.stopping and await self._rights.stop(entry.namespace)
            rows[f"t-{entry.uid}"] = row(entry, may_stop=may_stop)
        phases = [("", "All", len(matching)), (ACTIVE, "Active", active)]
        phases += [(each.value, each.value, counts[each]) for each in Phase if counts[each] or query.phase == each]
        parts = {
            "holds": await holds(self._call, self._rights),
            "phases": part("list/phases.html", phases=phases, query=query),
            "pages": part("list/pages.html", query=query, first=first, shown=len(rows), total=len(chosen), size=ROWS),
            "empty": part("list/empty.html", problem=problem, nothing=not everything, shown=len(rows), query=query),
            "choices": _choices(everything),
        }
        return Shown(parts, rows)


def _in_phase(entry: Entry, wanted: str) -> bool:
    return not wanted or (not entry.ended if wanted == ACTIVE else entry.phase == wanted)


def _choices(entries: list[Entry]) -> Part:
    namespaces = sorted({each.namespace for each in entries})[:MAX_CHOICES]
    agents = sorted({each.agent for each in entries if each.agent})[:MAX_CHOICES]
    return part("list/choices.html", namespaces=namespaces, agents=agents)


_rows: OrderedDict[tuple[str, str, bool], Part] = OrderedDict()


def row(entry: Entry, *, may_stop: bool) -> Part:
    """Return a task's row. It is the same for as long as the task is, so it is kept."""
    key = entry.uid, str(entry.raw["metadata"].get("resourceVersion")), may_stop
    found = _rows.get(key)
    if found is None:
        found = _rows[key] = _row(entry, may_stop=may_stop)
        if len(_rows) > MAX_KEPT:
            _rows.popitem(last=False)
    else:
        _rows.move_to_end(key)
    return found


def _row(entry: Entry, *, may_stop: bool) -> Part:
    return part("list/row.html", task=facts_of(entry), stop=stop_button(entry) if may_stop else None)


def facts_of(entry: Entry) -> Mapping[str, Any]:
    """Return what a row and the head of a task's page say."""
    task: dict[str, Any] = dict(entry.raw)
    status, stop, held, by = status_of(task), stop_of(task), held_up(task), freezer_of(task)
    now = datetime.now(UTC)
    runs = status.get("startedAt") and not status.get("finishedAt") and not status.get("pausedAt")
    since = moment(status.get("startedAt")) if runs else None
    usage = usage_of(task)
    limits = [each for each in limits_of(task, now) if each.what != "silence"]  # that would be old in a second
    return {
        "uid": entry.uid,
        "name": clean(entry.name),
        "namespace": namespace_of(task),
        "agent": clean(entry.agent or ""),
        "phase": entry.phase.value,
        "frozen": entry.frozen,
        "frozen_since": moment(status.get("pausedAt")) if entry.frozen else None,
        "frozen_by": by.words if by is not None else "",
        "order": freezer_path(by) if by is not None else "",
        "stopping": entry.stopping,
        "held": held.reason if held is not None else None,
        "unproven": entry.ended and not entry.proven,
        "verdict": clean(stop.get("verdict") or ""),
        "who": clean(who(task) or ""),
        "ran": ran_seconds(task, now),
        "since": since,
        "paused_seconds": float(status.get("pausedSeconds") or 0),
        "used": cost_words(usage) or token_words(usage),
        "nearest": max(limits, key=attrgetter("percent"), default=None),
    }


def stop_button(entry: Entry) -> Mapping[str, Any]:
    """Return what the button says and does that stops a task."""
    below = (entry.status.get("children") or {}).get("active") or 0
    return {
        "url": f"/api/v1/tasks/{entry.uid}/stop",
        "name": f"{clean(entry.namespace)}/{clean(entry.name)}",
        "below": below if isinstance(below, int) else 0,
    }
