"""Maia: its API for tasks of AI agents.

A stop is a request, answered with 204 and no body once it is the API server's: there is nothing that could wait for the
proof. A task that a stop is on its way for is `STOPPING`. Maia has no word for a task that came to its own end: that is
`STOPPED`, too, and one that failed is `ERRORED`.
Source: https://docs.maia.ai/api-reference/ai-agent-tasks/stop-an-ai-agent-task
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from agentstop.api.meta import EARLIEST
from agentstop.api.task import Phase
from agentstop.gateway.dialect import UUID, Call, Dialect, Route, task_id_of
from agentstop.gateway.entry import Entry
from agentstop.gateway.errors import (
    ConflictError,
    GatewayError,
    InvalidError,
    InvalidIdError,
    NotFoundError,
    UnavailableError,
)
from agentstop.gateway.tasks import NAMESPACE

PROBLEMS: Final = "https://api.matillion.com/problems/"
"""Where Maia's own types of problems begin."""

MAX_SIZE: Final = 100
MAX_PAGE: Final = 2**31 - 1


class Status(StrEnum):
    """Maia's words for where a task is; it has no others."""

    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    STOPPING = "STOPPING"
    ERRORED = "ERRORED"


_STATUS: Final[Mapping[Phase, Status]] = {
    Phase.PENDING: Status.RUNNING,
    Phase.RUNNING: Status.RUNNING,
    Phase.PAUSING: Status.RUNNING,
    Phase.PAUSED: Status.RUNNING,
    Phase.STOPPED: Status.STOPPED,
    Phase.COMPLETED: Status.STOPPED,
    Phase.FAILED: Status.ERRORED,
}


def status_of(entry: Entry) -> Status:
    """Return Maia's word for where a task is. A stop that was never proven is an error."""
    if entry.stopping:  # Stopping is among that
        return Status.STOPPING
    return _STATUS[entry.phase] if entry.proven or not entry.ended else Status.ERRORED


class Record(BaseModel):
    """What Maia answers with: names in camel case."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class AgentConfig(Record):
    """Which agent it is. A namespace is a project; there are no branches and environments here."""

    name: str
    mode: str = "ACT"
    project_id: str
    source_branch_name: str = ""
    environment_name: str = ""


class Task(Record):
    """A task, as Maia shows one."""

    task_id: str
    status: Status
    description: str
    created_at: str
    modified_at: str
    agent_config: AgentConfig
    granted_permissions: tuple[str, ...] = ()
    pending_decisions: tuple[str, ...] = ()


class ListItem(Record):
    """A task, as Maia's lists show one."""

    task_id: str
    status: Status
    agent_name: str
    mode: str = "ACT"
    description: str
    modified_at: str
    project_id: str
    branch_id: str = ""


class ListPage(Record):
    """One page of tasks."""

    tasks: tuple[ListItem, ...]
    page: int
    size: int
    total: int


class Problem(Record):
    """What went wrong.

    Source: https://www.rfc-editor.org/rfc/rfc9457
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str
    violations: tuple[str, ...] = ()


class ListQuery(Record):
    """What a list is asked for."""

    project_id: str | None = None
    branch_id: str | None = None
    status: Status | None = None
    page: int = Field(0, ge=0, le=MAX_PAGE)
    size: int = Field(20, ge=1, le=MAX_SIZE)


async def stop(call: Call) -> web.StreamResponse:
    """POST /v1/ai/agents/tasks/{taskId}/stop: 409 where the task isn't running, or is being stopped already."""
    ref = await _task_ref(call)
    await call.body()
    outcome = await call.tasks.stop(ref, wait=0)
    if not outcome.asked:
        raise ConflictError(f"Task is not in a running state: it is {status_of(outcome.now)}")
    return web.Response(status=204)


async def show(call: Call) -> web.StreamResponse:
    """GET /v1/ai/agents/tasks/{taskId}."""
    entry = await call.tasks.get(await _task_ref(call))
    return _answer(
        Task(
            task_id=entry.uid,
            status=status_of(entry),
            description=entry.name,
            created_at=_time(entry.created_at),
            modified_at=_time(entry.changed_at),
            agent_config=AgentConfig(name=entry.agent or "", project_id=entry.namespace),
        )
    )


async def show_all(call: Call) -> web.StreamResponse:
    """GET /v1/ai/agents/tasks, page by page from 0."""
    try:
        wanted = ListQuery.model_validate(dict(call.query))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidError(first["msg"], where=tuple(map(str, first["loc"]))) from None
    if wanted.project_id is not None and not NAMESPACE.fullmatch(wanted.project_id):
        raise InvalidError("must be the name of a namespace", where=("projectId",))
    found = await call.tasks.list_visible(
        _keep_by(wanted), namespace=wanted.project_id or "", offset=wanted.page * wanted.size, limit=wanted.size
    )
    return _answer(
        ListPage(tasks=tuple(map(_list_item, found.items)), page=wanted.page, size=wanted.size, total=found.total)
    )


def render(error: GatewayError, call: Call) -> web.Response:
    """Return an error as a problem. What the API server fails in is a gateway's: 502, or 504 where it took too long."""
    code = error.code
    if isinstance(error, InvalidError):
        code = 400
    elif isinstance(error, UnavailableError):
        code = 504 if error.late else 502
    title = HTTPStatus(code).phrase
    violations: tuple[str, ...] = ()
    if isinstance(error, InvalidError):
        violations = (": ".join((*error.where[-1:], error.message)),)
    problem = Problem(
        type=PROBLEMS + title.lower().replace(" ", "-"),
        title=title,
        status=code,
        detail=error.message,
        instance=call.request.rel_url.raw_path,
        violations=violations,
    )
    return web.Response(body=problem.model_dump_json().encode(), status=code, content_type="application/problem+json")


async def _task_ref(call: Call) -> str:
    """Return the id in the path. Raises InvalidIdError where it is no UUID, and no other platform's id of a task."""
    problem = InvalidIdError("must be a UUID", where=("taskId",))
    ref = task_id_of(call.params["task_id"])
    if ref is None:
        raise problem
    if not UUID.fullmatch(ref):
        try:
            await call.tasks.get(ref)
        except NotFoundError:
            raise problem from None
    return ref


def _keep_by(wanted: ListQuery) -> Callable[[Entry], bool]:
    def keep(entry: Entry) -> bool:
        return not wanted.branch_id and wanted.status in {None, status_of(entry)}

    return keep


def _list_item(entry: Entry) -> ListItem:
    return ListItem(
        task_id=entry.uid,
        status=status_of(entry),
        agent_name=entry.agent or "",
        description=entry.name,
        modified_at=_time(entry.changed_at),
        project_id=entry.namespace,
    )


def _time(moment: datetime | None) -> str:
    """Write a moment in UTC with milliseconds, as Maia does."""
    return f"{(moment or EARLIEST).astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _answer(record: Record) -> web.Response:
    return web.Response(body=record.model_dump_json(by_alias=True).encode(), content_type="application/json")


_TASKS: Final = "/v1/ai/agents/tasks"

DIALECT: Final = Dialect(
    name="maia",
    prefix="/maia/dpc",
    host_prefix="/dpc",
    routes=(
        Route("POST", f"{_TASKS}/{{task_id}}/stop", stop),
        Route("GET", f"{_TASKS}/{{task_id}}", show),
        Route("GET", _TASKS, show_all),
    ),
    render=render,
)
