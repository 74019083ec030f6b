"""The emergency stop: what is meant, what a drill says that it would stop, and the order itself.

The page makes no order. It says what one would be, and the browser sends that to our own API, like any other client.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from agentstop.api.order import CLUSTER_ORDER_KIND, ORDER_KIND
from agentstop.gateway.dialect import Call
from agentstop.gateway.errors import ConflictError, ForbiddenError, InvalidError
from agentstop.gateway.filters import selector_of
from agentstop.gateway.page.holds import holds
from agentstop.gateway.page.order_facts import facts, orders_path
from agentstop.gateway.page.orders import OrderView, report_of
from agentstop.gateway.page.rendering import HEADERS, part
from agentstop.gateway.page.view import Shown, View
from agentstop.gateway.tasks import NAMESPACE
from agentstop.words.labels import parse_selector
from agentstop.words.orders import selector_words
from agentstop.words.tasks import cleaned, namespace_of, spec_of

DRILL_SECONDS: Final = 600
"""So long a drill is kept: as long as somebody may take to read what it says, and type."""

EVERYTHING: Final = "everything"

_KEPT: Final = ("selector", "agents", "taskNames", "namespaceSelector")


@dataclass(frozen=True, slots=True)
class Scope:
    """What is to be stopped."""

    namespace: str
    """Where; empty for all namespaces."""
    spec: Mapping[str, Any]
    """What an order's spec has of it."""

    @property
    def url(self) -> str:
        """Where the API takes such orders."""
        return f"/api/v1{orders_path(self.namespace)}"

    @property
    def page(self) -> str:
        """Below what such an order is confirmed."""
        return f"/emergency/{self.namespace or '-'}"


def scope_of(query: Mapping[str, str]) -> Scope:
    """Return what the form means. Raises InvalidError."""
    namespace = query.get("namespace", "").strip()
    if namespace and not NAMESPACE.fullmatch(namespace):
        raise InvalidError("no namespace can be called so", where=("namespace",))
    match query.get("scope"):
        case "everything":
            return Scope(namespace, {"selector": {}})
        case "namespace":
            if not namespace:
                raise InvalidError("say which namespace", where=("namespace",))
            return Scope(namespace, {"selector": {}})
        case "agent":
            agent = query.get("agent", "").strip()
            if not agent:
                raise InvalidError("say which agent", where=("agent",))
            return Scope(namespace, {"selector": {}, "agents": [agent]})
        case "labels":
            labels = query.get("labels", "").strip()
            if not labels:
                raise InvalidError("say which labels, as KEY=VALUE", where=("labels",))
            try:
                selector_of(labels)
            except ValueError as error:
                raise InvalidError(f"labels: {error}", where=("labels",)) from None
            return Scope(namespace, {"selector": parse_selector(labels)})
    raise InvalidError("say what is to be stopped", where=("scope",))


def typed_for(order: Mapping[str, Any]) -> str:
    """Return what has to be typed to confirm an order."""
    spec = cleaned(spec_of(dict(order)))
    narrowed = (
        selector_words(spec.get("namespaceSelector") or {}),
        ",".join(spec.get("taskNames") or ()),
        ",".join(spec.get("agents") or ()),
        selector_words(spec.get("selector") or {}),
    )
    return "/".join(filter(None, (namespace_of(dict(order)), *narrowed))) or EVERYTHING


async def order(call: Call) -> web.StreamResponse:
    """GET /emergency/order: what the form means, for the API: where, and which drill."""
    scope = scope_of(call.query)
    if not call.core.changes.watches(ORDER_KIND if scope.namespace else CLUSTER_ORDER_KIND, scope.namespace):
        place = f"namespace {scope.namespace}" if scope.namespace else "all namespaces"
        raise InvalidError(f"this gateway does not watch {place}", where=("namespace",))
    drill = {**scope.spec, "ttlSecondsAfterFinished": DRILL_SECONDS}
    body = {"url": f"{scope.url}/drill", "body": drill, "next": scope.page}
    return web.Response(text=json.dumps(body), content_type="application/json", headers=HEADERS)


class EmergencyView(View):
    """The form."""

    @property
    def title(self) -> str:
        """What it is for."""
        return "Emergency stop"

    async def show(self) -> Shown:
        """Return the form, with the scopes that the caller may stop."""
        everything = (await self._call.tasks.list_visible()).items
        everywhere = await self._rights.order_everywhere()
        if not await self._rights.order():
            raise ForbiddenError(
                "you may make no stop orders where there are tasks that you see; whoever gives you a role can give you"
                " agentstop-stop"
            )
        namespaces = await self._rights.order_namespaces()
        agents = sorted({each.agent for each in everything if each.agent})[:500]
        return Shown(
            {
                "holds": await holds(self._call, self._rights),
                "scope": part("emergency/scope.html", everywhere=everywhere),
                "offers": part("emergency/offers.html", namespaces=namespaces, agents=agents),
            }
        )


class ConfirmView(OrderView):
    """What a drill says, and what it takes to have it done."""

    def __init__(self, call: Call) -> None:
        if call.params["namespace"] == "-":
            call = Call(
                request=call.request,
                dialect=call.dialect,
                core=call.core,
                params={"name": call.params["name"]},
                sender=call.sender,
            )
        super().__init__(call)

    @property
    def title(self) -> str:
        """What it is for."""
        return "Confirm the emergency stop"

    async def show(self) -> Shown:
        """Return the drill's report, and the form that confirms it."""
        drill = await self.find()
        if not spec_of(drill).get("drill"):
            raise ConflictError("this order is no drill: it has stopped what it selects already")
        namespace = namespace_of(drill)
        scope = Scope(namespace, {name: each for name, each in spec_of(drill).items() if name in _KEPT})
        report = report_of(drill)
        may = await (self._rights.order_in(namespace) if namespace else self._rights.order_everywhere())
        return Shown(
            {
                "holds": await holds(self._call, self._rights),
                "head": part("emergency/head.html", order=facts(drill)),
                "report": part("orders/report.html", report=report),
                "confirm": part(
                    "emergency/confirm.html",
                    url=scope.url if may else None,
                    body=json.dumps(scope.spec),
                    page=f"{orders_path(namespace)}/",
                    typed=typed_for(drill),
                    report=report,
                    order=facts(drill),
                ),
            }
        )
