"""What the node's tests do to an API server, and what they see of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext
from typing import Any

import aiohttp
from tests.support.waiting import PATIENCE

from agentstop_playground.api_client import MERGE_PATCH, ApiClient, Object
from agentstop_playground.informer import Informer
from agentstop_playground.node import Node


def container(script: str, *, name: str = "agent", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "none", "command": ["sh", "-c", script], **more}


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> Object:
    defaults = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 20}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {**defaults, "containers": list(containers), **spec},
    }


def main_status(item: Object, name: str = "agent") -> Object:
    statuses = item["status"].get("containerStatuses") or []
    return next((status for status in statuses if status["name"] == name), {"state": {}})


def terminated(item: Object, name: str = "agent") -> Object:
    return main_status(item, name)["state"].get("terminated") or {}


def condition(item: Object, kind: str) -> Object:
    return next((entry for entry in item["status"].get("conditions") or [] if entry["type"] == kind), {})


def phase_is(*phases: str) -> Callable[[Object], bool]:
    return lambda item: item["status"].get("phase") in phases


@dataclass(frozen=True)
class Endpoint:
    """How to reach an API server."""

    url: str
    token: str
    ssl: SSLContext | None
    kubeconfig: Path


class Cluster:
    """One namespace of an API server and the node that serves it; remembers every state of every pod."""

    def __init__(self, endpoint: Endpoint, namespace: str, data_dir: Path) -> None:
        self.endpoint = endpoint
        self.namespace = namespace
        self.data_dir = data_dir
        self.node_name = f"node-{namespace}"
        self.api = ApiClient(endpoint.url, token=endpoint.token, ssl_context=endpoint.ssl)
        self.history: dict[str, list[tuple[str, Object]]] = {}
        self._changed = asyncio.Condition()
        self._informer = Informer(self.api, f"/api/v1/namespaces/{namespace}/pods", self._seen)
        self._watching: asyncio.Task[None] | None = None
        self._wakers: set[asyncio.Task[None]] = set()

    def node(self, url: str | None = None) -> Node:
        return Node(
            url=url or self.endpoint.url,
            token=self.endpoint.token,
            ssl=self.endpoint.ssl,
            name=self.node_name,
            data_dir=self.data_dir,
            namespaces=[self.namespace],
        )

    async def open(self) -> None:
        await self.api.open()
        await self.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        self._watching = asyncio.create_task(self._informer.run())

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        for name, states in self.history.items():
            if states[-1][0] != "DELETED":
                await self.delete(name, grace=0)
        if await self._registered():
            await self.api.request("DELETE", f"/api/v1/nodes/{self.node_name}")
        await self.api.close()

    async def _registered(self) -> bool:
        return self.node_name in {item["metadata"]["name"] for item in (await self._nodes())["items"]}

    async def _nodes(self) -> Object:
        return await self.api.request("GET", "/api/v1/nodes")

    def _seen(self, kind: str, item: Object) -> None:
        self.history.setdefault(item["metadata"]["name"], []).append((kind, item))
        task = asyncio.create_task(self._wake())
        self._wakers.add(task)
        task.add_done_callback(self._wakers.discard)

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _path(self, name: str = "") -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods" + (f"/{name}" if name else "")

    async def create(self, item: Object) -> Object:
        return await self.api.request("POST", self._path(), item)

    async def put(self, resource: str, item: Object) -> None:
        await self.api.request("POST", f"/api/v1/namespaces/{self.namespace}/{resource}", item)

    async def patch(self, name: str, body: Object) -> None:
        await self.api.request("PATCH", self._path(name), body, content_type=MERGE_PATCH)

    async def patch_node(self, body: Object) -> None:
        await self.api.request("PATCH", f"/api/v1/nodes/{self.node_name}", body, content_type=MERGE_PATCH)

    async def get_node(self) -> Object:
        """The node's object; waits for its first registration."""
        await self.until_true(self._registered)
        return await self.api.request("GET", f"/api/v1/nodes/{self.node_name}")

    async def delete(self, name: str, *, grace: int | None = None) -> None:
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        await self.api.request("DELETE", self._path(name), body)

    async def until(self, name: str, wanted: Callable[[Object], bool]) -> Object:
        """Wait for a state of the pod, past states included."""

        def found() -> Object | None:
            return next((item for kind, item in self.history.get(name, []) if kind != "DELETED" and wanted(item)), None)

        try:
            async with asyncio.timeout(PATIENCE), self._changed:
                await self._changed.wait_for(lambda: found() is not None)
        except TimeoutError:
            states = [item["status"] for _, item in self.history.get(name, [])]
            raise AssertionError(f"pod {name} never got there; last: {states[-1:]}") from None
        item = found()
        assert item is not None
        return item

    async def until_gone(self, name: str) -> Object:
        """Wait until the object is deleted; returns its last state."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: self.history[name][-1][0] == "DELETED")
        return self.history[name][-1][1]

    async def until_true(self, check: Callable[[], Any]) -> None:
        """Wait for something that no watch tells."""
        async with asyncio.timeout(PATIENCE):
            while not (await result if asyncio.iscoroutine(result := check()) else result):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def run(self, item: Object) -> Object:
        """Create a pod and wait until its containers run."""
        await self.create(item)
        return await self.until(item["metadata"]["name"], phase_is("Running"))

    async def logs(self, name: str, container: str = "agent", **query: str) -> tuple[int, str]:
        port = (await self.get_node())["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        url = f"http://127.0.0.1:{port}/containerLogs/{self.namespace}/{name}/{container}"
        async with aiohttp.ClientSession() as session, session.get(url, params=query) as answer:
            return answer.status, await answer.text()

    async def until_logged(self, name: str, text: str, container: str = "agent") -> None:
        async def logged() -> bool:
            return text in (await self.logs(name, container))[1]

        await self.until_true(logged)

    async def events(self, name: str) -> dict[str, str]:
        answer = await self.api.request("GET", f"/api/v1/namespaces/{self.namespace}/events")
        return {
            item["reason"]: item["message"] for item in answer["items"] if item["involvedObject"].get("name") == name
        }

    def home(self, item: Object) -> Path:
        return self.data_dir / "pods" / str(item["metadata"]["uid"]) / "home"


def alive(marker: str) -> list[int]:
    """PIDs of processes with a word in their command line."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if marker.encode() in words:
                found.append(int(folder.name))
    return found
