"""A kubelet without processes: it reports pods as running, and as ended as soon as they are asked to end."""

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Final

from tests.support.kube import Kube, KubeError, Object

NODE: Final = "agentstop-bench"
WORKERS: Final = 16
HEARTBEAT_SECONDS: Final = 5.0
LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


def running_status(container: str, since: str) -> Object:
    """Return the status of a pod whose one container runs."""
    return {
        "phase": "Running",
        "startTime": since,
        "hostIP": "127.0.0.1",
        "podIP": "127.0.0.1",
        "conditions": [
            {"type": each, "status": "True", "lastTransitionTime": since}
            for each in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ],
        "containerStatuses": [
            {
                "name": container,
                "ready": True,
                "started": True,
                "restartCount": 0,
                "image": "bench",
                "imageID": "bench",
                "containerID": "bench://1",
                "state": {"running": {"startedAt": since}},
            }
        ],
    }


def ended_status(pod: Object, at: str) -> Object:
    """Return the status of a pod whose container exited with 0, for its deadline or because the pod is deleted."""
    containers = [
        {
            **each,
            "ready": False,
            "started": False,
            "state": {
                "terminated": {
                    "exitCode": 0,
                    "reason": "Completed",
                    "startedAt": each["state"]["running"]["startedAt"],
                    "finishedAt": at,
                }
            },
        }
        for each in pod["status"]["containerStatuses"]
    ]
    if "deletionTimestamp" in pod["metadata"]:
        return {"phase": "Succeeded", "containerStatuses": containers}
    return {
        "phase": "Failed",
        "reason": "DeadlineExceeded",
        "message": "Pod was active on the node longer than the specified deadline",
        "containerStatuses": containers,
    }


def now() -> str:
    """Return the moment as a kubelet writes it, in whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class FakeKubelet:
    """Takes pods that are bound to its node. `see` is to be told of every event of a watch on pods."""

    def __init__(self, api: Kube) -> None:
        self._api = api
        self._work: asyncio.Queue[tuple[str, Object]] = asyncio.Queue()
        self._done: set[tuple[str, str]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self.termination_seconds = 0.0
        """How long its containers take to end once they are asked to."""

    async def start(self) -> None:
        """Make the node, and begin to work."""
        node = {"metadata": {"name": NODE}, "spec": {"unschedulable": True}}
        with contextlib.suppress(KubeError):
            await self._api.call("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", **node})
        ready = {"type": "Ready", "status": "True", "reason": "Bench", "lastHeartbeatTime": now()}
        ready["lastTransitionTime"] = now()
        await self._api.patch(f"/api/v1/nodes/{NODE}/status", {"status": {"conditions": [ready]}})
        self._tasks = [asyncio.create_task(self._work_on()) for _ in range(WORKERS)]
        self._tasks.append(asyncio.create_task(self._beat()))

    async def stop(self) -> None:
        """Stop working, and take the node away."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for path in (f"/api/v1/nodes/{NODE}", f"{LEASES}/{NODE}"):
            with contextlib.suppress(KubeError):
                await self._api.call("DELETE", path)

    def see(self, kind: str, pod: Object) -> None:
        """Take in the event of a pod."""
        if kind == "DELETED" or pod["spec"].get("nodeName") != NODE:
            return
        phase = pod.get("status", {}).get("phase", "Pending")
        if "deletionTimestamp" in pod["metadata"]:
            self._once("delete", pod)
        elif phase == "Pending":
            self._once("run", pod)
        elif phase == "Running" and pod["spec"].get("activeDeadlineSeconds") == 1:
            self._once("end", pod)

    def _once(self, what: str, pod: Object) -> None:
        key = (what, pod["metadata"]["uid"])
        if key not in self._done:
            self._done.add(key)
            seconds = 0.0 if what == "run" else self.termination_seconds
            asyncio.get_running_loop().call_later(seconds, self._work.put_nowait, (what, pod))

    async def _work_on(self) -> None:
        while True:
            what, pod = await self._work.get()
            path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
            # A pod that went in the meantime needs nothing any more.
            with contextlib.suppress(KubeError):
                if what == "delete":
                    if pod.get("status", {}).get("phase") == "Running":
                        await self._api.patch(f"{path}/status", {"status": ended_status(pod, now())})
                    body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
                    await self._api.call("DELETE", path, body)
                elif what == "run":
                    status = running_status(pod["spec"]["containers"][0]["name"], now())
                    await self._api.patch(f"{path}/status", {"status": status})
                else:
                    await self._api.patch(f"{path}/status", {"status": ended_status(pod, now())})

    async def _beat(self) -> None:
        """Renew the node's lease, so that a cluster's controllers take the node for alive."""
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NODE}}
        with contextlib.suppress(KubeError):
            await self._api.call("POST", LEASES, {**lease, "spec": {"holderIdentity": NODE}})
        while True:
            moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            with contextlib.suppress(KubeError):
                await self._api.patch(f"{LEASES}/{NODE}", {"spec": {"renewTime": moment, "leaseDurationSeconds": 40}})
            await asyncio.sleep(HEARTBEAT_SECONDS)
