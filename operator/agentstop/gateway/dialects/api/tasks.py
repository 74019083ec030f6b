"""Tasks: list, get, stop, pause, resume, tree, why."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from agentstop.gateway.dialect import Call
from agentstop.gateway.dialects.api import requests
from agentstop.gateway.dialects.api.answers import answer, applied
from agentstop.gateway.dialects.api.operation import Operation, posted
from agentstop.gateway.dialects.api.records import Task, TaskList, Tree, Why, task_of
from agentstop.gateway.dialects.api.requests import (
    DryRunQuery,
    Empty,
    NoQuery,
    PauseRequest,
    StopRequest,
    TaskListQuery,
)
from agentstop.gateway.entry import Entry
from agentstop.gateway.errors import ConflictError, InvalidError
from agentstop.gateway.families import events_of, family_of
from agentstop.gateway.filters import keep_by
from agentstop.gateway.tasks import Outcome
from agentstop.words import reasons

MAX_DESCENDANTS: Final = 1000


async def show_all(call: Call) -> web.StreamResponse:
    """GET /tasks, page by page, newest first."""
    wanted = requests.query(call, TaskListQuery)
    before = _position(wanted.continue_)
    matches = keep_by(wanted.agent, requests.selector(wanted.label_selector))

    def keep(entry: Entry) -> bool:
        return (before is None or entry.position < before) and wanted.phase in {None, entry.phase} and matches(entry)

    found = await call.tasks.list_visible(keep, namespace=wanted.namespace or "", limit=wanted.limit)
    left = found.total - len(found.items)
    return answer(
        TaskList(
            items=tuple(task_of(each, call.tasks) for each in found.items),
            continue_=_token(found.items[-1]) if left else None,
            remaining=left,
        )
    )


async def show(call: Call) -> web.StreamResponse:
    """GET /tasks/{id}."""
    requests.query(call, NoQuery)
    return answer(task_of(await call.tasks.get(requests.task_ref(call)), call.tasks, whole=True))


async def stop(call: Call) -> web.StreamResponse:
    """POST /tasks/{id}/stop. A task that has ended stays as it is."""
    wanted, dry = await requests.body(call, StopRequest), _dry(call)
    seconds = requests.wait(call)
    outcome = await call.tasks.stop(
        requests.task_ref(call),
        reason=wanted.reason,
        message=wanted.message,
        grace=wanted.grace_period_seconds,
        dry_run=dry,
        wait=seconds,
    )
    return _outcome(call, outcome, done=dry or outcome.now.ended, seconds=seconds)


async def pause(call: Call) -> web.StreamResponse:
    """POST /tasks/{id}/pause."""
    wanted = await requests.body(call, PauseRequest)
    dry, seconds = _dry(call), requests.wait(call)
    outcome = await call.tasks.pause(requests.task_ref(call), policy=wanted.pause_policy, dry_run=dry, wait=seconds)
    _check_goes_on(outcome, "paused")
    return _outcome(call, outcome, done=dry or outcome.now.phase == "Paused", seconds=seconds)


async def resume(call: Call) -> web.StreamResponse:
    """POST /tasks/{id}/resume."""
    await requests.body(call, Empty)
    dry, seconds = _dry(call), requests.wait(call)
    outcome = await call.tasks.resume(requests.task_ref(call), dry_run=dry, wait=seconds)
    _check_goes_on(outcome, "resumed")
    return _outcome(call, outcome, done=dry or outcome.now.phase == "Running", seconds=seconds)


async def tree(call: Call) -> web.StreamResponse:
    """GET /tasks/{id}/tree."""
    requests.query(call, NoQuery)
    entry = await call.tasks.get(requests.task_ref(call))
    family = await family_of(call, entry)
    return answer(
        Tree(
            ancestors=tuple(task_of(each, call.tasks) for each in family.ancestors),
            task=task_of(entry, call.tasks),
            descendants=tuple(task_of(each, call.tasks) for each in family.descendants[:MAX_DESCENDANTS]),
            descendant_count=len(family.descendants),
        )
    )


async def why(call: Call) -> web.StreamResponse:
    """GET /tasks/{id}/why."""
    requests.query(call, NoQuery)
    entry = await call.tasks.get(requests.task_ref(call))
    # Events say more only of a task that nobody stopped.
    events = await events_of(call, entry) if entry.ended and not entry.stop_record else []
    found = reasons.answer(dict(entry.raw), events, datetime.now(UTC))
    return answer(Why(id=entry.uid, namespace=entry.namespace, name=entry.name, **found.data()))


def _token(entry: Entry) -> str:
    return base64.urlsafe_b64encode("/".join(entry.position).encode()).decode()


def _position(token: str | None) -> tuple[str, str] | None:
    if token is None:
        return None
    try:
        created, slash, uid = base64.b64decode(token, altchars=b"-_", validate=True).decode().partition("/")
    except (binascii.Error, ValueError):
        slash = ""
    if not slash:
        raise InvalidError("query.continue: this is no end of a page", where=("query", "continue"))
    return created, uid


def _dry(call: Call) -> bool:
    return requests.query(call, DryRunQuery).dry_run is not None


def _check_goes_on(outcome: Outcome, what: str) -> None:
    """Raise ConflictError where a task cannot be paused or resumed any more."""
    for each in (outcome.before, outcome.now):
        if each.ended:
            raise ConflictError(f"the task has ended ({each.phase}); it cannot be {what}")
        if each.stopping:
            raise ConflictError(f"the task is being stopped; it cannot be {what}")


def _outcome(call: Call, outcome: Outcome, *, done: bool, seconds: float | None) -> web.Response:
    """Return the task: with 200 where it is as asked for, else with 202 and where to look."""
    shown = task_of(outcome.now, call.tasks, whole=True)
    if done:
        return answer(shown, headers=applied(seconds))
    above = call.request.rel_url.raw_path.rpartition("/")[0].rpartition("/")[0]
    return answer(shown, 202, {"Location": f"{above}/{outcome.now.uid}", **applied(seconds)})


OPERATIONS: Final = (
    Operation(
        name="listTasks",
        summary="List the tasks that the caller may list, newest first, page by page.",
        method="GET",
        path="/tasks",
        handler=show_all,
        query=TaskListQuery,
        answers={200: TaskList},
    ),
    Operation(
        name="getTask",
        summary="Show a task.",
        method="GET",
        path="/tasks/{id}",
        handler=show,
        query=NoQuery,
        answers={200: Task},
    ),
    Operation(
        name="getTaskTree",
        summary="Show a task's family.",
        method="GET",
        path="/tasks/{id}/tree",
        handler=tree,
        query=NoQuery,
        answers={200: Tree},
    ),
    Operation(
        name="getTaskWhy",
        summary="Say in plain words why a task is as it is.",
        method="GET",
        path="/tasks/{id}/why",
        handler=why,
        query=NoQuery,
        answers={200: Why},
    ),
    posted(
        "stopTask",
        "/tasks/{id}/stop",
        stop,
        StopRequest,
        Task,
        "Stop a task, and wait for the proof. A task that has ended stays as it is.",
    ),
    posted(
        "pauseTask",
        "/tasks/{id}/pause",
        pause,
        PauseRequest,
        Task,
        "Pause a task, and wait until it is proven that nothing runs or all is frozen.",
    ),
    posted(
        "resumeTask",
        "/tasks/{id}/resume",
        resume,
        Empty,
        Task,
        "Let a paused task go on: anew, or where it was frozen.",
    ),
)
