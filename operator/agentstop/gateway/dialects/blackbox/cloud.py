"""The API of Blackbox' cloud.

A stop that is on its way is `saving`, which is in progress; `stopped` is said with the proof in hand.
Source: https://docs.blackbox.ai/api-reference/cancel-task
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, Literal

from aiohttp import web
from pydantic import BaseModel, Field

from agentstop.api.task import Phase
from agentstop.gateway.dialect import Call, Route
from agentstop.gateway.dialects.blackbox import facts
from agentstop.gateway.dialects.blackbox.requests import Wire, answer, check_action, list_query, task_ref
from agentstop.gateway.entry import Entry
from agentstop.gateway.errors import ForbiddenError, InvalidError, NotFoundError

NOT_IN_PROGRESS: Final = "Task can only be stopped when it is in progress"
STOPPED: Final = "Task stopped successfully"
STOPPING: Final = "Task is being stopped; it is not proven yet that nothing of it runs"

MAX_OFFSET: Final = 1_000_000


class Status(StrEnum):
    """Blackbox' words for where a task is. We never say `timeout`: what ran too long was stopped."""

    PENDING = "pending"
    PROCESSING = "processing"
    SAVING = "saving"
    COMPLETED = "completed"
    ERROR = "error"
    STOPPED = "stopped"
    TIMEOUT = "timeout"


_STATUS: Final[Mapping[Phase, Status]] = {
    Phase.PENDING: Status.PENDING,
    Phase.RUNNING: Status.PROCESSING,
    Phase.PAUSING: Status.PROCESSING,
    Phase.PAUSED: Status.PROCESSING,
    Phase.STOPPING: Status.SAVING,
    Phase.STOPPED: Status.STOPPED,
    Phase.COMPLETED: Status.COMPLETED,
    Phase.FAILED: Status.ERROR,
}

_FILTERS: Final[Mapping[str, frozenset[Status]]] = {
    "active": frozenset({Status.PENDING, Status.PROCESSING, Status.SAVING}),
    "completed": frozenset({Status.COMPLETED}),
    "failed": frozenset({Status.ERROR, Status.TIMEOUT}),
    "stopped": frozenset({Status.STOPPED}),
}


def status_of(entry: Entry) -> Status:
    """Return Blackbox' word for where a task is. A stop that was never proven is an error."""
    if entry.stopping:
        return Status.SAVING
    return Status.ERROR if facts.failed(entry) else _STATUS[entry.phase]


class Task(Wire):
    """A task, as Blackbox' cloud shows one. What we know nothing of is null."""

    id: str
    user_id: None = None
    team_id: None = None
    prompt: str = ""
    repo_url: None = None
    selected_agent: str | None
    selected_model: None = None
    status: Status
    progress: int
    logs: tuple[str, ...] = ()
    error: str | None
    branch_name: None = None
    sandbox_id: str | None
    agent_sandbox_config: None = None
    agent_executions: tuple[str, ...] = ()
    batch_id: None = None
    created_at: str
    updated_at: str
    completed_at: str | None


class Shown(Wire):
    """One task."""

    task: Task


class Stopped(Shown):
    """What became of a stop."""

    message: str


class TaskStatus(Wire):
    """Where a task is, for whoever polls."""

    task_id: str
    status: Status
    progress: int
    in_progress: bool
    is_done: bool
    error: str | None
    created_at: str
    updated_at: str
    completed_at: str | None
    duration: str | None


class TaskList(Wire):
    """A part of the tasks."""

    tasks: tuple[Task, ...]
    has_more: bool
    offset: int
    limit: int


class ListQuery(BaseModel):
    """What a list is asked for."""

    limit: int = Field(50, ge=1, le=100)
    offset: int = Field(0, ge=0, le=MAX_OFFSET)
    filter: Literal["all", "tasks", "batch"] = "all"
    status: Literal["active", "completed", "failed", "stopped"] | None = None


def task(entry: Entry) -> Task:
    """Return a task in the words of Blackbox' cloud."""
    return Task(
        id=entry.uid,
        selected_agent=entry.agent,
        status=status_of(entry),
        progress=facts.progress(entry),
        error=facts.error_of(entry),
        sandbox_id=_sandbox(entry.status.get("workload")),
        created_at=facts.written(facts.created(entry)),
        updated_at=facts.written(facts.updated(entry)),
        completed_at=facts.written_or_none(facts.completed(entry)),
    )


async def change(call: Call) -> web.StreamResponse:
    """PATCH /api/tasks/{task_id} with the action `stop`, the only one there is."""
    ref = task_ref(call)
    await check_action(call, "stop")
    try:
        outcome = await call.tasks.stop(ref)
    except ForbiddenError:
        await _readable(call)
        raise
    if outcome.before.ended or (outcome.now.ended and outcome.now.phase is not Phase.STOPPED):
        raise InvalidError(NOT_IN_PROGRESS)
    message = STOPPED if outcome.proven else facts.UNVERIFIED if outcome.now.ended else STOPPING
    return answer(Stopped(message=message, task=task(outcome.now)))


async def show(call: Call) -> web.StreamResponse:
    """GET /api/tasks/{task_id}."""
    return answer(Shown(task=task(await _readable(call))))


async def show_status(call: Call) -> web.StreamResponse:
    """GET /api/tasks/{task_id}/status."""
    entry = await _readable(call)
    shown = task(entry)
    return answer(
        TaskStatus(
            task_id=shown.id,
            status=shown.status,
            progress=shown.progress,
            in_progress=not entry.ended,
            is_done=entry.ended,
            error=shown.error,
            created_at=shown.created_at,
            updated_at=shown.updated_at,
            completed_at=shown.completed_at,
            duration=_duration(entry),
        )
    )


async def show_all(call: Call) -> web.StreamResponse:
    """GET /api/tasks: a part of the tasks."""
    wanted = list_query(call, ListQuery)
    found = await call.tasks.list_visible(keep_by(wanted), offset=wanted.offset, limit=wanted.limit)
    return answer(
        TaskList(
            tasks=tuple(map(task, found.items)),
            has_more=found.total > wanted.offset + wanted.limit,
            offset=wanted.offset,
            limit=wanted.limit,
        )
    )


def keep_by(wanted: ListQuery) -> Callable[[Entry], bool]:
    """Return whether a task is among those that are asked for. No task of ours is one of a batch."""
    statuses = _FILTERS[wanted.status] if wanted.status is not None else frozenset(Status)
    return lambda entry: wanted.filter != "batch" and status_of(entry) in statuses


async def _readable(call: Call) -> Entry:
    """Return the task. Raises NotFoundError where the caller may not read it: here, others' tasks are not there."""
    try:
        return await call.tasks.get(task_ref(call))
    except ForbiddenError as error:
        raise NotFoundError(error.message) from None


def _duration(entry: Entry) -> str | None:
    started, completed = facts.started(entry), facts.completed(entry)
    if started is None or completed is None:
        return None
    return f"{max(completed - started, timedelta()) // timedelta(seconds=1)}s"


def _sandbox(workload: Any) -> str | None:
    name = workload.get("name") if isinstance(workload, dict) else None
    return name if isinstance(name, str) else None


ROUTES: Final = (
    Route("PATCH", "/api/tasks/{task_id}", change),
    Route("GET", "/api/tasks/{task_id}", show),
    Route("GET", "/api/tasks/{task_id}/status", show_status),
    Route("GET", "/api/tasks", show_all),
)
