"""What pages say of an order, and where it is."""

from typing import Any

from agentstop.api.order import ORDER_KIND
from agentstop.cluster.decoding import JsonObject
from agentstop.words.durations import moment
from agentstop.words.orders import freezes, what_it_stops
from agentstop.words.tasks import Freezer, cleaned, created_at, name_of, namespace_of, phase_of, spec_of, status_of


def orders_path(namespace: str) -> str:
    """Return where orders are, on the page and below the prefix of the API; `namespace` is empty for the cluster's."""
    return f"/namespaces/{namespace}/stoporders" if namespace else "/clusterstoporders"


def order_path(order: JsonObject) -> str:
    """Return where an order is, on the page and below the prefix of the API."""
    return f"{orders_path(namespace_of(order))}/{name_of(order)}"


def freezer_path(order: Freezer) -> str:
    """Return where an order is on the page that has a task frozen."""
    return f"{orders_path(order.namespace if order.kind == ORDER_KIND else '')}/{order.name}"


def facts(order: JsonObject) -> dict[str, Any]:
    """Return what a row, a banner and the head of an order's page say."""
    spec, status = cleaned(spec_of(order)), cleaned(status_of(order))
    matched, left = status.get("matched") or 0, status.get("stopping") or 0
    return {
        "kind": order["kind"],
        "name": name_of(order),
        "namespace": namespace_of(order),
        "path": order_path(order),
        "phase": phase_of(order),
        "drill": bool(spec.get("drill")),
        "hold": bool(spec.get("hold")),
        "freezes": freezes(order),
        "then": spec.get("then") or "",
        "halts": bool(spec.get("freeze")) and not status.get("startedAt"),
        "frozen": status.get("frozen") or 0,
        "what": what_it_stops(spec),
        "where": f"in namespace {namespace_of(order)}" if namespace_of(order) else "in all namespaces",
        "by": status.get("requestedBy") or "",
        "why": ": ".join(filter(None, (spec.get("reason"), spec.get("message")))),
        "grace": spec.get("gracePeriodSeconds"),
        "matched": matched,
        "left": left,
        "done": matched - left,
        "stalled": status.get("stalledCount") or 0,
        "created": created_at(order),
        "finished": moment(status.get("finishedAt")),
    }
