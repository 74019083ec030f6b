"""What pages show and offer, and to whom."""

from agentstop.gateway.page.orders import OrderListView

from .pages import Stand, order


async def test_orders_may_come_while_a_page_is_made_of_them() -> None:
    stand = Stand(rights=lambda asked: bool(asked.get("namespace")))
    stand.tell(*(order(f"order-{each}", f"ns-{each}") for each in range(3)))
    stand.during = lambda: stand.tell(order(f"later-{len(stand.asked)}", "later"))
    shown = await OrderListView(stand.page("/orders")).show()
    assert shown.rows is not None
    assert len(shown.rows) >= 3
