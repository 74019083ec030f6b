"""The requests that the demo makes itself: to look, and to act where there is no kubectl."""

import asyncio
from typing import Any, Final

from kubernetes.aio.client import Configuration

from agentstop.api.meta import API_VERSION, GROUP
from agentstop.api.order import ORDER_KIND, ORDER_PLURAL, OrderPhase
from agentstop.cluster.discovery import Discovery
from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.resources import path
from agentstop.cluster.transport import Transport
from agentstop.workloads.controlled.rejections import NOT_SERVED
from agentstop.workloads.objects import ObjectRef

NAMESPACES: Final = "/api/v1/namespaces"
CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MANAGER: Final = "agentstop"

APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"

DRILL_POLL_SECONDS: Final = 0.1


class Requests:
    """An API server as the demo uses it. All methods raise ApiError."""

    def __init__(self, configuration: Configuration) -> None:
        self._transport = Transport(configuration, whole_errors=True)
        self.gateway = Gateway(self._transport)
        self._discovery = Discovery(lambda where: self._transport.call("GET", where))

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def task(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a task."""
        return await self.gateway.get_task(namespace, name)

    async def exists(self, path: str) -> bool:
        """Return whether there is an object at this path."""
        try:
            await self._transport.call("GET", path)
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return True

    async def serves(self, api_version: str, kind: str) -> bool:
        """Return whether the API server serves this kind."""
        try:
            await self._discovery.place(ObjectRef(kind, "", "", api_version))
        except ApiError as error:
            if error.reason == NOT_SERVED:
                return False
            raise
        return True

    async def answers_drill(self, namespace: str, seconds: float) -> bool:
        """Return whether an operator serves a namespace: whether it answers a drill, which matches nothing, in time."""
        collection = f"/apis/{API_VERSION}/namespaces/{namespace}/{ORDER_PLURAL}"
        body = {
            "apiVersion": API_VERSION,
            "kind": ORDER_KIND,
            "metadata": {"generateName": "demo-"},
            "spec": {"selector": {"matchLabels": {f"{GROUP}/nothing": "matches-this"}}, "drill": True},
        }
        try:
            order = await self._transport.call("POST", collection, {"fieldManager": MANAGER}, body)
        except ApiError as error:
            if error.code == 404:  # the definition of an older version, or nobody's
                return False
            raise
        where = f"{collection}/{order['metadata']['name']}"
        try:
            async with asyncio.timeout(seconds):
                while order.get("status", {}).get("phase") != OrderPhase.DRILLED:
                    await asyncio.sleep(DRILL_POLL_SECONDS)
                    order = await self._transport.call("GET", where)
        except TimeoutError:
            return False
        finally:
            await self._transport.call("DELETE", where)
        return True

    async def read(self, ref: ObjectRef) -> dict[str, Any]:
        """Return an object of any kind."""
        return await self._transport.call("GET", await self._path(ref))

    async def apply(self, namespace: str, body: dict[str, Any]) -> None:
        """Create or update an object of any kind."""
        where = await self._path(ObjectRef(body["kind"], namespace, body["metadata"]["name"], body["apiVersion"]))
        await self._transport.call("PATCH", where, {"fieldManager": MANAGER, "force": "true"}, body, APPLY)

    async def _path(self, ref: ObjectRef) -> str:
        place = await self._discovery.place(ref)
        return f"{place.collection(ref.namespace)}/{ref.name}"

    async def patch(self, ref: ObjectRef, body: dict[str, Any]) -> bool:
        """Merge into an object; return whether that changed anything."""
        before = await self.read(ref)
        after = await self._transport.call("PATCH", await self._path(ref), {"fieldManager": MANAGER}, body, MERGE)
        generation: int = after["metadata"]["generation"]
        return generation != int(before["metadata"]["generation"])

    async def log(self, namespace: str, pod: str, lines: int) -> str:
        """Return the last lines of a pod's log."""
        return await self._transport.text(f"{path(ObjectRef('Pod', namespace, pod))}/log", {"tailLines": str(lines)})
