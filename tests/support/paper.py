"""A node on paper: the test itself writes what a kubelet would, so that it can write what a kubelet would not."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support import agents
from tests.support.kube import NODES, PODS, KubeError, Object
from tests.support.namespaces import Namespace

LONG_AGO = timedelta(minutes=5)
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class PaperNode:
    """A Node object that nobody serves."""

    def __init__(self, ns: Namespace) -> None:
        self._ns = ns
        self.name = f"paper-{secrets.token_hex(4)}"
        self.boot_id = "one"

    async def register(self) -> None:
        """Make the Node object."""
        await self._ns.kube.create(NODES, "", {"metadata": {"name": self.name}, "spec": {}})
        await self.say("True")

    async def say(self, ready: str, *, since: timedelta = LONG_AGO) -> None:
        """Write the Ready condition: True, False or Unknown."""
        now = datetime.now(UTC)
        condition = {
            "type": "Ready",
            "status": ready,
            "reason": "OnPaper",
            "message": "",
            "lastHeartbeatTime": _time(now),
            "lastTransitionTime": _time(now - since),
        }
        status = {"status": {"conditions": [condition], "nodeInfo": {"bootID": self.boot_id}}}
        await self._ns.kube.merge(NODES, "", self.name, status, "status")

    async def declare_out_of_service(self) -> None:
        """Put the taint on it that says so."""
        taint = {"key": OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"}
        await self._ns.kube.merge(NODES, "", self.name, {"spec": {"taints": [taint]}})

    async def remove(self) -> None:
        """Delete the Node object, if it is still there."""
        await self._ns.kube.delete(NODES, "", self.name, missing_ok=True)

    def template(self, *, grace: int = 1) -> Object:
        """Return a pod template for a pod on this node."""
        return agents.template(grace=grace, nodeName=self.name)

    async def run(self, pod: str) -> Object:
        """Say that a pod runs, once it exists."""
        await self._ns.pods.until(pod, lambda _: True)
        started = _time(datetime.now(UTC))
        return await self.write(pod, "Running", {"running": {"startedAt": started}}, startTime=started)

    async def wait(self, pod: str) -> Object:
        """Say that a pod was taken and that its container waits, once it exists."""
        await self._ns.pods.until(pod, lambda _: True)
        state: Object = {"waiting": {"reason": "ContainerCreating"}}
        return await self.write(pod, "Pending", state, startTime=_time(datetime.now(UTC)))

    async def collect(self, pod: str) -> None:
        """Do what the control plane's garbage collector does to a pod whose node is gone."""
        lost = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}
        lost |= {"message": "PodGC: node no longer exists", "lastTransitionTime": _time(datetime.now(UTC))}
        await self._ns.patch_pod(pod, {"status": {"phase": "Failed", "conditions": [lost]}}, "status")
        await self.forget(pod)

    async def end(
        self, pod: str, code: int = 0, *, phase: str | None = None, reason: str | None = None, beside: bool = False
    ) -> Object:
        """Say that a pod's container ended with an exit code; `beside` where another one runs beside it."""
        succeeded = code == 0
        state = {
            "exitCode": code,
            "reason": reason or ("Completed" if succeeded else "Error"),
            "startedAt": _time(datetime.now(UTC) - timedelta(seconds=2)),
            "finishedAt": _time(datetime.now(UTC)),
        }
        return await self.write(
            pod, phase or ("Succeeded" if succeeded else "Failed"), {"terminated": state}, beside=beside
        )

    async def write(self, pod: str, phase: str, state: Object, *, beside: bool = False, **status: Any) -> Object:
        """Write a pod's phase and the state of its container; `beside` where another one runs beside it."""
        container = {
            "name": "agent",
            "image": agents.IMAGE,
            "imageID": "",
            "ready": "running" in state,
            "restartCount": 0,
            "state": state,
        }
        other = {**container, "name": "beside", "state": {"running": {"startedAt": _time(datetime.now(UTC))}}}
        containers = [container, other] if beside else [container]
        body = {"status": {"phase": phase, "containerStatuses": containers, **status}}
        return await self._ns.patch_pod(pod, body, "status")

    async def forget(self, pod: str) -> None:
        """Remove a pod's object by force, as whoever cleans up after a lost node does."""
        try:
            await self._ns.kube.delete(PODS, self._ns.name, pod, grace=0)
        except KubeError as error:
            if error.code != 404:
                raise
