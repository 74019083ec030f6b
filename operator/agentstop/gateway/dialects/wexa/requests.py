"""What Wexa's clients send, and the form of what they are answered.

The SDK says that it sends JSON, and sends no body. The documents name projects and executions in bodies, too.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from agentstop.gateway.dialect import Call, task_id_of
from agentstop.gateway.dialects.wexa.ids import OBJECT_ID, project_id
from agentstop.gateway.dialects.wexa.records import Task
from agentstop.gateway.entry import Entry
from agentstop.gateway.errors import (
    ConflictError,
    GatewayError,
    InvalidError,
    InvalidIdError,
    MethodNotAllowedError,
    NotFoundError,
)
from agentstop.gateway.tasks import NAMESPACE

MAX_LIMIT: Final = 1000
MAX_SKIP: Final = 10_000_000

_TASKS: Final = TypeAdapter(list[Task])

M = TypeVar("M", bound=BaseModel)


class ListQuery(BaseModel):
    """What a list is asked for."""

    model_config = ConfigDict(extra="ignore")

    limit: int = Field(100, ge=1, le=MAX_LIMIT)
    skip: int = Field(0, ge=0, le=MAX_SKIP)
    created_by: str | None = None


class Body(BaseModel):
    """What a body may name. The project has no effect: the id is of one task, whatever the project."""

    model_config = ConfigDict(extra="ignore", strict=True)

    project_id: str | None = Field(None, alias="projectID")
    execution_id: str | None = None


def task_ref(given: str) -> str:
    """Return what a task is called. Raises InvalidIdError where no task can be called so."""
    small = given.lower()
    ref = small if OBJECT_ID.fullmatch(small) else task_id_of(given)
    if ref is None:
        raise InvalidIdError("the id is neither an ObjectId nor a UUID nor another platform's id", where=("path", "id"))
    return ref


async def read_body(call: Call) -> Body:
    """Return what the body names, which may be empty. Raises InvalidError and others."""
    return _read(Body, await call.body(), "body")


def list_query(call: Call) -> ListQuery:
    """Return what a list is asked for. Raises InvalidError."""
    return _read(ListQuery, dict(call.query), "query")


def namespace_of(call: Call) -> str:
    """Return the namespace that the path calls a project, by its id or by its name. Raises GatewayError."""
    given = call.params["project_id"]
    known = {each.namespace for each in call.core.index.all()}
    if OBJECT_ID.fullmatch(given.lower()) and given not in known:
        for each in known:
            if project_id(each) == given.lower():
                return each
        raise NotFoundError("no task is in a project with this id; the namespace's name will do, too")
    if not NAMESPACE.fullmatch(given):
        raise InvalidIdError("the project is neither an ObjectId nor the name of a namespace", where=("path", "id"))
    return given


async def paused(call: Call, ref: str) -> Entry:
    """Pause a task as its pausePolicy says, and return it.

    Raises ConflictError where it has ended or is being stopped.
    """
    now = (await call.tasks.pause(ref)).now
    _check(now, ended=now.ended)
    return now


async def resumed(call: Call, ref: str) -> Entry:
    """Let a task go on, and return it: it may have come to its end since.

    Raises ConflictError as `paused` does, and where an order alone keeps it frozen.
    """
    outcome = await call.tasks.resume(ref)
    _check(outcome.now, ended=outcome.before.ended)
    return outcome.now


def _check(now: Entry, *, ended: bool) -> None:
    if ended:
        raise ConflictError("the task has ended")
    if now.stopping:
        raise ConflictError("a stop of the task is on its way")


def render(error: GatewayError, _: Call) -> web.Response:
    """Return an error as `{"detail": text}`, which is what the SDK reads first."""
    detail = error.message
    if isinstance(error, MethodNotAllowedError):
        detail = "Method Not Allowed"
    return web.json_response({"detail": detail}, status=error.code)


def answer(model: BaseModel, status: int = 200) -> web.Response:
    """Return a record as JSON."""
    body = model.model_dump_json(by_alias=True).encode()
    return web.Response(body=body, status=status, content_type="application/json")


def array(tasks: Sequence[Task]) -> web.Response:
    """Return tasks as a bare JSON array."""
    return web.Response(body=_TASKS.dump_json(list(tasks), by_alias=True), content_type="application/json")


def _read(model: type[M], given: Mapping[str, Any], where: str) -> M:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise InvalidError(f"{name}: {first['msg']}", where=(where, name)) from None
