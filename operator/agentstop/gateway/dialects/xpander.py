"""xpander's REST API for tasks, as its clients know it.

A stop that is on its way is `executing` with `is_manually_stopped: true` and `internal_status: "stopping"`; `stopped`
is said with the proof in hand. A namespace is an organization, a task's UID its id.
Source: https://docs.xpander.ai/api-reference/v1/tasks/stop-task
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentstop.api.meta import format_time, parse_time
from agentstop.api.task import Phase
from agentstop.gateway.dialect import UUID, Call, Dialect, Route, is_task_id
from agentstop.gateway.entry import Entry
from agentstop.gateway.errors import (
    GatewayError,
    InvalidError,
    InvalidIdError,
    MethodNotAllowedError,
    NoSuchPageError,
    NotFoundError,
)
from agentstop.gateway.tasks import Tasks

STOPPING: Final = "stopping"
UNVERIFIED: Final = "unverified"

MAX_PER_PAGE: Final = 50
MAX_PAGE: Final = 1_000_000


class Status(StrEnum):
    """xpander's words for where a task is. We never say `error`: its clients wait on after it."""

    PENDING = "pending"
    EXECUTING = "executing"
    PAUSED = "paused"
    ERROR = "error"
    FAILED = "failed"
    COMPLETED = "completed"
    STOPPED = "stopped"


_STATUS: Final[Mapping[Phase, Status]] = {
    Phase.PENDING: Status.PENDING,
    Phase.RUNNING: Status.EXECUTING,
    Phase.PAUSING: Status.EXECUTING,
    Phase.PAUSED: Status.PAUSED,
    Phase.STOPPING: Status.EXECUTING,
    Phase.STOPPED: Status.STOPPED,
    Phase.COMPLETED: Status.COMPLETED,
    Phase.FAILED: Status.FAILED,
}


def status_of(entry: Entry) -> Status:
    """Return xpander's word for where a task is. A stop that was never proven has failed."""
    if entry.phase is Phase.STOPPED and not entry.proven:
        return Status.FAILED
    return _STATUS[entry.phase]


def internal_status_of(entry: Entry) -> str:
    """Return what xpander's own word does not say: the phase in small letters, `stopping` and `unverified`."""
    if entry.stopping:
        return STOPPING
    return UNVERIFIED if entry.ended and not entry.proven else entry.phase.lower()


class Input(BaseModel):
    """What the task was given. We know nothing of it; clients cannot do without."""

    text: str = ""
    files: tuple[str, ...] = ()
    user: None = None


class Tokens(BaseModel):
    """How many tokens were used."""

    completion_tokens: int = 0
    prompt_tokens: int = 0
    total_tokens: int = 0


class AgentExecution(BaseModel):
    """A task, as xpander shows one."""

    id: str
    agent_id: str
    organization_id: str
    input: Input = Input()
    status: Status
    internal_status: str
    created_at: str
    started_at: str | None
    paused_at: str | None
    finished_at: str | None
    result: str | None = None
    parent_execution: str | None
    sub_executions: tuple[str, ...]
    finished_sub_executions: tuple[str, ...]
    is_manually_stopped: bool
    source: str = "api"
    title: str
    execution_attempts: int
    tokens: Tokens | None


class ListItem(BaseModel):
    """A task, as xpander's lists show one."""

    id: str
    agent_id: str
    organization_id: str
    status: Status
    user_id: str | None = None
    parent_task_id: str | None
    triggering_agent_id: str | None
    created_at: str
    updated_at: str
    source_node_type: str | None = None
    result: str | None = None
    title: str


class ListPage(BaseModel):
    """One page of tasks."""

    items: tuple[ListItem, ...]
    total: int
    page: int
    per_page: int
    total_pages: int


class ListQuery(BaseModel):
    """What a list is asked for."""

    model_config = ConfigDict(extra="ignore")

    page: int = Field(1, ge=1, le=MAX_PAGE)
    per_page: int = Field(20, ge=1, le=MAX_PER_PAGE)
    user_id: str | None = None
    agent_id: str | None = None
    parent_task_id: str | None = None
    triggering_agent_id: str | None = None
    status: Status | None = None
    internal_status: str | None = None
    from_date: datetime | None = None
    to_date: datetime | None = None


def execution(entry: Entry, tasks: Tasks) -> AgentExecution:
    """Return a task in xpander's words."""
    status, parent, children = entry.status, tasks.parent(entry), tasks.children(entry)
    return AgentExecution(
        id=entry.uid,
        agent_id=entry.agent or "",
        organization_id=entry.namespace,
        status=status_of(entry),
        internal_status=internal_status_of(entry),
        created_at=_created(entry),
        started_at=_time(status.get("startedAt")),
        paused_at=_time(status.get("pausedAt")),
        finished_at=_finished(entry),
        parent_execution=parent.uid if parent is not None else None,
        sub_executions=tuple(each.uid for each in children),
        finished_sub_executions=tuple(each.uid for each in children if each.ended),
        is_manually_stopped=status.get("manuallyStopped") is True or (entry.stopping and entry.stop_requested),
        title=entry.name,
        execution_attempts=max(1, _number(status.get("attempts"))),
        tokens=_tokens(status.get("usage")),
    )


def list_item(entry: Entry, tasks: Tasks) -> ListItem:
    """Return a task as a list shows it."""
    parent = tasks.parent(entry)
    return ListItem(
        id=entry.uid,
        agent_id=entry.agent or "",
        organization_id=entry.namespace,
        status=status_of(entry),
        parent_task_id=parent.uid if parent is not None else None,
        triggering_agent_id=parent.agent if parent is not None else None,
        created_at=_created(entry),
        updated_at=_updated(entry),
        title=entry.name,
    )


