"""What xpander's clients send, and the form of what they are answered."""

from datetime import datetime
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from agentstop.gateway.dialect import UUID, Call, task_id_of
from agentstop.gateway.dialects.xpander.records import ListItem, Status
from agentstop.gateway.errors import (
    ForbiddenError,
    GatewayError,
    InvalidError,
    InvalidIdError,
    MethodNotAllowedError,
    NoSuchPageError,
    NotFoundError,
)

MAX_PER_PAGE: Final = 50
MAX_PAGE: Final = 1_000_000

_ITEMS: Final = TypeAdapter(list[ListItem])


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


async def task_ref(call: Call) -> str:
    """Return the id in the path. Raises InvalidIdError where it is no UUID, and no other platform's id of a task."""
    problem = InvalidIdError("Input should be a valid UUID", where=("path", "task_id"))
    ref = task_id_of(call.params["task_id"])
    if ref is None:
        raise problem
    if not UUID.fullmatch(ref):
        try:
            await call.tasks.get(ref)
        except NotFoundError:
            raise problem from None
    return ref


def list_query(call: Call) -> ListQuery:
    """Return what a list is asked for. Raises InvalidError."""
    try:
        return ListQuery.model_validate(dict(call.query))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidError(first["msg"], where=("query", *map(str, first["loc"]))) from None


def check_organization(call: Call, namespace: str) -> None:
    """Raise ForbiddenError where the path names another organization than the task's."""
    if call.params.get("organization_id", namespace) != namespace:
        raise ForbiddenError("the task belongs to another organization")


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


def answer(model: BaseModel) -> web.Response:
    """Return a record or a page as JSON."""
    return web.Response(body=model.model_dump_json().encode(), content_type="application/json")


def array(items: list[ListItem]) -> web.Response:
    """Return items as a bare JSON array."""
    return web.Response(body=_ITEMS.dump_json(items), content_type="application/json")
