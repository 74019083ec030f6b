"""Stop orders of both kinds: list, create, drill, get, lift. The API server is asked as the caller each time."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from aiohttp import web

from agentstop.api.meta import API_VERSION
from agentstop.api.order import CLUSTER_ORDER_KIND, ORDER_KIND, OrderPhase, Then
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.resources import ORDERS
from agentstop.gateway.access import MERGE
from agentstop.gateway.dialect import Call, Handler
from agentstop.gateway.dialects.api import requests
from agentstop.gateway.dialects.api.answers import answer, applied, location
from agentstop.gateway.dialects.api.operation import Operation
from agentstop.gateway.dialects.api.records import Order, OrderList, order_of
from agentstop.gateway.dialects.api.requests import (
    ClusterStopOrderDrill,
    ClusterStopOrderRequest,
    DryRunQuery,
    Empty,
    NoQuery,
    OrderListQuery,
    Request,
    StopOrderDrill,
    StopOrderRequest,
)
from agentstop.gateway.errors import ConflictError
from agentstop.gateway.orders import order_path, read_order
from agentstop.gateway.tasks import MANAGER
from agentstop.words.orders import freezes

_SETTLED: Final = frozenset({OrderPhase.COMPLETE, OrderPhase.HOLDING, OrderPhase.LIFTED, OrderPhase.DRILLED})
"""Phases of an order of which everything that was to be stopped is stopped."""


class _Orders:
    """The operations on one kind of order."""

    def __init__(self, kind: str, order: type[Request], drill: type[Request]) -> None:
        self._kind = kind
        self._order = order
        self._drill = drill

    async def show_all(self, call: Call) -> web.StreamResponse:
        """GET the orders of a namespace, or of all."""
        namespace = requests.namespace(call)
        wanted = requests.query(call, OrderListQuery)
        requests.selector(wanted.label_selector)
        query = {"limit": str(wanted.limit)}
        if wanted.label_selector is not None:
            query["labelSelector"] = wanted.label_selector
        if wanted.continue_ is not None:
            query["continue"] = wanted.continue_
        found = await call.core.access.call(call.caller, "GET", ORDERS[self._kind].collection(namespace), query)
        metadata = found.get("metadata") or {}
        left = metadata.get("continue") or None
        return answer(
            OrderList(
                items=tuple(order_of(each, self._kind) for each in found.get("items") or ()),
                continue_=left,
                remaining=metadata.get("remainingItemCount") if left else 0,
            )
        )

    async def show(self, call: Call) -> web.StreamResponse:
        """GET one order."""
        requests.query(call, NoQuery)
        return answer(order_of(await self._read(call), self._kind))

    async def create(self, call: Call) -> web.StreamResponse:
        """POST an order, which stops."""
        return await self._create(call, self._order, {}, ending="")

    async def rehearse(self, call: Call) -> web.StreamResponse:
        """POST a drill, which stops nothing."""
        return await self._create(call, self._drill, {"drill": True}, ending="/drill")

    async def lift(self, call: Call) -> web.StreamResponse:
        """POST: end the hold of an order, or have what it froze go on. What was stopped stays stopped."""
        await requests.body(call, Empty)
        dry, seconds = _dry_run(call), requests.wait(call)
        order = await self._read(call)
        phase = order_of(order, self._kind).status.phase
        frozen = freezes(order)
        if not (frozen or order["spec"].get("hold")) and phase is not OrderPhase.LIFTED:
            raise ConflictError("this order holds nothing; there is nothing to lift")
        change = {"then": Then.RESUME} if frozen else {"hold": False}
        body = {"metadata": {"uid": order["metadata"]["uid"]}, "spec": change}
        lifted = await call.core.access.call(
            call.caller, "PATCH", self._path(call), {"fieldManager": MANAGER, **dry}, body, MERGE
        )
        if not dry:
            lifted = await self._until(call, lifted, frozenset({OrderPhase.LIFTED, OrderPhase.COMPLETE}), seconds)
        shown = order_of(lifted, self._kind)
        if dry or shown.status.phase.over:
            return answer(shown, headers=applied(seconds))
        return answer(shown, 202, {"Location": location(call, "/lift", ""), **applied(seconds)})

    async def _create(self, call: Call, model: type[Request], more: JsonObject, *, ending: str) -> web.StreamResponse:
        namespace = requests.namespace(call)
        dry, seconds = _dry_run(call), requests.wait(call)
        spec = (await requests.body(call, model)).wire()
        name = spec.pop("name", None)
        body = {
            "apiVersion": API_VERSION,
            "kind": self._kind,
            "metadata": {"name": name} if name else {"generateName": "drill-" if more else "stop-"},
            "spec": {**spec, **more},
        }
        where = ORDERS[self._kind].collection(namespace)
        made = await call.core.access.call(call.caller, "POST", where, {"fieldManager": MANAGER, **dry}, body)
        if dry:
            return answer(order_of(made, self._kind), headers=applied(seconds))
        made = await self._until(call, made, _SETTLED, seconds)
        shown = order_of(made, self._kind)
        headers = {"Location": location(call, ending, f"/{shown.name}"), **applied(seconds)}
        return answer(shown, 201 if shown.status.phase in _SETTLED else 202, headers)

    async def _until(
        self, call: Call, order: JsonObject, phases: frozenset[OrderPhase], seconds: float | None
    ) -> JsonObject:
        """Wait until an order is in one of these phases, and return it as the API server has it then."""
        wait = call.core.wait if seconds is None else seconds
        metadata = order["metadata"]

        def reached(raw: JsonObject) -> bool:
            return (raw.get("status") or {}).get("phase") in phases

        if reached(order) or not wait:
            return order
        await call.core.changes.orders.until(metadata["uid"], reached, wait)
        return await read_order(call, self._kind, metadata.get("namespace", ""), metadata["name"])

    async def _read(self, call: Call) -> JsonObject:
        return await read_order(call, self._kind, requests.namespace(call), call.params["name"])

    def _path(self, call: Call) -> str:
        return order_path(self._kind, requests.namespace(call), call.params["name"])

    def operations(self, where: str) -> Iterator[Operation]:
        """Yield the operations below a path."""
        one, all_of_them = (
            ("StopOrder", "the stop orders of a namespace")
            if self._kind == ORDER_KIND
            else ("ClusterStopOrder", "the cluster stop orders")
        )
        posts: tuple[tuple[str, str, Handler, type[Request], str], ...] = (
            ("create", "", self.create, self._order, f"Make a {one}, and wait until all that it selects is stopped."),
            ("drill", "/drill", self.rehearse, self._drill, f"Rehearse a {one}: it says what it would stop."),
        )
        yield Operation(
            name=f"list{one}s",
            summary=f"List {all_of_them}.",
            method="GET",
            path=where,
            handler=self.show_all,
            query=OrderListQuery,
            answers={200: OrderList},
        )
        for verb, below, handler, model, summary in posts:
            yield Operation(
                name=f"{verb}{one}",
                summary=summary,
                method="POST",
                path=f"{where}{below}",
                handler=handler,
                query=DryRunQuery,
                body=model,
                body_required=True,
                answers={200: Order, 201: Order, 202: Order},
                waits=True,
            )
        yield Operation(
            name=f"get{one}",
            summary=f"Show a {one}.",
            method="GET",
            path=f"{where}/{{name}}",
            handler=self.show,
            query=NoQuery,
            answers={200: Order},
        )
        yield Operation(
            name=f"lift{one}",
            summary=f"End the hold of a {one}, or have what it froze go on. What was stopped stays stopped.",
            method="POST",
            path=f"{where}/{{name}}/lift",
            handler=self.lift,
            query=DryRunQuery,
            body=Empty,
            answers={200: Order, 202: Order},
            waits=True,
        )


def _dry_run(call: Call) -> Mapping[str, Any]:
    return {"dryRun": "All"} if requests.query(call, DryRunQuery).dry_run is not None else {}


_ORDERS: Final = _Orders(ORDER_KIND, StopOrderRequest, StopOrderDrill)
_CLUSTER_ORDERS: Final = _Orders(CLUSTER_ORDER_KIND, ClusterStopOrderRequest, ClusterStopOrderDrill)

OPERATIONS: Final = (
    Operation(
        name="listAllStopOrders",
        summary="List the stop orders of all namespaces.",
        method="GET",
        path="/stoporders",
        handler=_ORDERS.show_all,
        query=OrderListQuery,
        answers={200: OrderList},
    ),
    *_ORDERS.operations("/namespaces/{namespace}/stoporders"),
    *_CLUSTER_ORDERS.operations("/clusterstoporders"),
)
