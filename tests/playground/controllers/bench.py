"""A namespace of some API server with controllers and a node, and all that was ever seen in it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext
from typing import Any

from tests.support.waiting import PATIENCE

from agentstop_playground.api_client import MERGE_PATCH, ApiClient, ApiError, Object
from agentstop_playground.controllers import ALL, CUSTOM, Controllers
from agentstop_playground.controllers.kinds import (
    DEPLOYMENT,
    JOB,
    POD,
    RAY_CLUSTER,
    REPLICA_SET,
    SANDBOX,
    SANDBOX_CLAIM,
    SANDBOX_WARM_POOL,
    STATEFUL_SET,
    Kind,
)
from agentstop_playground.informer import Informer
from agentstop_playground.node import Node

WATCHED = (POD, JOB, DEPLOYMENT, REPLICA_SET, STATEFUL_SET, SANDBOX, SANDBOX_CLAIM, SANDBOX_WARM_POOL, RAY_CLUSTER)
MADE = (RAY_CLUSTER, SANDBOX_CLAIM, SANDBOX_WARM_POOL, SANDBOX, DEPLOYMENT, STATEFUL_SET, REPLICA_SET, JOB)
"""What is removed after a test, owners first."""

FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.05; done"
"""Ends well when it is asked to."""

Check = Callable[[Object], Any]


@dataclass(frozen=True)
class Endpoint:
    """An API server; ``native``: Kubernetes' own controllers look after its Jobs and Deployments."""

    url: str
    token: str
    ssl: SSLContext | None = None
    native: bool = False
    collects_garbage: bool = True


def pod_spec(script: str = FOREVER, **spec: Any) -> Object:
    container = {"name": "agent", "image": "none:1", "command": ["sh", "-c", script]}
    return {"terminationGracePeriodSeconds": 20, "containers": [container], **spec}


