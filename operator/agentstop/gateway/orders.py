"""One stop order, as a caller has it."""

import re
from typing import Final

from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.resources import ORDERS
from agentstop.gateway.dialect import Call
from agentstop.gateway.errors import InvalidIdError
from agentstop.gateway.tasks import NAMESPACE

_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""What an order may be called.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names
"""

_MAX_NAME: Final = 253


def order_path(kind: str, namespace: str, name: str) -> str:
    """Return where the API server has an order; `namespace` is empty for a ClusterStopOrder.

    Raises InvalidIdError where none can be called so: callers name it, and it comes into a path of the API server's.
    """
    if namespace and not NAMESPACE.fullmatch(namespace):
        raise InvalidIdError("this can be no namespace", where=("path", "namespace"))
    if len(name) > _MAX_NAME or not _SUBDOMAIN.fullmatch(name):
        raise InvalidIdError("this can be no name", where=("path", "name"))
    return f"{ORDERS[kind].collection(namespace)}/{name}"


async def read_order(call: Call, kind: str, namespace: str, name: str) -> JsonObject:
    """Return an order as the API server has it for the caller. Raises GatewayError.

    Not from the index: the watch may be a moment late, the gateway need not watch such orders at all, and the caller
    may have the right to this one alone.
    """
    order = await call.core.access.call(call.caller, "GET", order_path(kind, namespace, name))
    return {**order, "kind": kind}
