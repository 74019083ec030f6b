"""Kubernetes Events of the node and the controllers: best effort, never in the way of anything."""

import asyncio
import logging
from typing import Any

from agentstop_playground import times
from agentstop_playground.api_client import ApiClient, ApiError, Object

log = logging.getLogger(__name__)

QUEUE_LENGTH = 1000
"""Events that may wait to be sent; more are dropped, oldest news first served."""


class EventRecorder:
    """Sends Events one after another in the background; ``component`` reports them, on the node ``host``."""

    def __init__(self, client: ApiClient, component: str, host: str = "") -> None:
        self._client = client
        self._component = component
        self._host = host
        self._queue: asyncio.Queue[Object] = asyncio.Queue(QUEUE_LENGTH)
        self._counts: dict[tuple[str, str, str], int] = {}

    def record(
        self,
        obj: Object,
        kind: str,
        reason: str,
        message: str,
        container: str | None = None,
        *,
        of: tuple[str, str] = ("v1", "Pod"),
    ) -> None:
        """Note an Event about an object; ``kind`` is Normal or Warning. The same one again is sent once only.

        ``of`` is the object's API version and kind, which objects in lists do not say; ``container`` is one of a pod's.
        """
        metadata = obj["metadata"]
        key = (metadata["uid"], reason, message)
        if key in self._counts or self._queue.full():
            return
        self._counts[key] = 1
        while len(self._counts) > 10 * QUEUE_LENGTH:
            del self._counts[next(iter(self._counts))]
        time = times.rfc3339(times.now())
        regarding: dict[str, Any] = {
            "apiVersion": of[0],
            "kind": of[1],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        }
        if container:
            regarding["fieldPath"] = f"spec.containers{{{container}}}"
        self._queue.put_nowait(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
                "involvedObject": regarding,
                "type": kind,
                "reason": reason,
                "message": message[:1024],
                "source": {"component": self._component, "host": self._host},
                "reportingComponent": self._component,
                "reportingInstance": self._host,
                "firstTimestamp": time,
                "lastTimestamp": time,
                "count": 1,
            }
        )

    async def run(self) -> None:
        """Send until cancelled; an Event that is refused is dropped."""
        while True:
            event = await self._queue.get()
            try:
                await self._client.request("POST", f"/api/v1/namespaces/{event['metadata']['namespace']}/events", event)
            except ApiError as error:
                log.debug("an Event was not taken: %s", error)
