"""An operator on paper: tasks and orders whose status a test writes by itself."""

import secrets
from typing import Any

from tests.support.kube import TASKS, Kind, Kube, Object

ORDERS = Kind("/apis/agentstop.dev/v1alpha1", "stoporders")
CLUSTER_ORDERS = Kind("/apis/agentstop.dev/v1alpha1", "clusterstoporders")
EVENTS = Kind("/apis/events.k8s.io/v1", "events")
API_VERSION = "agentstop.dev/v1alpha1"

EARLIER = "2026-01-02T03:04:05.000000Z"

STOP: Object = {
    "source": "User",
    "requestedBy": "jane@example.com",
    "reason": "RunawayCost",
    "message": "spent 40 USD",
    "acceptedAt": "2026-01-02T03:04:05.000000Z",
    "signaledAt": "2026-01-02T03:04:05.020000Z",
    "killAt": "2026-01-02T03:04:35.020000Z",
    "gracePeriodSeconds": 30,
}

STOPPED: Object = {
    "phase": "Stopped",
    "manuallyStopped": True,
    "startedAt": "2026-01-02T03:00:05Z",
    "finishedAt": "2026-01-02T03:04:09.500000Z",
    "stop": {**STOP, "confirmedAt": "2026-01-02T03:04:09.500000Z", "durationSeconds": 4.5, "verdict": "Graceful"},
    "workload": {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "a",
        "uid": "u",
        "podCount": 1,
        "pods": [
            {
                "name": "a",
                "uid": "u",
                "node": "node-7",
                "containers": [
                    {"name": "agent", "exitCode": 0, "reason": "Completed", "finishedAt": "2026-01-02T03:04:09Z"}
                ],
            }
        ],
    },
}


def stalled(reason: str, message: str) -> Object:
    """The conditions of something that is held up."""
    return {
        "type": "Stalled",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": EARLIER,
    }


class Paper:
    """One namespace in which nobody but the test acts."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace

    async def task(self, name: str, status: Object | None = None, labels: Object | None = None, **spec: Any) -> Object:
        """Make a task with a status."""
        pod = {"spec": {"containers": [{"name": "agent", "image": "busybox"}]}}
        body = {
            "apiVersion": API_VERSION,
            "kind": "AgentTask",
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {"podTemplate": pod, **spec},
        }
        made = await self.kube.create(TASKS, self.namespace, body)
        return made if status is None else await self.write(name, **status)

    async def get(self, name: str) -> Object:
        """Return a task."""
        return await self.kube.get(TASKS, self.namespace, name)

    async def write(self, name: str, **status: Any) -> Object:
        """Write a task's status, as an operator that has seen the newest spec."""
        generation = (await self.get(name))["metadata"]["generation"]
        whole = {"observedGeneration": generation, **status}
        return await self.kube.merge(TASKS, self.namespace, name, {"status": whole}, "status")

    async def orders(self) -> list[Object]:
        """Return the orders of the namespace."""
        return await self.kube.list(ORDERS, self.namespace)

    async def order(self, name: str = "", **spec: Any) -> Object:
        """Make an order."""
        body = {
            "apiVersion": API_VERSION,
            "kind": "StopOrder",
            "metadata": {"name": name or f"o-{secrets.token_hex(3)}"},
            "spec": {"selector": {}, **spec},
        }
        return await self.kube.create(ORDERS, self.namespace, body)

    async def write_order(self, name: str, kind: Kind = ORDERS, **status: Any) -> Object:
        """Write an order's status."""
        namespace = "" if kind is CLUSTER_ORDERS else self.namespace
        generation = (await self.kube.get(kind, namespace, name))["metadata"]["generation"]
        whole = {"observedGeneration": generation, **status}
        return await self.kube.merge(kind, namespace, name, {"status": whole}, "status")
