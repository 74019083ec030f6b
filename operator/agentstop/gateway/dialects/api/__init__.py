"""Our own API: tasks, stop orders, and a stream of what changes."""

from typing import Final

from agentstop.gateway.dialect import Dialect
from agentstop.gateway.dialects.api import document, events, orders, tasks, usage
from agentstop.gateway.dialects.api.problems import render

OPERATIONS: Final = (*tasks.OPERATIONS, *orders.OPERATIONS, *usage.OPERATIONS, *events.OPERATIONS)

DIALECT: Final = Dialect(
    name="api",
    prefix="/api/v1",
    routes=(*(each.route for each in OPERATIONS), document.route(OPERATIONS)),
    render=render,
    host_prefix="/api/v1",
    browsers=True,
)