def conditions(obj: Object) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition."""
    found = (obj.get("status") or {}).get("conditions") or ()
    return {item["type"]: (item["status"], item.get("reason", "")) for item in found}


def is_active(pod: Object) -> bool:
    return pod["status"].get("phase") not in {"Succeeded", "Failed"} and "deletionTimestamp" not in pod["metadata"]


def runs(pod: Object) -> bool:
    return bool(pod["status"].get("phase") == "Running") and "deletionTimestamp" not in pod["metadata"]


class Bench:
    """One namespace; what happens in it is remembered by kind and name, in order."""

    def __init__(self, endpoint: Endpoint, namespace: str, folder: Path) -> None:
        self.endpoint = endpoint
        self.namespace = namespace
        self._folder = folder
        self.api = ApiClient(endpoint.url, token=endpoint.token, ssl_context=endpoint.ssl)
        self._history: dict[tuple[str, str], list[tuple[str, Object]]] = {}
        self._present: dict[str, dict[str, Object]] = {}
        self._order: list[tuple[str, str, str]] = []
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._node = Node(
            url=endpoint.url,
            token=endpoint.token,
            ssl=endpoint.ssl,
            name=f"node-{namespace}",
            data_dir=folder,
            namespaces=[namespace],
        )
        self.controllers: Controllers | None = None

    async def open(self) -> None:
        """Make the namespace, begin to watch, start the node."""
        await self.api.open()
        await self.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        informers = [Informer(self.api, kind.collection(self.namespace), self._seen_by(kind)) for kind in WATCHED]
        self._tasks = [asyncio.create_task(informer.run()) for informer in informers]
        await self._node.start()

    async def control(self) -> None:
        """Start our controllers, without those of which the cluster has its own."""
        wanted = CUSTOM if self.endpoint.native else ALL
        self.controllers = Controllers(
            url=self.endpoint.url,
            token=self.endpoint.token,
            ssl=self.endpoint.ssl,
            wanted=wanted,
            namespaces=[self.namespace],
        )
        await self.controllers.start()

    async def let_go(self) -> None:
        """Stop our controllers."""
        if self.controllers is not None:
            await self.controllers.stop()
            self.controllers = None

    async def close(self) -> None:
        for kind in MADE:
            for name in list(self._present.get(kind.name, ())):
                await self.delete(kind, name)
        await self.let_go()
        for task in self._tasks:
            task.cancel()
        await self._node.stop()
        await self.api.request("DELETE", f"/api/v1/nodes/node-{self.namespace}")
        await self.api.request("DELETE", f"/api/v1/namespaces/{self.namespace}")
        await self.api.close()

    async def create(self, kind: Kind, name: str, spec: Object, **metadata: Any) -> Object:
        body = {
            "apiVersion": kind.api_version,
            "kind": kind.name,
            "metadata": {"name": name, **metadata},
            "spec": spec,
        }
        return await self.api.request("POST", kind.collection(self.namespace), body)

    async def get(self, kind: Kind, name: str) -> Object:
        return await self.api.request("GET", kind.path(self.namespace, name))

    async def patch(self, kind: Kind, name: str, body: Object, subresource: str = "") -> Object:
        path = kind.path(self.namespace, name, subresource)
        return await self.api.request("PATCH", path, body, content_type=MERGE_PATCH)

    async def scale(self, kind: Kind, name: str, replicas: int) -> None:
        await self.patch(kind, name, {"spec": {"replicas": replicas}}, "scale")

    async def delete(self, kind: Kind, name: str, policy: str | None = "Background") -> None:
        """Delete an object, if it is there."""
        body = {"propagationPolicy": policy} if policy else None
        try:
            await self.api.request("DELETE", kind.path(self.namespace, name), body)
        except ApiError as error:
            if error.code != 404:
                raise

    def present(self, kind: Kind) -> list[Object]:
        """The objects that are there, as far as was seen."""
        return list(self._present.get(kind.name, {}).values())

    def states(self, kind: Kind, name: str) -> list[Object]:
        """Every state of an object that was seen."""
        return [obj for _, obj in self._history.get((kind.name, name), ())]

    def seen(self, kind: Kind) -> list[list[Object]]:
        """The states of every object of a kind that ever was."""
        return [[obj for _, obj in states] for (name, _), states in self._history.items() if name == kind.name]

    def order(self, kind: Kind) -> list[tuple[str, str]]:
        """The names and events of all objects of a kind, as they came."""
        return [(name, event) for of, name, event in self._order if of == kind.name]

    async def until(self, kind: Kind, name: str, check: Check) -> Object:
        """Wait for a state of an object, past ones included."""

        def found() -> Object | None:
            return next((obj for event, obj in self._history.get((kind.name, name), ()) if check(obj)), None)

        await self.until_true(lambda: found() is not None, lambda: self.states(kind, name)[-1:])
        state = found()
        assert state is not None
        return state

    async def until_now(self, kind: Kind, name: str, check: Check) -> Object:
        """Wait until an object is there and in a state."""

        def present() -> Object | None:
            return self._present.get(kind.name, {}).get(name)

        def good() -> bool:
            obj = present()
            return obj is not None and bool(check(obj))

        await self.until_true(good, present)
        obj = present()
        assert obj is not None
        return obj

    async def until_gone(self, kind: Kind, name: str) -> Object:
        """Wait until an object was there and is gone; returns its last state."""

        def gone() -> bool:
            states = self._history.get((kind.name, name))
            return bool(states) and states is not None and states[-1][0] == "DELETED"

        await self.until_true(gone, lambda: self.states(kind, name)[-1:])
        return self.states(kind, name)[-1]

    async def until_pods(self, check: Callable[[list[Object]], Any]) -> list[Object]:
        """Wait until all pods together are in a state."""
        await self.until_true(lambda: check(self.present(POD)), lambda: self.present(POD))
        return self.present(POD)

    async def until_true(self, check: Callable[[], Any], told: Callable[[], Any] = lambda: "") -> None:
        """Wait until a check of what was seen is true."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not check():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"it never got there; last: {told()}") from None

    async def settled(self) -> None:
        """Wait until the controllers have had their turn at all that came before: a Job of ours was taken care of."""
        name = f"probe-{len(self._history)}"
        template = {"spec": pod_spec(restartPolicy="Never")}
        await self.create(JOB, name, {"suspend": True, "template": template})
        await self.until(JOB, name, lambda job: "Suspended" in conditions(job))

    def _seen_by(self, kind: Kind) -> Callable[[str, Object], None]:
        def seen(event: str, obj: Object) -> None:
            name = obj["metadata"]["name"]
            self._history.setdefault((kind.name, name), []).append((event, obj))
            self._order.append((kind.name, name, event))
            present = self._present.setdefault(kind.name, {})
            if event == "DELETED":
                present.pop(name, None)
            else:
                present[name] = obj
            self._changed.set()

        return seen