# Handlers


async def stop(call: Call) -> web.StreamResponse:
    """POST /v1/tasks/{task_id}/stop: also of a task that has ended, which stays as it is."""
    outcome = await call.tasks.stop(await _ref(call))
    return _answer(execution(outcome.now, call.tasks))


async def show(call: Call) -> web.StreamResponse:
    """GET /v1/tasks/{task_id}."""
    return _answer(execution(await call.tasks.get(await _ref(call)), call.tasks))


async def delete(call: Call) -> web.StreamResponse:
    """DELETE /v1/tasks/{task_id}: stops the task and all below it, and removes them."""
    await call.tasks.delete(await _ref(call))
    return web.Response(status=204)


async def show_all(call: Call) -> web.StreamResponse:
    """GET /v1/tasks, page by page."""
    wanted = _query(call)
    offset = (wanted.page - 1) * wanted.per_page
    found = await call.tasks.list_visible(_filter(wanted, call.tasks), offset=offset, limit=wanted.per_page)
    return _answer(
        ListPage(
            items=tuple(list_item(each, call.tasks) for each in found.items),
            total=found.total,
            page=wanted.page,
            per_page=wanted.per_page,
            total_pages=-(-found.total // wanted.per_page),
        )
    )


def _filter(wanted: ListQuery, tasks: Tasks) -> Callable[[Entry], bool]:
    since, until = _moment(wanted.from_date), _moment(wanted.to_date)

    def keep(entry: Entry) -> bool:
        created = entry.created_at
        family = wanted.parent_task_id is not None or wanted.triggering_agent_id is not None
        parent = tasks.parent(entry) if family else None
        return (
            wanted.user_id is None  # of no task it is known whose it is
            and wanted.agent_id in {None, entry.agent}
            and wanted.status in {None, status_of(entry)}
            and wanted.internal_status in {None, internal_status_of(entry)}
            and (wanted.parent_task_id is None or (parent is not None and parent.uid == wanted.parent_task_id.lower()))
            and (
                wanted.triggering_agent_id is None
                or (parent is not None and parent.agent == wanted.triggering_agent_id)
            )
            and (since is None or (created is not None and created >= since))
            and (until is None or (created is not None and created <= until))
        )

    return keep


async def _ref(call: Call) -> str:
    """Return the id in the path. Raises InvalidIdError where it is no UUID, and no other platform's id of a task."""
    given = call.params["task_id"]
    if UUID.fullmatch(given.lower()):
        return given.lower()
    problem = InvalidIdError("Input should be a valid UUID", where=("path", "task_id"))
    if not is_task_id(given):
        raise problem
    try:
        await call.tasks.get(given)
    except NotFoundError:
        raise problem from None
    return given


def _query(call: Call) -> ListQuery:
    try:
        return ListQuery.model_validate(dict(call.query))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidError(first["msg"], where=("query", *map(str, first["loc"]))) from None


# Forms


def render(error: GatewayError, _: Call) -> web.Response:
    """Return an error as `{"detail": ...}`, which is a list where the request itself is wrong."""
    detail: Any = error.message
    if isinstance(error, InvalidError):
        kind = "uuid_parsing" if isinstance(error, InvalidIdError) else "value_error"
        detail = [{"loc": list(error.where or ("body",)), "msg": error.message, "type": kind}]
    elif isinstance(error, NoSuchPageError):
        detail = "Not Found"
    elif isinstance(error, MethodNotAllowedError):
        detail = "Method Not Allowed"
    elif isinstance(error, NotFoundError):
        detail = "Task not found"
    return web.json_response({"detail": detail}, status=error.code)


def _answer(model: BaseModel, status: Literal[200] = 200) -> web.Response:
    return web.Response(body=model.model_dump_json().encode(), status=status, content_type="application/json")


def _time(value: Any) -> str | None:
    moment = parse_time(value) if isinstance(value, str) else None
    return format_time(moment) if moment is not None else None


def _moment(value: datetime | None) -> datetime | None:
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def _created(entry: Entry) -> str:
    return _time(entry.raw["metadata"].get("creationTimestamp")) or "1970-01-01T00:00:00.000000Z"


def _finished(entry: Entry) -> str | None:
    """Return when it was proven that nothing runs any more; xpander's own is when the stop was asked for."""
    if not entry.ended:
        return None
    return _time(entry.stop_record.get("confirmedAt")) or _time(entry.status.get("finishedAt"))


def _updated(entry: Entry) -> str:
    times = (entry.status.get(name) for name in ("finishedAt", "pausedAt", "startedAt"))
    stop = (entry.stop_record.get(name) for name in ("confirmedAt", "signaledAt", "acceptedAt"))
    return max(filter(None, map(_time, (*times, *stop))), default=_created(entry))


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _tokens(usage: Any) -> Tokens | None:
    total = usage.get("totalTokens") if isinstance(usage, dict) else None
    return Tokens(total_tokens=total) if isinstance(total, int) else None


DIALECT: Final = Dialect(
    name="xpander",
    prefix="/xpander",
    routes=(
        Route("POST", "/v1/tasks/{task_id}/stop", stop),
        Route("GET", "/v1/tasks/{task_id}", show),
        Route("DELETE", "/v1/tasks/{task_id}", delete),
        Route("GET", "/v1/tasks", show_all),
    ),
    render=render,
)
