"""The slow second look: what the watches missed is found by comparing the caches with a list of names."""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Final

from agentstop.api.meta import API_VERSION, TASK_LABEL
from agentstop.api.pod_control import CONTROL_KIND
from agentstop.api.task import KIND
from agentstop.cluster.cache import Cache
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.controller.event_handler import EventHandler
from agentstop.lifecycle.observation import Task
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.pods.controls import FROZEN
from agentstop.workloads.requests import Delete, Get

log = logging.getLogger(__name__)

BATCH: Final = 20
PAUSE_SECONDS: Final = 0.02
"""So many tasks are taken at a time, and how long a pause is made after them: stops come in between."""


class Resync:
    """Finds tasks and pods that came, changed or went while a watch was blind."""

    def __init__(
        self,
        cache: Cache,
        gateway: Gateway,
        event_handler: EventHandler,
        namespaces: tuple[str, ...],
        afterwards: Callable[[], None] = lambda: None,
    ) -> None:
        """`afterwards` is called once all that there is is known."""
        self._afterwards = afterwards
        self._cache = cache
        self._gateway = gateway
        self._event_handler = event_handler
        self._namespaces = namespaces or ("",)

    async def run_once(self) -> None:
        """Compare the caches with the cluster, and have everything that has not ended decided on anew.

        Raises ApiError if the cluster cannot be listed.
        """
        known = dict(self._cache.tasks.items())
        tasks = await self._list(KIND, "")
        pods = await self._list("Pod", TASK_LABEL)
        for key, version in tasks.items():
            current = self._cache.tasks.get(key)
            if current is None or current.resource_version != version:
                await self._look_for(key)
        for number, (key, task) in enumerate(known.items(), start=1):
            if number % BATCH == 0:
                await asyncio.sleep(PAUSE_SECONDS)
            if key not in tasks:
                await self._look_for(key)
            elif not task.status.phase.terminal:
                if task.spec.pod_template is not None and task.status.workload is not None and key not in pods:
                    self._event_handler.mark_stale(ObjectRef("Pod", *key))
                self._event_handler.enqueue(key)
            elif task.leaves_something and (pod := _own_pod(key, task)) is not None and pod not in pods:
                # Without our label: after the end, no watch tells that it has gone.
                self._event_handler.mark_stale(ObjectRef("Pod", *pod))
                self._event_handler.enqueue(key)
        for number, key in enumerate(pods.keys() - tasks.keys(), start=1):
            if number % BATCH == 0:
                await asyncio.sleep(PAUSE_SECONDS)
            await self._look_at_pod(ObjectRef("Pod", *key))
        await self._thaw(tasks)
        self._afterwards()

    async def _thaw(self, tasks: Collection[TaskKey]) -> None:
        """Have go on what was frozen for tasks that are gone, unseen: without its PodControl a pod does."""
        for (namespace, uid), control in list(self._cache.controls.records.items()):
            if control.state != FROZEN or TaskKey(namespace, control.task) in tasks:
                continue
            ref = ObjectRef(CONTROL_KIND, namespace, uid, API_VERSION)
            try:
                await self._gateway.send(Delete(ref, control.uid, ends_processes=False))
            except ApiError as error:
                if not error.absent:
                    log.warning("pod %s/%s stays frozen, whose task is gone: %s", namespace, uid, error)
            else:
                log.warning("pod %s/%s was frozen for task %s, which is gone: it goes on", namespace, uid, control.task)

    async def _look_at_pod(self, ref: ObjectRef) -> None:
        """Read a pod with our label that has no task of its name, and that no watch has told of."""
        if self._cache.objects.knows(ref):
            return
        try:
            self._event_handler.object(ref, None, await self._gateway.send(Get(ref)))
        except ApiError as error:
            if not error.absent:
                raise

    async def _look_for(self, key: TaskKey) -> None:
        try:
            self._event_handler.task("MODIFIED", await self._gateway.get_task(*key))
        except ApiError as error:
            if not error.absent:
                raise
            self._event_handler.task_is_gone(key)
        except Exception:
            # One object that we stumble over must not hide all others.
            log.exception("%s could not be taken in", key)

    async def _list(self, kind: str, selector: str) -> dict[TaskKey, str]:
        found: dict[TaskKey, str] = {}
        for namespace in self._namespaces:
            for metadata in await self._gateway.list_metadata(kind, namespace, selector):
                found[TaskKey(metadata["namespace"], metadata["name"])] = metadata["resourceVersion"]
        return found


def _own_pod(key: TaskKey, task: Task) -> TaskKey | None:
    """Return where the pod is that a task made or adopted; None if its workload is of another kind."""
    ref = task.spec.workload_ref
    if ref is None:
        return key
    return TaskKey(key.namespace, ref.name) if ref.kind == "Pod" else None
