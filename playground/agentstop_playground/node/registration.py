"""Keeping the Node object there, true and beating; and the rehearsal of a dead kubelet."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable

from agentstop_playground.api_client import MERGE_PATCH, ApiClient, ApiError, Object, backoff
from agentstop_playground.informer import Informer
from agentstop_playground.node import node_object

log = logging.getLogger(__name__)

HEARTBEAT = 5.0
"""Seconds between two writes of the Ready condition."""
GOODBYE_TIMEOUT = 1.0
"""Seconds that stopping waits for the API server to take the last condition."""


class Registration:
    """The Node object of one node."""

    def __init__(
        self, client: ApiClient, name: str, log_port: Callable[[], int], on_change: Callable[[], None]
    ) -> None:
        self._client = client
        self._name = name
        self._log_port = log_port
        self._boot_id = str(uuid.uuid4())
        self._on_change = on_change
        self._path = f"/api/v1/nodes/{name}"
        self._informer = Informer(client, "/api/v1/nodes", self._seen)
        self._wake = asyncio.Event()
        self.node: Object | None = None
        """The object as last seen; None before the first registration and after a deletion."""
        self._registered = asyncio.Event()
        self.ready = False
        """Whether the API server knows that the node is ready, and no taint of its beginning is left."""
        self.acting = True
        """False while the node plays a dead kubelet."""

    def _seen(self, kind: str, node: Object) -> None:
        if node["metadata"]["name"] != self._name:
            return
        self.node = None if kind == "DELETED" else node
        self.ready = self.ready and self.node is not None
        acting = self.node is None or not node_object.plays_dead(node)
        if acting != self.acting:
            log.info("node %s: %s", self._name, "acts again" if acting else "plays a dead kubelet")
            self.acting = acting
            self._wake.set()
        elif self.node is None:
            self._wake.set()
        self._on_change()

    async def known(self) -> None:
        """Wait until it is known whether the node is to act."""
        await self._informer.synced.wait()

    async def registered(self) -> None:
        """Wait until the API server has the Node with its first status."""
        await self._registered.wait()

    async def run(self) -> None:
        """Register, then beat until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informer.run())
            group.create_task(self._beat())

    async def _beat(self) -> None:
        await self._informer.synced.wait()
        attempt = 0
        told_dead = False
        while True:
            self._wake.clear()
            try:
                if self.node is None:
                    self.node = await self._register()
                if self.acting or not told_dead:
                    await self._write(self.node)
                told_dead = not self.acting
                self._registered.set()
                if self.acting and not self.ready:
                    self.ready = True
                    self._on_change()
                attempt = 0
                pause = HEARTBEAT
            except ApiError as error:
                attempt += 1
                log.log(logging.WARNING if attempt == 3 else logging.DEBUG, "%s (trying again)", error)
                pause = backoff(attempt)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    async def _register(self) -> Object:
        body = node_object.new_node(self._name, self._log_port(), self._boot_id)
        try:
            return await self._client.request("POST", "/api/v1/nodes", body)
        except ApiError as error:
            if error.code != 409:
                raise
        return await self._client.request("GET", self._path)

    async def _write(self, node: Object) -> None:
        if self.acting:
            status = node_object.status(self._name, self._log_port(), self._boot_id, node.get("status") or {})
        else:
            reason, message = "NodeStatusUnknown", "Kubelet stopped posting node status."
            before = node.get("status") or {}
            status = {"conditions": node_object.conditions(before, "Unknown", reason, message)}
        self.node = await self._patch(f"{self._path}/status", {"status": status})
        taints = node_object.with_taints(self.node, unreachable=not self.acting)
        if taints != (self.node.get("spec", {}).get("taints") or []):
            # With the version that it was decided on: somebody else's taint must not get lost.
            version = {"resourceVersion": self.node["metadata"]["resourceVersion"]}
            self.node = await self._patch(self._path, {"metadata": version, "spec": {"taints": taints or None}})

    async def _patch(self, path: str, body: Object) -> Object:
        try:
            return await self._client.request("PATCH", path, body, content_type=MERGE_PATCH)
        except ApiError as error:
            if error.code == 404:
                self.node = None
            raise

    async def say_goodbye(self) -> None:
        """Tell that the node stops, if the API server is still there to be told."""
        if self.node is None:
            return
        before = self.node.get("status") or {}
        status = {"conditions": node_object.conditions(before, "False", "KubeletNotReady", "node is shutting down")}
        try:
            async with asyncio.timeout(GOODBYE_TIMEOUT):
                await self._client.request(
                    "PATCH", f"{self._path}/status", {"status": status}, content_type=MERGE_PATCH
                )
        except (ApiError, TimeoutError) as error:
            log.debug("the API server was not told that the node stops: %s", error)
