"""One connection to an API server, and what is known of the objects there: shared by the controllers that use it."""

import asyncio
import logging
import ssl as ssl_module
from collections.abc import Coroutine, Sequence
from typing import Any

from agentstop_playground.api_client import MERGE_PATCH, ApiClient, Object
from agentstop_playground.controllers.cache import Cache
from agentstop_playground.controllers.kinds import Kind
from agentstop_playground.controllers.objects import condition
from agentstop_playground.events import EventRecorder
from agentstop_playground.informer import Informer

log = logging.getLogger(__name__)

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Hub:
    """Reads by caches, writes by requests whose answers go into the caches at once.

    Args:
        url: where the API server is.
        token: bearer token, if it wants one.
        ssl: for ``https``, with client certificates where these are wanted; None for the system's.
        namespaces: see the objects of these only; None for all.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        ssl: ssl_module.SSLContext | None = None,
        namespaces: Sequence[str] | None = None,
    ) -> None:
        self.client = ApiClient(url, token=token, ssl_context=ssl, agent="agentstop-playground-controllers")
        self.events = EventRecorder(self.client, "agentstop-playground")
        self._namespaces = list(namespaces) if namespaces else [""]
        self._caches: dict[Kind, Cache] = {}
        self._informers: dict[Kind, dict[str, Informer]] = {}
        self._served: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def cache(self, kind: Kind) -> Cache:
        """The objects of a kind; to be asked for before ``start``."""
        if kind not in self._caches:
            cache = self._caches[kind] = Cache()
            served = self._served.setdefault(kind.definition, asyncio.Event()).wait if kind.custom else None
            self._informers[kind] = {
                item: Informer(self.client, kind.collection(item), cache.take, served=served)
                for item in self._namespaces
            }
        return self._caches[kind]

    async def start(self) -> None:
        """Connect and begin to watch; returns once everything that is there was seen."""
        await self.client.open()
        self._spawn(self.events.run())
        if self._served:
            definitions = Informer(self.client, _DEFINITIONS, self._definition_seen)
            self._spawn(definitions.run())
            await definitions.synced.wait()
        for kind, informers in self._informers.items():
            for informer in informers.values():
                self._spawn(informer.run())
                if not kind.custom or self._served[kind.definition].is_set():
                    await informer.synced.wait()

    async def stop(self) -> None:
        """Stop watching and disconnect."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.close()

    async def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        """Create an object; raises ApiError."""
        body = {"apiVersion": kind.api_version, "kind": kind.name, **body}
        return self._note(kind, await self.client.request("POST", kind.collection(namespace), body))

    async def patch(self, kind: Kind, obj: Object, body: Object, content_type: str = MERGE_PATCH) -> Object:
        """Patch the very object (its UID goes with the patch); raises ApiError."""
        metadata = obj["metadata"]
        body = {**body, "metadata": {**(body.get("metadata") or {}), "uid": metadata["uid"]}}
        path = kind.path(metadata["namespace"], metadata["name"])
        return self._note(kind, await self.client.request("PATCH", path, body, content_type=content_type))

    async def write_status(self, kind: Kind, obj: Object, status: Object) -> None:
        """Write an object's status if it differs, on the version that it was decided on; raises ApiError."""
        if status == (obj.get("status") or {}):
            return
        metadata = obj["metadata"]
        body = {**obj, "apiVersion": kind.api_version, "kind": kind.name, "status": status}
        path = kind.path(metadata["namespace"], metadata["name"], "status")
        self._note(kind, await self.client.request("PUT", path, body))

    async def delete(self, kind: Kind, obj: Object) -> None:
        """Delete the very object in the background, with its own grace; raises ApiError."""
        metadata = obj["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": metadata["uid"]},
        }
        answer = await self.client.request("DELETE", kind.path(metadata["namespace"], metadata["name"]), body)
        if (answer.get("metadata") or {}).get("uid") == metadata["uid"]:
            self._note(kind, answer)

    def _note(self, kind: Kind, obj: Object) -> Object:
        informers = self._informers.get(kind, {})
        informer = informers.get(obj["metadata"].get("namespace", "")) or informers.get("")
        if informer is not None:
            informer.note(obj)
        return obj

    def _definition_seen(self, change: str, definition: Object) -> None:
        served = self._served.get(definition["metadata"]["name"])
        if served is None:
            return
        conditions = (definition.get("status") or {}).get("conditions") or ()
        established = (condition(conditions, "Established") or {}).get("status") == "True"
        if established and change != "DELETED":
            served.set()
        else:
            served.clear()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a part of the controllers failed", exc_info=task.exception())
