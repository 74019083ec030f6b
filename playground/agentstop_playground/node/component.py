"""A stand-in of agentstop's component on a node: it answers the PodControls of its node with signals.

What a kernel does to a cgroup is done to each process here: SIGSTOP for a freeze, SIGCONT for its end, SIGKILL.
What its status says, and when, is as with the component (https://github.com/agentstop/agentstop, docs/node.md).
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentstop_playground import times
from agentstop_playground.api_client import MERGE_PATCH, ApiClient, ApiError, Object, backoff
from agentstop_playground.informer import Informer
from agentstop_playground.node.control_status import SEEN, UNDER_WAY, Found, is_on_record, status_of
from agentstop_playground.node.processes import ProcessHost

log = logging.getLogger(__name__)

GROUP = "/apis/agentstop.dev/v1alpha1"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
NOT_FOUND = 404

HOLD = 0.5
"""Seconds between two looks at a pod that is as it was asked for."""
SOON = 0.01
"""Seconds until the next look at one that is not; each further pause is half as long again."""
TELL = 0.1
"""From such a pause on it is written down that it takes its time."""
RETRY = 1.0
"""Seconds after which what was refused is tried again."""


@dataclass(frozen=True)
class Place:
    """What workers work with."""

    client: ApiClient
    node: str
    host: ProcessHost
    is_known: Callable[[str], bool]
    """Whether the node has a pod of this UID."""
    boot_id: str


class NodeComponent:
    """Watches the PodControls of one node, and has a worker for each."""

    def __init__(self, client: ApiClient, node: str, host: ProcessHost, is_known: Callable[[str], bool]) -> None:
        """``is_known`` says whether the node has a pod of this UID."""
        self._place = Place(client, node, host, is_known, BOOT_ID.read_text(encoding="ascii").strip())
        self._workers: dict[str, tuple[_Worker, asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        path = f"{GROUP}/podcontrols?fieldSelector=spec.nodeName%3D{node}"
        self._informer = Informer(client, path, self._changed)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            await self._informer.run()
        finally:
            for task in self._tasks:
                task.cancel()

    def _changed(self, kind: str, control: Object) -> None:
        uid = control["metadata"]["uid"]
        if kind == "DELETED":
            known = self._workers.pop(uid, None)
            if known is not None:
                worker, task = known
                task.cancel()
                self._spawn(worker.let_go())
        elif uid in self._workers:
            self._workers[uid][0].take(control)
        else:
            worker = _Worker(control, self._place)
            self._workers[uid] = worker, self._spawn(worker.run())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Worker:
    """Sees to one PodControl."""

    def __init__(self, control: Object, place: Place) -> None:
        self._control = control
        self._place = place
        self._news = asyncio.Event()
        self._ours = False
        self._frozen = False
        """Whether its processes may be stopped by us."""
        self._status: Object = control.get("status") or {}
        self._path = f"{GROUP}/namespaces/{control['metadata']['namespace']}"
        self._pod: str = control["spec"]["podUID"]

    def take(self, control: Object) -> None:
        """The object has changed."""
        if control["metadata"]["generation"] != self._control["metadata"]["generation"]:
            self._news.set()
        self._control = control

    async def run(self) -> None:
        """Work until cancelled."""
        attempt, soon = 0, SOON
        while True:
            self._news.clear()
            control = self._control
            try:
                refusal = None if self._ours else await self._refusal()
                found = refusal or await self._look(control["spec"]["state"])
                under_way = found.reason in UNDER_WAY
                if not under_way or soon >= TELL:
                    await self._write(control, found)
            except ApiError as error:
                attempt += 1
                log.log(logging.WARNING if attempt == 3 else logging.DEBUG, "%s (trying again)", error)
                await asyncio.sleep(backoff(attempt))
                continue
            except Exception:
                log.exception("PodControl %s was not seen to", control["metadata"]["name"])
                await asyncio.sleep(RETRY)
                continue
            attempt = 0
            if refusal is not None:
                await asyncio.sleep(RETRY)
                continue
            await self._pause(soon if under_way else HOLD)
            soon = min(1.5 * soon, HOLD) if under_way else SOON

    async def let_go(self) -> None:
        """The object is gone: nothing stays frozen because of that."""
        while self._frozen:
            await self._thaw()
            await asyncio.sleep(SOON)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    async def _refusal(self) -> Found | None:
        spec, name = self._control["spec"], self._control["spec"]["taskName"]
        if self._control["metadata"]["name"] != self._pod:
            return Found("NoPodUID", "spec.podUID is not the name of this object")
        if spec["nodeName"] != self._place.node:
            return Found("OtherNode", f"The pod is another node's; this is {self._place.node}")
        try:
            task = await self._place.client.request("GET", f"{self._path}/agenttasks/{name}")
        except ApiError as error:
            if error.code != NOT_FOUND:
                raise
            return Found("TaskNotFound", f"There is no AgentTask {name}, so nothing is done to the pod")
        if not is_on_record(task, self._pod):
            return Found("NotTheTasks", f"AgentTask {name} has no such pod on record: nothing is done to it")
        self._ours = True
        return None

    async def _look(self, state: str) -> Found:
        if state == "Killed":
            return await self._kill()
        if not self._place.is_known(self._pod):
            return Found("CgroupNotFound", "The node has no such pod")
        return await (self._freeze() if state == "Frozen" else self._thaw())

    async def _freeze(self) -> Found:
        self._frozen = True
        crowd = await self._place.host.signal_all(self._pod, signal.SIGSTOP)
        if crowd.stopped < crowd.processes:
            return Found("Freezing", "SIGSTOP was sent, and something of the pod runs", "Running")
        return Found("Frozen", "All processes of the pod are stopped", "Frozen", crowd.processes)

    async def _thaw(self) -> Found:
        if self._frozen:
            # What stopped itself before goes on as well: nobody can tell.
            crowd = await self._place.host.signal_all(self._pod, signal.SIGCONT)
            self._frozen = crowd.stopped > 0
        if self._frozen:
            return Found("Thawing", "SIGCONT was sent, and something of the pod is stopped", "Frozen")
        return Found("Running", "The pod is not frozen", "Running")

    async def _kill(self) -> Found:
        self._frozen = False
        self._place.host.close_pod(self._pod)
        crowd = await self._place.host.signal_all(self._pod, signal.SIGKILL)
        if self._place.host.is_empty(self._pod):
            return Found("Empty", "No process of the pod is left, and none can be started", "Killed", 0)
        left = crowd.processes
        return Found("Killing", f"SIGKILL was sent; {left} processes are left", "Running", left)

    async def _write(self, control: Object, found: Found) -> None:
        metadata = control["metadata"]
        status = status_of(self._status, metadata["generation"], found, self._place.boot_id, times.now())
        if status == self._status:
            return
        body = {"metadata": {"uid": metadata["uid"]}, "status": dict.fromkeys(SEEN) | status}
        path = f"{self._path}/podcontrols/{metadata['name']}/status"
        await self._place.client.request("PATCH", path, body, content_type=MERGE_PATCH)
        self._status = status
