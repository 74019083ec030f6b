"""Blackbox' newer API, of its agents: the same tasks in other words.

A stop that is on its way leaves a run `running`; `cancelled` is said with the proof in hand.
Source: https://docs.blackbox.ai/api-reference/v1/cancel-task
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from aiohttp import web
from pydantic import BaseModel, Field

from agentstop.api.task import Phase
from agentstop.gateway.dialect import Call, Route
from agentstop.gateway.dialects.blackbox import facts
from agentstop.gateway.dialects.blackbox.requests import Wire, answer, check_action, list_query, task_ref
from agentstop.gateway.entry import Entry
from agentstop.gateway.errors import InvalidError

NOT_IN_PROGRESS: Final = "Task can only be cancelled when it is in progress"

MAX_PAGE: Final = 1_000_000


class RunStatus(StrEnum):
    """Words for where a run is. We never say `interrupted`: a task is never left half-way."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class PolledStatus(StrEnum):
    """Words for the same, for whoever polls."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


_STATUS: Final[Mapping[Phase, RunStatus]] = {
    Phase.PENDING: RunStatus.QUEUED,
    Phase.RUNNING: RunStatus.RUNNING,
    Phase.PAUSING: RunStatus.RUNNING,
    Phase.PAUSED: RunStatus.RUNNING,
    Phase.STOPPING: RunStatus.RUNNING,
    Phase.STOPPED: RunStatus.CANCELLED,
    Phase.COMPLETED: RunStatus.COMPLETED,
    Phase.FAILED: RunStatus.FAILED,
}

_POLLED: Final[Mapping[RunStatus, PolledStatus]] = {
    RunStatus.QUEUED: PolledStatus.PENDING,
    RunStatus.RUNNING: PolledStatus.IN_PROGRESS,
    RunStatus.COMPLETED: PolledStatus.COMPLETED,
    RunStatus.FAILED: PolledStatus.FAILED,
    RunStatus.CANCELLED: PolledStatus.CANCELLED,
    RunStatus.INTERRUPTED: PolledStatus.INTERRUPTED,
}


def status_of(entry: Entry) -> RunStatus:
    """Return the word for where a run is. A stop that was never proven has failed."""
    if entry.stopping:
        return RunStatus.RUNNING
    return RunStatus.FAILED if facts.failed(entry) else _STATUS[entry.phase]


class Run(Wire):
    """A run, as lists show one. What we know nothing of is null."""

    task_id: str
    run_id: str
    chat_id: None = None
    status: RunStatus
    model: None = None
    assistant_message_id: None = None
    error: str | None
    created_at: str
    started_at: str | None
    completed_at: str | None


class WholeRun(Run):
    """A run by itself."""

    messages: tuple[str, ...] = ()


class Cancelled(Wire):
    """What became of a cancellation."""

    success: bool
    """Whether the request was carried out; what it has led to is in the status."""
    status: RunStatus
    message: str


class Polled(Wire):
    """Where a run is."""

    run_id: str
    status: PolledStatus
    progress: int
    error: str | None
    started_at: str | None
    completed_at: str | None


class RunList(Wire):
    """One page of runs."""

    tasks: tuple[Run, ...]
    page: int
    limit: int
    has_more: bool


class ListQuery(BaseModel):
    """What a list is asked for."""

    page: int = Field(1, ge=1, le=MAX_PAGE)
    limit: int = Field(20, ge=1, le=100)
    status: RunStatus | None = None


def run(entry: Entry) -> Run:
    """Return a task as a run."""
    return Run(
        task_id=entry.uid,
        run_id=entry.uid,
        status=status_of(entry),
        error=facts.error_of(entry),
        created_at=facts.written(facts.created(entry)),
        started_at=facts.written_or_none(facts.started(entry)),
        completed_at=facts.written_or_none(facts.completed(entry)),
    )


async def change(call: Call) -> web.StreamResponse:
    """PATCH /api/v1/tasks/{task_id} with the action `cancel`; of a title beside it nothing is kept."""
    ref = task_ref(call)
    await check_action(call, "cancel")
    outcome = await call.tasks.stop(ref)
    if outcome.before.ended or (outcome.now.ended and outcome.now.phase is not Phase.STOPPED):
        raise InvalidError(NOT_IN_PROGRESS)
    uid, ended = outcome.now.uid, outcome.now.ended
    message = f"Task {uid} is being cancelled; it is not proven yet that nothing of it runs"
    if ended:
        message = f"Task {uid} cancelled successfully" if outcome.proven else facts.UNVERIFIED
    return answer(Cancelled(success=outcome.proven or not ended, status=status_of(outcome.now), message=message))


async def show(call: Call) -> web.StreamResponse:
    """GET /api/v1/tasks/{task_id}."""
    return answer(WholeRun(**run(await call.tasks.get(task_ref(call))).model_dump()))


async def show_status(call: Call) -> web.StreamResponse:
    """GET /api/v1/tasks/{task_id}/status."""
    entry = await call.tasks.get(task_ref(call))
    shown = run(entry)
    return answer(
        Polled(
            run_id=shown.run_id,
            status=_POLLED[shown.status],
            progress=facts.progress(entry),
            error=shown.error,
            started_at=shown.started_at,
            completed_at=shown.completed_at,
        )
    )


async def show_all(call: Call) -> web.StreamResponse:
    """GET /api/v1/tasks, page by page."""
    wanted = list_query(call, ListQuery)
    offset = (wanted.page - 1) * wanted.limit
    found = await call.tasks.list_visible(
        lambda entry: wanted.status in {None, status_of(entry)}, offset=offset, limit=wanted.limit
    )
    return answer(
        RunList(
            tasks=tuple(map(run, found.items)),
            page=wanted.page,
            limit=wanted.limit,
            has_more=found.total > offset + wanted.limit,
        )
    )


ROUTES: Final = (
    Route("PATCH", "/api/v1/tasks/{task_id}", change),
    Route("GET", "/api/v1/tasks/{task_id}", show),
    Route("GET", "/api/v1/tasks/{task_id}/status", show_status),
    Route("GET", "/api/v1/tasks", show_all),
)
