"""Webhooks: an alert, a budget or a button elsewhere presses the brake. Off until there is a file of hooks."""

import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from agentstop.api.order import ORDER_KIND
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.resources import ORDERS
from agentstop.gateway.dialect import Call, Dialect, Route
from agentstop.gateway.dialects.hooks.wishes import Wish, order_of, wishes_of
from agentstop.gateway.errors import (
    ConflictError,
    ForbiddenError,
    GatewayError,
    NoSuchPageError,
    TooManyRequestsError,
    UnavailableError,
)
from agentstop.gateway.hooks import Hook
from agentstop.gateway.tasks import MANAGER


async def receive(call: Call) -> web.StreamResponse:
    """POST /{name}: make the orders that the body asks for. Nobody waits for what becomes of them.

    All of a body is read before anything is done. Then each wish is seen to, whatever becomes of the others: where one
    of several alerts is refused, the rest must stop all the same.
    """
    hook = _hook(call)
    wishes = wishes_of(hook, await call.body())
    done: list[JsonObject] = []
    failed: list[GatewayError] = []
    for wish in wishes:
        try:
            done.append(await _make(call, hook, wish))
        except GatewayError as error:
            failed.append(error)
    if failed:
        # What may be sent again comes first: what is done by then is the same order, and not done twice.
        raise next((each for each in failed if isinstance(each, UnavailableError | TooManyRequestsError)), failed[0])
    return _answer({"orders": done}, 202 if done else 200)


def _hook(call: Call) -> Hook:
    """Return the hook of the path, for the one who has its key."""
    hooks = call.core.hooks.current() if call.core.hooks is not None else None
    hook = hooks.named(call.params["name"]) if hooks is not None else None
    if hook is None:
        raise NoSuchPageError("there is no such hook")
    if not call.caller.own or call.caller.name != hook.key:
        raise ForbiddenError("this hook has a key of its own, and this is another one")
    return hook


async def _make(call: Call, hook: Hook, wish: Wish) -> JsonObject:
    order = order_of(hook, wish)
    where = ORDERS[ORDER_KIND].collection(wish.namespace)
    name = order["metadata"].get("name")
    try:
        made = await call.core.access.call(call.caller, "POST", where, {"fieldManager": MANAGER}, order)
    except ConflictError:
        if name is None:
            raise
        made = await call.core.access.call(call.caller, "GET", f"{where}/{name}")
        if not _same(made.get("spec") or {}, order["spec"]):
            raise ConflictError(f"there is another order {name} in namespace {wish.namespace}") from None
        return {"namespace": wish.namespace, "name": name, "repeat": True}
    return {"namespace": wish.namespace, "name": made["metadata"]["name"], "repeat": False}


def _same(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an order that is there stops what was asked for; a hold may have been lifted since."""
    parts = ("selector", "agents", "taskNames")
    return not found.get("drill") and all(found.get(each) == wanted.get(each) for each in parts)


def _render(error: GatewayError, _: Call) -> web.Response:
    return _answer({"error": error.message}, error.code)


def _answer(body: JsonObject, status: int) -> web.Response:
    return web.Response(status=status, body=json.dumps(body).encode(), content_type="application/json")


DIALECT: Final = Dialect(name="hooks", prefix="/hooks", routes=(Route("POST", "/{name}", receive),), render=_render)
