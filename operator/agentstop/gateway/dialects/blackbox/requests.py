"""What Blackbox' clients send, and the form of what they are answered."""

from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from agentstop.gateway.dialect import Call, task_id_of
from agentstop.gateway.errors import (
    GatewayError,
    InvalidError,
    MethodNotAllowedError,
    NoSuchPageError,
    NotFoundError,
    UnauthorizedError,
)

Q = TypeVar("Q", bound=BaseModel)

UNAUTHORIZED: Final = {"error": "Unauthorized", "message": "Invalid or missing API key", "status": 401}


class Wire(BaseModel):
    """What is sent has names in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


def task_ref(call: Call) -> str:
    """Return the id in the path. Raises NotFoundError for a malformed one, too: Blackbox has no other word for it."""
    ref = task_id_of(call.params["task_id"])
    if ref is None:
        raise NotFoundError("no task can have this id")
    return ref


async def check_action(call: Call, wanted: str) -> None:
    """Raise InvalidError where the body asks for anything but this action."""
    body = await call.body()
    if body.get("action") != wanted:
        raise InvalidError("Invalid action", where=("body", "action"))


def list_query(call: Call, model: type[Q]) -> Q:
    """Return what a list is asked for. Raises InvalidError."""
    try:
        return model.model_validate(dict(call.query))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise InvalidError(f"{name}: {first['msg']}", where=("query", name)) from None


def render(error: GatewayError, _: Call) -> web.Response:
    """Return an error as `{"error": ...}`; where nobody is known to have sent the request, it has two fields more."""
    body: dict[str, Any] = {"error": error.message}
    if isinstance(error, UnauthorizedError):
        body = dict(UNAUTHORIZED)
    elif isinstance(error, NoSuchPageError):
        body = {"error": "Not found"}
    elif isinstance(error, MethodNotAllowedError):
        body = {"error": "Method not allowed"}
    elif isinstance(error, NotFoundError):
        body = {"error": "Task not found"}
    return web.json_response(body, status=400 if isinstance(error, InvalidError) else error.code)


def answer(model: Wire) -> web.Response:
    """Return a record or a list as JSON."""
    return web.Response(body=model.model_dump_json(by_alias=True).encode(), content_type="application/json")
