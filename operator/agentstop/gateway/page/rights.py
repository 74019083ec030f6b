"""What the caller may do: what he may not is not offered."""

from agentstop.api.order import CLUSTER_ORDER_KIND, CLUSTER_ORDER_PLURAL, ORDER_PLURAL
from agentstop.api.task import PLURAL
from agentstop.cluster.resources import ORDERS
from agentstop.gateway.dialect import Call


class Rights:
    """One caller's rights, as the API server tells them. Every method raises GatewayError."""

    def __init__(self, call: Call) -> None:
        self._access = call.core.access
        self._caller = call.caller
        self._changes = call.core.changes
        self._tasks = call.tasks

    async def stop(self, namespace: str) -> bool:
        """Whether he may stop the tasks of a namespace."""
        return await self._may("patch", namespace, PLURAL)

    async def pause(self, namespace: str) -> bool:
        """Whether he may pause and resume them: whoever may patch and not update may stop, and nothing else."""
        return await self.stop(namespace) and await self._may("update", namespace, PLURAL)

    async def order_everywhere(self) -> bool:
        """Whether he may order a stop in all namespaces; not where the gateway watches some of them only."""
        if not self._changes.watches(CLUSTER_ORDER_KIND):
            return False
        return await self._access.may(self._caller, "create", "", CLUSTER_ORDER_PLURAL)

    async def order_in(self, namespace: str) -> bool:
        """Whether he may order a stop in a namespace."""
        return await self._may("create", namespace, ORDER_PLURAL)

    async def order(self) -> bool:
        """Whether he may order a stop anywhere."""
        return await self.order_everywhere() or await self.order_in("") or bool(await self.order_namespaces())

    async def order_namespaces(self) -> list[str]:
        """Return the namespaces of tasks that he may list, and in which he may order a stop."""
        namespaces = await self._tasks.namespaces()
        if await self.order_in(""):
            return namespaces
        return await self._access.allowed_in(self._caller, "create", namespaces, ORDER_PLURAL)

    async def see_orders(self, kind: str, namespace: str) -> bool:
        """Whether he may see the orders of a kind and a namespace."""
        return await self._may("list", namespace, ORDERS[kind].plural)

    async def lift(self, kind: str, namespace: str) -> bool:
        """Whether he may lift the orders of a kind and a namespace, or have what they froze ended."""
        return await self._may("patch", namespace, ORDERS[kind].plural)

    async def _may(self, verb: str, namespace: str, resource: str) -> bool:
        if await self._access.may(self._caller, verb, "", resource):
            return True
        return bool(namespace) and await self._access.may(self._caller, verb, namespace, resource)
