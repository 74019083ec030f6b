"""Stop orders: all of them, and one."""

import asyncio
from datetime import UTC, datetime

from agentstop.api.order import CLUSTER_ORDER_KIND, ORDER_KIND, DrillReport, ListedTask
from agentstop.cluster.decoding import JsonObject
from agentstop.gateway.dialect import Call
from agentstop.gateway.order_index import uid_of
from agentstop.gateway.orders import read_order
from agentstop.gateway.page.holds import ends_url, holds, lift_url, visible_orders
from agentstop.gateway.page.order_facts import facts
from agentstop.gateway.page.rendering import part
from agentstop.gateway.page.view import Shown, View
from agentstop.gateway.page.words import conditions_of
from agentstop.words.orders import what_became_of_it
from agentstop.words.tasks import cleaned, name_of, status_of

MAX_ORDERS = 200
"""So many orders are listed, the newest ones."""


class OrderListView(View):
    """The orders that one caller may see."""

    @property
    def title(self) -> str:
        """What they are."""
        return "Stop orders"

    async def show(self) -> Shown:
        """Return the orders."""
        await self._call.tasks.list_visible(lambda _: False)  # what is known must be new
        found = await visible_orders(self._call, self._rights)
        rows = {
            f"o-{each['metadata']['uid']}": part("orders/row.html", order=facts(each)) for each in found[:MAX_ORDERS]
        }
        return Shown(
            {
                "holds": await holds(self._call, self._rights),
                "pages": part("orders/pages.html", total=len(found), shown=len(rows)),
            },
            rows,
        )


class OrderView(View):
    """One order, for one caller."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._kind = ORDER_KIND if "namespace" in call.params else CLUSTER_ORDER_KIND
        self._place = call.params.get("namespace", ""), call.params["name"]
        self.order: JsonObject = {}
        self._read_at = float("-inf")
        self._read_after: str | None = None

    @property
    def period(self) -> float:
        """An order counts, and tells the seconds."""
        return 5.0

    @property
    def title(self) -> str:
        """Which order it is."""
        return f"{self.order['kind']} {name_of(self.order)}"

    async def find(self) -> JsonObject:
        """Return the order, as the caller reads it. Raises GatewayError.

        A page that is followed is made anew with each change of anything: what was read counts for the page's period,
        unless the watch tells that this order has changed.
        """
        now, told = asyncio.get_running_loop().time(), self._told
        if told != self._read_after or now - self._read_at >= self.period:
            self.order = await read_order(self._call, self._kind, *self._place)
            self._read_at, self._read_after = now, told
        return self.order

    @property
    def _told(self) -> str | None:
        """The version of the order that the watch told of last."""
        told = self._call.core.changes.orders.get(uid_of(self.order))
        return told["metadata"].get("resourceVersion") if told is not None else None

    async def show(self) -> Shown:
        """Return the order."""
        order = await self.find()
        now = datetime.now(UTC)
        status = cleaned(status_of(order))
        lift, ends = await lift_url(order, self._rights), await ends_url(order, self._rights)
        return Shown(
            {
                "holds": await holds(self._call, self._rights),
                "head": part("orders/head.html", order={**facts(order), "lift": lift, "ends": ends}),
                "progress": part("orders/progress.html", order=facts(order), told=what_became_of_it(status)),
                "report": part("orders/report.html", report=report_of(order)),
                "stalled": part("orders/stalled.html", tasks=stalled_of(order), count=status.get("stalledCount")),
                "conditions": part("task/conditions.html", conditions=conditions_of(order), now=now),
            }
        )


def report_of(order: JsonObject) -> DrillReport | None:
    """Return what a drill found; None where there is nothing yet."""
    report = cleaned(status_of(order)).get("drill")
    return DrillReport.model_validate(report) if report else None


def stalled_of(order: JsonObject) -> list[ListedTask]:
    """Return the tasks whose stop is held up."""
    return [ListedTask.model_validate(each) for each in cleaned(status_of(order)).get("stalled") or ()]
