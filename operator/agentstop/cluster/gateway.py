"""The one gateway to the API server."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTClientObject

from agentstop import __version__
from agentstop.api.task import KIND
from agentstop.cluster.errors import ApiError, error_from
from agentstop.cluster.resources import collection, path
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.podseen import STOP_MANAGER
from agentstop.workloads.requests import Create, Delete, Look, Patch, Request

REQUEST_TIMEOUT_SECONDS: Final = 10.0
"""How long one request may take. An API server that hangs is asked again rather than waited for."""

KEEP_ALIVE_SECONDS: Final = 75.0
WARM_SECONDS: Final = 20.0
"""How long an idle connection is kept, and how often one is used; API servers close theirs after 90 idle seconds."""

LIST_TIMEOUT_SECONDS: Final = 120.0

PAGE: Final = 500
"""So many objects are listed at once: to read a page holds up everything else only for a moment."""

WATCH_SECONDS: Final = 60
SILENCE_SECONDS: Final = 65.0
"""How long one watch lasts before it is renewed, and after how long a silent one is taken for dead."""

MANAGER: Final = "agentstop"
"""Field manager of all changes but the one that stops a pod in place."""

ABSENT: Final = "ABSENT"
"""In the place of an event type: there is no such object."""

_BOUNDED: Final = {"timeout": "5s"}
"""Makes the API server answer within this time, with 504, where a webhook of somebody else hangs."""

_MERGE: Final = "application/merge-patch+json"
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_IDENTITY: Final = ("namespace", "name", "resourceVersion")

JsonObject = dict[str, Any]


class _WarmConnections(RESTClientObject):  # type: ignore[misc]  # the client has no types that mypy could follow
    """Keeps connections open between requests: a stop that comes after a quiet time waits for no TLS handshake."""

    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(limit=0, ssl=self.ssl_context, keepalive_timeout=KEEP_ALIVE_SECONDS)


class Gateway:
    """Sends requests to the API server and returns its answers as they came.

    Raises ApiError for every answer that is not a success, and for none. To be made in the loop that uses it.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._client = ApiClient(configuration)
        self._client.rest_client = _WarmConnections(configuration)
        self._client.user_agent = f"{MANAGER}/{__version__}"

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def keep_warm(self) -> None:
        """Use a connection from time to time, so that neither side closes it for being idle; until cancelled."""
        while True:
            with suppress(ApiError):
                await self.call("GET", "/version")
            await asyncio.sleep(WARM_SECONDS)

    async def send(self, request: Request) -> JsonObject:
        """Carry out a workload's request and return the object as it is after it, or a Status."""
        match request:
            case Look(ref):
                return await self.call("GET", path(ref))
            case Create(ref, body):
                where = collection(ref.kind, ref.namespace)
                return await self.call("POST", where, {"fieldManager": MANAGER} | _BOUNDED, body)
            case Patch(ref, uid, body, ends_processes):
                manager = STOP_MANAGER if ends_processes else MANAGER
                # A UID that differs from the object's own makes the API server answer 409 Conflict.
                precondition = {**body, "metadata": {**body.get("metadata", {}), "uid": uid}}
                return await self.call("PATCH", path(ref), {"fieldManager": manager} | _BOUNDED, precondition, _MERGE)
            case Delete(ref, uid, grace_seconds):
                options: JsonObject = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
                if grace_seconds is not None:
                    options["gracePeriodSeconds"] = grace_seconds
                return await self.call("DELETE", path(ref), _BOUNDED, options)

    async def get_task(self, namespace: str, name: str) -> JsonObject:
        """Return a task as it is now."""
        return await self.call("GET", path(ObjectRef(KIND, namespace, name)))

    async def write_status(self, task: JsonObject) -> JsonObject:
        """Write a task's status, if the task still is at the resource version given with it."""
        metadata = task["metadata"]
        where = path(ObjectRef(KIND, metadata["namespace"], metadata["name"]))
        return await self.call("PUT", f"{where}/status", {"fieldManager": MANAGER}, task)

    async def patch_task(self, namespace: str, name: str, body: Mapping[str, Any]) -> JsonObject:
        """Merge into a task; a resource version in the body makes it conditional."""
        return await self.call("PATCH", path(ObjectRef(KIND, namespace, name)), {"fieldManager": MANAGER}, body, _MERGE)

    async def delete_task(self, namespace: str, name: str, uid: str, resource_version: str) -> None:
        """Delete a task, if it still is what it was."""
        options = {
            "preconditions": {"uid": uid, "resourceVersion": resource_version},
            "propagationPolicy": "Background",
        }
        await self.call("DELETE", path(ObjectRef(KIND, namespace, name)), {}, options)

    async def list_metadata(self, kind: str, namespace: str, selector: str = "") -> list[JsonObject]:
        """Return namespace, name and resource version of all objects of a kind."""
        query = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
        found: list[JsonObject] = []
        while True:
            answer = await self.call(
                "GET", collection(kind, namespace), query, accept=_METADATA_ONLY, timeout=LIST_TIMEOUT_SECONDS
            )
            found += [{each: item["metadata"][each] for each in _IDENTITY} for item in answer.get("items") or ()]
            if not answer["metadata"].get("continue"):
                return found
            query["continue"] = answer["metadata"]["continue"]

    async def post_event(self, namespace: str, body: Mapping[str, Any]) -> None:
        """Create an Event."""
        await self.call("POST", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", {}, body)

    async def patch_event(self, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """Merge into an Event."""
        where = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events/{name}"
        await self.call("PATCH", where, {}, body, _MERGE)

    async def watch_one(self, ref: ObjectRef) -> AsyncIterator[tuple[str, JsonObject]]:
        """Yield the states of one object: what it is now, then (event type, object) as it changes.

        Where there is none now, the first is (ABSENT, {}). Ends with the watch; to be begun anew then.
        """
        selector = {"fieldSelector": f"metadata.name={ref.name}"}
        where = collection(ref.kind, ref.namespace)
        listed = await self.call("GET", where, selector)
        if not listed.get("items"):
            yield ABSENT, {}
        for item in listed.get("items") or ():
            yield "ADDED", item
        query = selector | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": listed["metadata"]["resourceVersion"],
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        timeout = aiohttp.ClientTimeout(total=SILENCE_SECONDS, sock_connect=REQUEST_TIMEOUT_SECONDS)
        try:
            response = await self._request("GET", where, query, None, "application/json", timeout)
            async with response:
                if response.status >= 400:
                    raise error_from(response.status, await response.read())
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    if event["type"] != "BOOKMARK":
                        yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _away(error) from error

    async def call(
        self,
        method: str,
        where: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        *,
        accept: str = "application/json",
        timeout: float = REQUEST_TIMEOUT_SECONDS,
    ) -> JsonObject:
        """Make one request and return the object that the API server answers with."""
        total = aiohttp.ClientTimeout(total=timeout)
        try:
            response = await self._request(method, where, query or {}, body, content_type, total, accept)
            async with response:
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise _away(error) from error
        if response.status >= 400:
            raise error_from(response.status, content)
        answer: JsonObject = json.loads(content)
        return answer

    async def _request(
        self,
        method: str,
        where: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
        accept: str = "application/json",
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": accept, "Content-Type": content_type, **self._client.default_headers}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], where, method, body)
        url = f"{self._client.configuration.host}{where}"
        if query:
            url += f"?{urlencode(query)}"
        # The generated calls build models of every answer, which costs more than the request: content is read raw.
        answer = await self._client.rest_client.request(
            method, url, headers=headers, body=body, _request_timeout=timeout
        )
        response: aiohttp.ClientResponse = answer.response
        return response


def _away(error: BaseException) -> ApiError:
    what = "did not answer in time" if isinstance(error, TimeoutError) else f"cannot be reached: {error}"
    return ApiError(0, "Unreachable", f"the API server {what}")
