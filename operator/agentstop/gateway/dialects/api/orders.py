"""Stop orders of both kinds: list, create, drill, get, lift, stop, kill. The API server is asked as the caller."""

from collections.abc import Callable, Iterator, Mapping
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
from agentstop.gateway.dialects.api.operation import Operation, posted
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

_LET_GO: Final = frozenset(each for each in OrderPhase if each.over)
"""Phases of an order that holds and freezes nothing any more."""

_HALTED: Final = _SETTLED | {OrderPhase.FROZEN}
"""The same, of one of which nobody has said yet what follows on its freeze."""


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

        def change(order: JsonObject) -> Mapping[str, Any]:
            shown = order_of(order, self._kind)
            if freezes(order) or shown.spec.then is Then.RESUME:  # whoever asks twice is answered twice
                return {"then": Then.RESUME}
            if not shown.spec.hold and shown.status.phase is not OrderPhase.LIFTED:
                raise ConflictError("this order holds nothing; there is nothing to lift")
            return {"hold": False}

        return await self._change(call, change, _LET_GO, "/lift")

    async def stop(self, call: Call) -> web.StreamResponse:
        """POST: stop what an order froze, and all else that matches."""
        return await self._end(call, Then.STOP)

    async def kill(self, call: Call) -> web.StreamResponse:
        """POST: kill what an order froze, and all else that matches."""
        return await self._end(call, Then.KILL)

    async def _end(self, call: Call, then: Then) -> web.StreamResponse:
        def change(order: JsonObject) -> Mapping[str, Any]:
            said = order_of(order, self._kind).spec.then
            if not freezes(order) and said is not then:
                was = f"was told to {said.lower()} what it froze" if said is not None else "freezes nothing"
                raise ConflictError(f"this order {was}; stop what matches by another one")
            return {"then": then}

        return await self._change(call, change, _SETTLED, f"/{then.lower()}")

    async def _change(
        self,
        call: Call,
        change: Callable[[JsonObject], Mapping[str, Any]],
        done: frozenset[OrderPhase],
        ending: str,
    ) -> web.StreamResponse:
        """Merge into an order's spec what `change` makes of the order, and answer once it is in one of these phases."""
        await requests.body(call, Empty)
        dry, seconds = _dry_run(call), requests.wait(call)
        order = await self._read(call)
        body = {"metadata": {"uid": order["metadata"]["uid"]}, "spec": change(order)}
        query = {"fieldManager": MANAGER, **dry}
        order = await call.core.access.call(call.caller, "PATCH", self._path(call), query, body, MERGE)
        if not dry:
            order = await self._until(call, order, done, seconds)
        shown = order_of(order, self._kind)
        if dry or shown.status.phase in done:
            return answer(shown, headers=applied(seconds))
        return answer(shown, 202, {"Location": location(call, ending, ""), **applied(seconds)})

    async def _create(self, call: Call, model: type[Request], more: JsonObject, *, ending: str) -> web.StreamResponse:
        namespace = requests.namespace(call)
        dry, seconds = _dry_run(call), requests.wait(call)
        spec = (await requests.body(call, model)).wire()
        name = spec.pop("name", None)
        body = {
            "apiVersion": API_VERSION,
            "kind": self._kind,
            "metadata": {"name": name} if name else {"generateName": _prefix(spec, more)},
            "spec": {**spec, **more},
        }
        where = ORDERS[self._kind].collection(namespace)
        made = await call.core.access.call(call.caller, "POST", where, {"fieldManager": MANAGER, **dry}, body)
        if dry:
            return answer(order_of(made, self._kind), headers=applied(seconds))
        done = _HALTED if freezes(made) else _SETTLED
        made = await self._until(call, made, done, seconds)
        shown = order_of(made, self._kind)
        headers = {"Location": location(call, ending, f"/{shown.name}"), **applied(seconds)}
        return answer(shown, 201 if shown.status.phase in done else 202, headers)

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
        yield Operation(
            name=f"list{one}s",
            summary=f"List {all_of_them}.",
            method="GET",
            path=where,
            handler=self.show_all,
            query=OrderListQuery,
            answers={200: OrderList},
        )
        yield posted(
            f"create{one}",
            where,
            self.create,
            self._order,
            Order,
            f"Make a {one}, and wait until all that it selects is stopped, or frozen where it freezes.",
            makes=True,
        )
        yield posted(
            f"drill{one}",
            f"{where}/drill",
            self.rehearse,
            self._drill,
            Order,
            f"Rehearse a {one}: it says what it would stop.",
            makes=True,
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
        ends = f"what a {one} has frozen, and all else that matches"
        changes: tuple[tuple[str, Handler, str], ...] = (
            (
                "lift",
                self.lift,
                f"End the hold of a {one}, or have what it froze go on. What was stopped stays stopped.",
            ),
            ("stop", self.stop, f"Stop {ends}: it goes on into SIGTERM, with its grace period."),
            ("kill", self.kill, f"Kill {ends}, without a thaw: what is frozen never runs again."),
        )
        for verb, handler, summary in changes:
            yield posted(f"{verb}{one}", f"{where}/{{name}}/{verb}", handler, Empty, Order, summary)


def _prefix(spec: JsonObject, more: JsonObject) -> str:
    """Return how the name begins of an order that was given none."""
    return "drill-" if more else "freeze-" if spec.get("freeze") else "stop-"


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
