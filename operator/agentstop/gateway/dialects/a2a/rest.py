"""A2A over HTTP+JSON. Version 0.3 has the same paths with `/v1` before them, which 1.0 would take for a tenant."""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

from aiohttp import web

from agentstop.cluster.decoding import JsonObject
from agentstop.gateway.dialect import Call, Handler, Route
from agentstop.gateway.dialects.a2a import operations
from agentstop.gateway.dialects.a2a.errors import (
    NoExtendedCardError,
    PushNotificationNotSupportedError,
    UnsupportedOperationError,
    VersionNotSupportedError,
)
from agentstop.gateway.dialects.a2a.operations import ListParams, Params, TaskParams, read
from agentstop.gateway.dialects.a2a.versions import CURRENT, OLD_REST, Form, Version, named_version
from agentstop.gateway.errors import InvalidError

MEDIA_TYPE: Final = "application/a2a+json"
OLD_TENANT: Final = "v1"


class Asked(NamedTuple):
    """What the path and the header say."""

    form: Form
    media_type: str
    tenant: str | None


class Body(Params):
    """What a cancellation may say once more in its body."""

    id: str | None = None
    metadata: dict[str, Any] | None = None


async def get(call: Call) -> web.StreamResponse:
    """GET /tasks/{task_id}."""
    asked = _asked(call)
    found = await operations.get(call, _task_params(call, asked, call.query))
    return _answer(asked, asked.form.task(found))


async def cancel(call: Call) -> web.StreamResponse:
    """POST /tasks/{task_id}:cancel."""
    asked = _asked(call)
    body = read(Body, await call.body(), "params")
    if body.id not in {None, call.params["task_id"]}:
        raise InvalidError("id: the body names another task than the path", where=("params", "id"))
    found = await operations.cancel(call, _task_params(call, asked, {"tenant": body.tenant}))
    return _answer(asked, asked.form.task(found))


async def subscribe(call: Call) -> web.StreamResponse:
    """GET and POST /tasks/{task_id}:subscribe: the text of the specification has the one, its definitions the other."""
    asked = _asked(call)
    await call.body()
    return await operations.subscribe(call, _task_params(call, asked, {}), asked.form, lambda event: event)


async def list_tasks(call: Call) -> web.StreamResponse:
    """GET /tasks."""
    asked = _asked(call)
    wanted = read(ListParams, {**call.query, "tenant": _tenant(asked, call.query.get("tenant"))}, "query")
    found = await operations.list_tasks(call, wanted)
    return _answer(asked, {**found.wire(), "tasks": [asked.form.task(each) for each in found.tasks]})


async def send_message(_: Call) -> NoReturn:
    """POST /message:send and /message:stream."""
    raise UnsupportedOperationError("tasks are stopped here, and made elsewhere")


async def push_notification(_: Call) -> NoReturn:
    """All of /tasks/{task_id}/pushNotificationConfigs."""
    raise PushNotificationNotSupportedError("subscribe to the task instead")


async def extended_card(_: Call) -> NoReturn:
    """GET /extendedAgentCard, and /v1/card."""
    raise NoExtendedCardError("there is no card but /.well-known/agent-card.json")


def _asked(call: Call) -> Asked:
    """Return what the path and the header say. Raises VersionNotSupportedError.

    By the specification, a request that names no version is of 0.3. One to a path that only 1.0 has is of 1.0 all the
    same: whoever stops a task by hand is not sent away for a header.
    """
    tenant = call.params.get("tenant")
    named = named_version(call.request)
    if named in {"", Version.V0_3} and tenant == OLD_TENANT:
        return Asked(OLD_REST, "application/json", None)
    if named in {"", Version.V1_0}:
        return Asked(CURRENT, MEDIA_TYPE, tenant)
    if named == Version.V0_3:
        raise VersionNotSupportedError("the paths of version 0.3 begin with /v1")
    raise VersionNotSupportedError(f"only {Version.V1_0} and {Version.V0_3} are spoken")


def _tenant(asked: Asked, given: str | None) -> str | None:
    if asked.tenant is not None and given not in {None, "", asked.tenant}:
        raise InvalidError("tenant: the path names another one", where=("params", "tenant"))
    return asked.tenant if asked.tenant is not None else given


def _task_params(call: Call, asked: Asked, given: Mapping[str, Any]) -> TaskParams:
    tenant = _tenant(asked, given.get("tenant"))
    return read(TaskParams, {**given, "id": call.params["task_id"], "tenant": tenant}, "query")


def _answer(asked: Asked, body: JsonObject) -> web.Response:
    return web.Response(body=json.dumps(body).encode(), content_type=asked.media_type)


_TASK: Final = "/tasks/{task_id:[^/]+(?<!:cancel)(?<!:subscribe)}"

_ROUTES: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("POST", "/tasks/{task_id}:cancel", cancel),
    ("GET", "/tasks/{task_id}:subscribe", subscribe),
    ("POST", "/tasks/{task_id}:subscribe", subscribe),
    ("GET", _TASK, get),
    ("GET", "/tasks", list_tasks),
    ("POST", "/message:send", send_message),
    ("POST", "/message:stream", send_message),
    ("GET", "/tasks/{task_id}/pushNotificationConfigs", push_notification),
    ("POST", "/tasks/{task_id}/pushNotificationConfigs", push_notification),
    ("GET", "/tasks/{task_id}/pushNotificationConfigs/{config_id}", push_notification),
    ("DELETE", "/tasks/{task_id}/pushNotificationConfigs/{config_id}", push_notification),
    ("GET", "/extendedAgentCard", extended_card),
)

ROUTES: Final = (
    *(Route(*each) for each in _ROUTES),
    Route("GET", f"/{OLD_TENANT}/card", extended_card),
    *(Route(method, f"/{{tenant}}{path}", handler) for method, path, handler in _ROUTES),
)
