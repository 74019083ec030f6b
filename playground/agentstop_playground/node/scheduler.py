"""Binding pods to the node."""

import asyncio
import logging
from collections.abc import Callable

from agentstop_playground import times
from agentstop_playground.api_client import MERGE_PATCH, ApiClient, ApiError, Object, backoff
from agentstop_playground.events import EventRecorder
from agentstop_playground.node.scheduling import unschedulable, wants_scheduling

log = logging.getLogger(__name__)

ATTEMPTS = 8
"""How often one pod is tried before the next change of it or of the node is waited for."""


class Scheduler:
    """Takes every pod that may run on the one node."""

    def __init__(self, client: ApiClient, name: str, events: EventRecorder, node: Callable[[], Object | None]) -> None:
        self._client = client
        self._name = name
        self._events = events
        self._node = node
        self._pending: dict[str, Object] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()

    def seen(self, kind: str, pod: Object) -> None:
        """A pod has changed."""
        uid = pod["metadata"]["uid"]
        if kind == "DELETED" or not wants_scheduling(pod):
            self._pending.pop(uid, None)
            return
        self._pending[uid] = pod
        self._try(uid)

    def reconsider(self) -> None:
        """The node has changed."""
        for uid in list(self._pending):
            self._try(uid)

    def close(self) -> None:
        """Stop binding."""
        for task in list(self._tasks.values()):
            task.cancel()

    def _try(self, uid: str) -> None:
        if uid in self._tasks:
            # It decides on what was true before; what has changed since must not be missed.
            self._again.add(uid)
            return
        task = asyncio.create_task(self._schedule(uid))
        self._tasks[uid] = task
        task.add_done_callback(lambda task: self._tried(uid, task))

    def _tried(self, uid: str, task: asyncio.Task[None]) -> None:
        del self._tasks[uid]
        if uid in self._again and not task.cancelled():
            self._again.discard(uid)
            self._try(uid)

    async def _schedule(self, uid: str) -> None:
        for attempt in range(ATTEMPTS):
            pod, node = self._pending.get(uid), self._node()
            if pod is None or node is None:
                return
            try:
                problem = unschedulable(pod, node)
                if problem is None:
                    await self._bind(pod)
                    self._pending.pop(uid, None)
                else:
                    await self._tell(pod, problem)
            except ApiError as error:
                if error.code in {404, 409}:
                    # Gone, or bound by somebody else: the watch tells.
                    return
                log.log(logging.WARNING if attempt == 3 else logging.DEBUG, "%s (trying again)", error)
                await asyncio.sleep(backoff(attempt + 1))
            else:
                return

    async def _bind(self, pod: Object) -> None:
        metadata = pod["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": self._name},
        }
        await self._client.request("POST", f"{_path(pod)}/binding", body)
        where = f"{metadata['namespace']}/{metadata['name']}"
        self._events.record(pod, "Normal", "Scheduled", f"Successfully assigned {where} to {self._name}")

    async def _tell(self, pod: Object, problem: str) -> None:
        conditions = (pod.get("status") or {}).get("conditions") or []
        old: Object = next((item for item in conditions if item["type"] == "PodScheduled"), {})
        if old.get("status") == "False" and old.get("message") == problem:
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": problem,
            "lastProbeTime": None,
            "lastTransitionTime": times.rfc3339(times.now()),
        }
        others = [item for item in conditions if item["type"] != "PodScheduled"]
        body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": {"conditions": [*others, condition]}}
        await self._client.request("PATCH", f"{_path(pod)}/status", body, content_type=MERGE_PATCH)
        self._events.record(pod, "Warning", "FailedScheduling", problem)


def _path(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
