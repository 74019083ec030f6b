"""What the caller may do: what he may not is not offered."""

from typing import Final

from agentstop.api.order import CLUSTER_ORDER_PLURAL, ORDER_PLURAL
from agentstop.api.task import PLURAL
from agentstop.cluster.resources import ORDERS
from agentstop.gateway.dialect import Call

MAX_ASKED: Final = 20
"""So many namespaces are asked about to know whether somebody may order a stop anywhere."""


class Rights:
    """One caller's rights, as the API server tells them. Every method raises GatewayError."""

    def __init__(self, call: Call) -> None:
        self._access = call.core.access
        self._caller = call.caller
        self._index = call.core.index

    async def stop(self, namespace: str) -> bool:
        """Whether he may stop the tasks of a namespace."""
        return await self._may("patch", namespace, PLURAL)

    async def pause(self, namespace: str) -> bool:
        """Whether he may pause and resume them: whoever may patch and not update may stop, and nothing else."""
        return await self.stop(namespace) and await self._may("update", namespace, PLURAL)

    async def order_everywhere(self) -> bool:
        """Whether he may order a stop in all namespaces."""
        return await self._access.may(self._caller, "create", "", CLUSTER_ORDER_PLURAL)

    async def order(self) -> bool:
        """Whether he may order a stop anywhere."""
        return await self.order_everywhere() or bool(await self.order_namespaces(enough=1))

    async def order_namespaces(self, enough: int = MAX_ASKED) -> list[str]:
        """Return namespaces in which he may order a stop."""
        found: list[str] = []
        for namespace in sorted({each.namespace for each in self._index.all()})[:MAX_ASKED]:
            if len(found) < enough and await self._may("create", namespace, ORDER_PLURAL):
                found.append(namespace)
        return found

    async def see_orders(self, kind: str, namespace: str) -> bool:
        """Whether he may see the orders of a kind and a namespace."""
        return await self._may("list", namespace, ORDERS[kind].plural)

    async def lift(self, kind: str, namespace: str) -> bool:
        """Whether he may lift the orders of a kind and a namespace."""
        return await self._may("patch", namespace, ORDERS[kind].plural)

    async def _may(self, verb: str, namespace: str, resource: str) -> bool:
        if await self._access.may(self._caller, verb, "", resource):
            return True
        return bool(namespace) and await self._access.may(self._caller, verb, namespace, resource)
