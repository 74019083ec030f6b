"""The playground's node: a kubelet and a scheduler in small."""

import asyncio
import contextlib
import logging
import shutil
import ssl as ssl_module
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from agentstop_playground.api_client import ApiClient, Object
from agentstop_playground.events import EventRecorder
from agentstop_playground.informer import Informer
from agentstop_playground.node.component import NodeComponent
from agentstop_playground.node.context import NodeContext
from agentstop_playground.node.images import Images
from agentstop_playground.node.log_server import LogServer
from agentstop_playground.node.node_object import ADDRESS
from agentstop_playground.node.pod_worker import PodWorker
from agentstop_playground.node.processes import ProcessHost
from agentstop_playground.node.registration import Registration
from agentstop_playground.node.scheduler import Scheduler

log = logging.getLogger(__name__)

REGISTRATION_PATIENCE = 2.0
"""Seconds that ``start`` waits for the registration; it goes on without it if the API server is away."""
STOP_GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL for the processes that are there when the node stops."""


class Node:
    """One node of any Kubernetes API server, which runs its pods as local process groups.

    Args:
        url: where the API server is.
        token: bearer token, if it wants one.
        ssl: for ``https``; None for the system's certificates.
        name: name of the Node object.
        data_dir: where the pods' directories and logs are; only what is below ``pods`` in it is touched.
        namespaces: take pods of these only; None for all.
        component: answer the node's PodControls, too, as agentstop's component on a node does.
    """

    def __init__(
        self,
        *,
        url: str,
        token: str | None = None,
        ssl: ssl_module.SSLContext | None = None,
        name: str = "playground",
        data_dir: Path,
        namespaces: Sequence[str] | None = None,
        component: bool = False,
    ) -> None:
        self._name = name
        self._data_dir = data_dir.absolute()
        self._client = ApiClient(url, token=token, ssl_context=ssl, agent="agentstop-playground-node")
        self._host = ProcessHost()
        self._workers: dict[str, PodWorker] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._log_server = LogServer(self._find)
        self._events = EventRecorder(self._client, "agentstop-playground", name)
        self._registration = Registration(self._client, name, lambda: self._log_server.port, self._node_changed)
        self._scheduler = Scheduler(self._client, name, self._events, self._schedulable_node)
        self._acted = True
        self._context = NodeContext(
            name=name,
            address=ADDRESS,
            data_dir=self._data_dir,
            client=self._client,
            host=self._host,
            events=self._events,
            images=Images(),
            acting=lambda: self._registration.acting,
        )
        self._component = (
            NodeComponent(self._client, name, self._host, self._workers.__contains__) if component else None
        )
        paths = [f"/api/v1/namespaces/{item}/pods" for item in namespaces] if namespaces else ["/api/v1/pods"]
        self._informers = [Informer(self._client, path, self._pod_changed) for path in paths]

    async def start(self) -> None:
        """Register the node and begin to work, in the background until ``stop``.

        An API server that is away is waited for in the background, too.
        Raises RuntimeError where the system cannot run pods as processes.
        """
        # What agents write and log is for the user who runs the playground only.
        self._pods_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            await self._client.open()
            await self._host.open()
            await self._log_server.start()
        except BaseException:
            await self.stop()
            raise
        for work in (self._events.run(), self._registration.run(), *(self._follow(item) for item in self._informers)):
            self._spawn(work)
        self._spawn(self._tidy())
        if self._component is not None:
            self._spawn(self._component.run())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REGISTRATION_PATIENCE):
                await self._registration.registered()

    async def stop(self) -> None:
        """End every process of every pod and remove their directories; the pods' objects stay as they are.

        To the API it looks like a machine that was switched off: a node that starts again says of the pods that were
        running that their containers' ends were not seen.
        """
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._scheduler.close()
        for worker in self._workers.values():
            worker.close()
        await self._host.close(STOP_GRACE)
        await self._registration.say_goodbye()
        await self._log_server.stop()
        await self._client.close()
        await asyncio.to_thread(shutil.rmtree, self._pods_dir, ignore_errors=True)

    @property
    def _pods_dir(self) -> Path:
        return self._data_dir / "pods"

    async def _follow(self, informer: Informer) -> None:
        await self._registration.known()
        await informer.run()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a part of the node failed", exc_info=task.exception())

    def _find(self, namespace: str, name: str) -> PodWorker | None:
        for worker in self._workers.values():
            metadata = worker.pod["metadata"]
            if metadata["name"] == name and metadata["namespace"] == namespace:
                return worker
        return None

    def _schedulable_node(self) -> Object | None:
        return self._registration.node if self._registration.acting and self._registration.ready else None

    def _node_changed(self) -> None:
        self._scheduler.reconsider()
        if self._registration.acting != self._acted:
            self._acted = self._registration.acting
            for worker in list(self._workers.values()):
                worker.step()

    def _pod_changed(self, kind: str, pod: Object) -> None:
        self._scheduler.seen(kind, pod)
        if pod["spec"].get("nodeName") != self._name:
            return
        worker = self._workers.get(pod["metadata"]["uid"])
        if kind == "DELETED":
            if worker is not None:
                worker.removed(pod)
            return
        if worker is not None:
            worker.update(pod)
            return
        worker = PodWorker(pod, self._context, self._worker_gone)
        self._workers[worker.uid] = worker
        worker.step()

    def _worker_gone(self, worker: PodWorker) -> None:
        self._workers.pop(worker.uid, None)
        self._spawn(asyncio.to_thread(worker.remove_files))

    async def _tidy(self) -> None:
        """Remove the directories of pods that went while the node was away."""
        for informer in self._informers:
            await informer.synced.wait()
        for folder in await asyncio.to_thread(lambda: list(self._pods_dir.iterdir())):
            if folder.name not in self._workers:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
