"""What pages show and offer, and to whom."""

import pytest

from agentstop.gateway.errors import UnavailableError
from agentstop.gateway.page.holds import holds
from agentstop.gateway.page.orders import OrderListView
from agentstop.gateway.page.rights import Rights

from .pages import Stand, order


async def test_orders_may_come_while_a_page_is_made_of_them() -> None:
    stand = Stand(rights=lambda asked: bool(asked.get("namespace")))
    stand.tell(*(order(f"order-{each}", f"ns-{each}") for each in range(3)))
    stand.during = lambda: stand.tell(order(f"later-{len(stand.asked)}", "later"))
    shown = await OrderListView(stand.page("/orders")).show()
    assert shown.rows is not None
    assert len(shown.rows) >= 3


async def test_that_there_are_no_orders_is_said_only_once_they_were_listed() -> None:
    stand = Stand()
    stand.changes.expect()
    call = stand.page("/orders")
    stand.changes.heard("AgentTask", "")
    stand.changes.heard("StopOrder", "")
    with pytest.raises(UnavailableError, match=r"ClusterStopOrders cannot be watched: .*not been listed"):
        await OrderListView(call).show()
    assert "Whether a hold stands is not known" in (await holds(call, Rights(call))).html
    stand.changes.heard("ClusterStopOrder", "")
    assert "There are no stop orders" in (await OrderListView(call).show()).parts["pages"].html
    assert not (await holds(call, Rights(call))).html


async def test_orders_of_a_watch_that_has_died_are_not_told_as_if_they_were_new() -> None:
    stand = Stand()
    stand.changes.expect()
    for source in stand.changes.sources:
        stand.changes.heard(source.kind, source.namespace)
    stand.now = 60
    stand.changes.heard("AgentTask", "")
    with pytest.raises(UnavailableError, match="silent"):
        await OrderListView(stand.page("/orders")).show()
