"""A2A over JSON-RPC. The two versions call their methods differently.

Source: https://www.jsonrpc.org/specification
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from agentstop.cluster.decoding import JsonObject
from agentstop.gateway.dialect import Call, Route
from agentstop.gateway.dialects.a2a import operations
from agentstop.gateway.dialects.a2a.errors import (
    RPC,
    Envelope,
    NoExtendedCardError,
    PushNotificationNotSupportedError,
    UnknownMethodError,
    UnsupportedOperationError,
    VersionNotSupportedError,
)
from agentstop.gateway.dialects.a2a.operations import ListParams, TaskParams, read
from agentstop.gateway.dialects.a2a.versions import CURRENT, OLD_RPC, Form, Version, named_version
from agentstop.gateway.errors import GatewayError, InvalidError

Method = Callable[[Call, JsonObject, Form], Awaitable[web.StreamResponse]]

FORMS: Final[Mapping[Version, Form]] = {Version.V1_0: CURRENT, Version.V0_3: OLD_RPC}


async def get(call: Call, params: JsonObject, form: Form) -> web.StreamResponse:
    """GetTask, tasks/get."""
    return _answer(call, form.task(await operations.get(call, read(TaskParams, params, "params"))))


async def cancel(call: Call, params: JsonObject, form: Form) -> web.StreamResponse:
    """CancelTask, tasks/cancel."""
    return _answer(call, form.task(await operations.cancel(call, read(TaskParams, params, "params"))))


async def list_tasks(call: Call, params: JsonObject, form: Form) -> web.StreamResponse:
    """ListTasks, which version 0.3 does not have."""
    found = await operations.list_tasks(call, read(ListParams, params, "params"))
    return _answer(call, {**found.wire(), "tasks": [form.task(each) for each in found.tasks]})


async def subscribe(call: Call, params: JsonObject, form: Form) -> web.StreamResponse:
    """SubscribeToTask, tasks/resubscribe."""
    wanted = read(TaskParams, params, "params")
    return await operations.subscribe(call, wanted, form, lambda event: _result(call, event))


def refuse(error: type[GatewayError], message: str) -> Method:
    """Return a method that A2A has, and we do not."""

    async def method(*_: Any) -> web.StreamResponse:
        raise error(message)

    return method


_no_messages = refuse(UnsupportedOperationError, "tasks are stopped here, and made elsewhere")
_no_pushing = refuse(PushNotificationNotSupportedError, "subscribe to the task instead")
_no_card = refuse(NoExtendedCardError, "there is no card but /.well-known/agent-card.json")

METHODS: Final[Mapping[str, tuple[Version, Method]]] = {
    "GetTask": (Version.V1_0, get),
    "CancelTask": (Version.V1_0, cancel),
    "ListTasks": (Version.V1_0, list_tasks),
    "SubscribeToTask": (Version.V1_0, subscribe),
    "SendMessage": (Version.V1_0, _no_messages),
    "SendStreamingMessage": (Version.V1_0, _no_messages),
    "CreateTaskPushNotificationConfig": (Version.V1_0, _no_pushing),
    "GetTaskPushNotificationConfig": (Version.V1_0, _no_pushing),
    "ListTaskPushNotificationConfigs": (Version.V1_0, _no_pushing),
    "DeleteTaskPushNotificationConfig": (Version.V1_0, _no_pushing),
    "GetExtendedAgentCard": (Version.V1_0, _no_card),
    "tasks/get": (Version.V0_3, get),
    "tasks/cancel": (Version.V0_3, cancel),
    "tasks/resubscribe": (Version.V0_3, subscribe),
    "message/send": (Version.V0_3, _no_messages),
    "message/stream": (Version.V0_3, _no_messages),
    "tasks/pushNotificationConfig/set": (Version.V0_3, _no_pushing),
    "tasks/pushNotificationConfig/get": (Version.V0_3, _no_pushing),
    "tasks/pushNotificationConfig/list": (Version.V0_3, _no_pushing),
    "tasks/pushNotificationConfig/delete": (Version.V0_3, _no_pushing),
    "agent/getAuthenticatedExtendedCard": (Version.V0_3, _no_card),
}


async def answer(call: Call) -> web.StreamResponse:
    """POST to the prefix itself: one request; several at once are not part of A2A."""
    body = await call.body()
    request_id = body.get("id")
    if request_id is not None and (isinstance(request_id, bool) or not isinstance(request_id, str | int)):
        raise InvalidError("id: this is no text, no whole number and not null", where=("body", "id"))
    call.request[RPC] = Envelope(request_id)
    if body.get("jsonrpc") != "2.0":
        raise InvalidError('jsonrpc: this is not "2.0"', where=("body", "jsonrpc"))
    name, params = body.get("method"), body.get("params")
    if not isinstance(name, str):
        raise InvalidError("method: this is no text", where=("body", "method"))
    if name not in METHODS:
        raise UnknownMethodError("there is no such method")
    version, method = METHODS[name]
    params = {} if params is None else params
    task_id = params.get("id") if isinstance(params, dict) else None
    call.request[RPC] = Envelope(request_id, version, task_id if isinstance(task_id, str) else None)
    _check_version(call, version)
    if not isinstance(params, dict):
        raise InvalidError("params: this is no object", where=("params",))
    return await method(call, params, FORMS[version])


def _check_version(call: Call, version: Version) -> None:
    """Raise VersionNotSupportedError where the header names another version than the method is of."""
    named = named_version(call.request)
    if named not in {"", *Version}:
        raise VersionNotSupportedError(f"only {Version.V1_0} and {Version.V0_3} are spoken")
    if named not in {"", version}:
        raise VersionNotSupportedError(f"this method is of version {version}")


def _result(call: Call, result: JsonObject) -> JsonObject:
    return {"jsonrpc": "2.0", "id": call.request[RPC].request_id, "result": result}


def _answer(call: Call, result: JsonObject) -> web.Response:
    return web.Response(body=json.dumps(_result(call, result)).encode(), content_type="application/json")


ROUTES: Final = (Route("POST", "/", answer),)
