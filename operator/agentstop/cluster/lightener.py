"""Takes the bulk off objects that are too large to be changed."""

from collections.abc import Collection
from typing import Final

from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.discovery import Discovery
from agentstop.cluster.errors import ApiError
from agentstop.cluster.resources import path, task_ref
from agentstop.cluster.transport import Transport
from agentstop.workloads.lightening import TOO_LARGE, Operations, lightened, mark_of
from agentstop.workloads.pods.record import STOP_MANAGER
from agentstop.workloads.requests import Lighten

QUERY: Final = {"timeout": "5s"}
JSON_PATCH: Final = "application/json-patch+json"
"""A JSON patch replaces all labels at once; in a merge patch each of them would have to be named."""


class Lightener:
    """Sends the patches. Raises ApiError for every answer that is not a success, and where nothing can be taken off."""

    def __init__(self, transport: Transport, discovery: Discovery) -> None:
        self._transport = transport
        self._discovery = discovery

    async def lighten(self, request: Lighten) -> JsonObject:
        """Take the bulk off an object, and change it with that, if it still has this UID."""
        ref = request.ref
        place = await self._discovery.place(ref)
        where = f"{place.collection(ref.namespace)}/{ref.name}"
        metadata = await self._metadata(where, request.uid)
        change = [{"op": "add", "path": f"/spec/{name}", "value": value} for name, value in request.spec.items()]
        mark = mark_of(ref.api_version, request.spec, STOP_MANAGER, request.at) if change else None
        try:
            return await self._patch(where, request.uid, lightened(metadata, request.keep, mark), change)
        except ApiError as error:
            if not error.too_large or mark is None:
                raise
        return await self._patch(where, request.uid, lightened(metadata, request.keep), change)

    async def lighten_task(
        self, namespace: str, name: str, uid: str, keep: Collection[str], manager: str
    ) -> JsonObject:
        """Take the bulk off a task, but the labels to keep, if it still has this UID."""
        where = path(task_ref(namespace, name))
        return await self._patch(where, uid, lightened(await self._metadata(where, uid), keep), [], manager)

    async def _metadata(self, where: str, uid: str) -> JsonObject:
        metadata: JsonObject = (await self._transport.call("GET", where))["metadata"]
        if metadata["uid"] != uid:
            raise ApiError(409, "Conflict", f"{where} is another object by now")
        return metadata

    async def _patch(
        self, where: str, uid: str, lighter: Operations, change: Operations, manager: str = STOP_MANAGER
    ) -> JsonObject:
        if not lighter:
            raise ApiError(413, TOO_LARGE, "request is too large, and there are no labels or annotations to take off")
        # Whatever is made under that name meanwhile has another UID, which cannot be changed.
        same: Operations = [{"op": "add", "path": "/metadata/uid", "value": uid}]
        query = {"fieldManager": manager} | QUERY
        return await self._transport.call("PATCH", where, query, [*same, *lighter, *change], JSON_PATCH)
