"""The holds and freezes that stand: they are told of on every page."""

from agentstop.api.order import OrderPhase
from agentstop.cluster.decoding import JsonObject
from agentstop.gateway.dialect import Call
from agentstop.gateway.errors import UnavailableError
from agentstop.gateway.page.order_facts import facts, order_path
from agentstop.gateway.page.rendering import Part, part
from agentstop.gateway.page.rights import Rights
from agentstop.words.orders import freezes
from agentstop.words.tasks import name_of, namespace_of, phase_of, spec_of


async def visible_orders(call: Call, rights: Rights) -> list[JsonObject]:
    """Return the orders that the caller may see, newest first.

    Raises GatewayError; UnavailableError where what is known may be old, or nothing is known yet.
    """
    problem = call.core.changes.orders.problem
    if problem is not None:
        raise UnavailableError(problem)
    seen: dict[tuple[str, str], bool] = {}
    found = []
    for order in call.core.changes.orders.all():
        place = order["kind"], order["metadata"].get("namespace", "")
        if place not in seen:
            seen[place] = await rights.see_orders(*place)
        if seen[place]:
            found.append(order)
    found.sort(key=lambda each: (each["metadata"].get("creationTimestamp") or "", name_of(each)), reverse=True)
    return found


async def lift_url(order: JsonObject, rights: Rights) -> str | None:
    """Return how the caller can lift an order; None where there is nothing to lift, or he may not."""
    held = spec_of(order).get("hold") or freezes(order)
    if not held or not await rights.lift(order["kind"], namespace_of(order)):
        return None
    return f"/api/v1{order_path(order)}/lift"


async def ends_url(order: JsonObject, rights: Rights) -> str | None:
    """Return below what the caller can end what an order froze; None where it freezes nothing, or he may not."""
    if not freezes(order) or not await rights.lift(order["kind"], namespace_of(order)):
        return None
    return f"/api/v1{order_path(order)}"


async def holds(call: Call, rights: Rights) -> Part:
    """Return the banner of the holds and freezes that stand. Raises GatewayError.

    Where that is not known it says so, and the page goes on: a task can be stopped all the same.
    """
    unknown = call.core.changes.orders.problem
    if unknown is not None:
        return part("holds.html", holds=(), unknown=unknown)
    found = []
    for order in await visible_orders(call, rights):
        spec = spec_of(order)
        held = spec.get("hold") and not spec.get("drill") and phase_of(order) != OrderPhase.LIFTED
        if held or freezes(order):
            found.append({**facts(order), "lift": await lift_url(order, rights)})
    return part("holds.html", holds=found, unknown=None)
