"""The one gateway to the API server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, Final

from agentstop.api.meta import API_VERSION
from agentstop.cluster import access_reviews
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.discovery import Discovery, check_scalable
from agentstop.cluster.errors import ApiError
from agentstop.cluster.large_objects import NamespacedName
from agentstop.cluster.lightener import Lightener
from agentstop.cluster.pages import Page, pages, read_all
from agentstop.cluster.redact import private_texts
from agentstop.cluster.resources import (
    APIResource,
    by_scale,
    collection,
    is_node,
    own_path,
    path,
    pod_of,
    task_ref,
)
from agentstop.cluster.suspending import suspend
from agentstop.cluster.transport import WARM, Transport
from agentstop.cluster.watching import Watches, all_of, by_label
from agentstop.timings import TIMINGS, Timings
from agentstop.workloads.objects import ObjectRef, WatchTarget
from agentstop.workloads.pods.controls import KILLED
from agentstop.workloads.pods.record import STOP_MANAGER
from agentstop.workloads.requests import (
    AccessReview,
    AskNode,
    Create,
    Delete,
    FindPods,
    Get,
    GetLease,
    GetPod,
    GetTemplate,
    Lighten,
    ListPods,
    Meaning,
    Patch,
    Recall,
    Request,
    Suspend,
)

MAX_ASKED_AT_ONCE: Final = WARM
"""So many nodes are asked for something at once, by as many connections as are kept: more is not faster."""

MAX_AT_ONCE: Final = 16
"""So many requests of one task are under way at once."""

MANAGER: Final = "agentstop"
"""Field manager of all changes but those that stop, pause or resume a workload."""

PAUSE_MANAGER: Final = "agentstop-pause"

_MANAGERS: Final = {
    Meaning.STOP: STOP_MANAGER,
    Meaning.PAUSE: PAUSE_MANAGER,
    Meaning.RESUME: PAUSE_MANAGER,
    Meaning.UNTRACK: MANAGER,
}

_BOUNDED: Final = {"timeout": "5s"}
"""Makes the API server answer within this time, with 504, where a webhook of somebody else hangs."""

_MERGE: Final = "application/merge-patch+json"
_STRATEGIC_MERGE: Final = "application/strategic-merge-patch+json"
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_IDENTITY: Final = ("namespace", "name", "resourceVersion")


class Gateway:
    """Sends requests to the API server and returns its answers as they came; pods of which there may be many, as read.

    Raises ApiError for every answer that is not a success, and for none.
    """

    def __init__(self, transport: Transport, timings: Timings = TIMINGS) -> None:
        self._transport = transport
        self._timings = timings
        self._asking = asyncio.Semaphore(MAX_ASKED_AT_ONCE)
        self._discovery = Discovery(lambda where: self.call("GET", where))
        self._lightener = Lightener(transport, self._discovery)
        self._watches = Watches(transport, timings, self._discovery, self._look)

    async def send(self, request: Request) -> JsonObject:
        """Carry out a workload's request and return the object as it is after it, or a Status."""
        match request:
            case Get(ref, link):
                return await self._look(ref, link=link)
            case GetPod(ref) | GetTemplate(ref) | GetLease(ref):
                return await self.call("GET", path(ref))
            case AccessReview():
                return await self._ask_right(request)
            case ListPods(pods):
                where = collection(ObjectRef("Pod", pods.namespace, ""))
                return await read_all(self._transport, where, {"labelSelector": pods.selector}, pod_of)
            case FindPods(pods, uids):
                return await self._find_pods(pods.namespace, frozenset(uids))
            case Recall():
                return await self._watches.recall(request)
            case Create(ref, body):
                try:
                    return await self.call("POST", collection(ref), {"fieldManager": MANAGER} | _BOUNDED, body)
                except ApiError as error:
                    raise error.withholding(private_texts(body)) from None
            case AskNode():
                async with self._asking:
                    return await self._ask_node(request)
            case Patch():
                return await self._patch(request)
            case Suspend():
                return await suspend(self._transport, request)
            case Lighten():
                return await self._lightener.lighten(request)
            case Delete(ref, uid, grace_seconds):
                options: JsonObject = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
                if request.resource_version is not None:
                    options["preconditions"]["resourceVersion"] = request.resource_version
                if grace_seconds is not None:
                    options["gracePeriodSeconds"] = grace_seconds
                return await self.call("DELETE", path(ref), _BOUNDED, options)

    async def send_all(self, requests: Sequence[Request]) -> list[JsonObject | ApiError]:
        """Carry out requests side by side, and return each answer or error in their order."""
        at_once = asyncio.Semaphore(MAX_AT_ONCE)

        async def one(request: Request) -> JsonObject | ApiError:
            async with at_once:
                try:
                    return await self.send(request)
                except ApiError as error:
                    return error

        return await asyncio.gather(*map(one, requests))

    async def get_task(self, namespace: str, name: str) -> JsonObject:
        """Return a task as it is now."""
        return await self.get_own(task_ref(namespace, name))

    async def list_children(self, namespace: str, name: str) -> AsyncIterator[JsonObject]:
        """Yield the tasks whose parentRef has this name, as they are now."""
        where = collection(task_ref(namespace, ""))
        query = {"fieldSelector": f"spec.parentRef.name={name}"}
        try:
            async for child in self._children(where, query, name):
                yield child
        except ApiError as error:
            if error.code != 400:
                raise
            # Before Kubernetes 1.31 no field of ours can be selected.
            async for child in self._children(where, {}, name):
                yield child

    async def _children(self, where: str, query: Mapping[str, str], name: str) -> AsyncIterator[JsonObject]:
        async for page in pages(self._transport, where, query):
            for item in page.all_items():
                if ((item.get("spec") or {}).get("parentRef") or {}).get("name") == name:
                    yield item

    async def _look(self, ref: ObjectRef, *, link: bool = False) -> JsonObject:
        if is_node(ref):
            return await self.call("GET", path(ref))
        place = await self._discovery.place(ref)
        if not link:
            check_scalable(ref, place)
        where = f"{place.collection(ref.namespace)}/{ref.name}"
        try:
            found = await self.call("GET", where)
            if by_scale(ref) and not link:
                found["scale"] = await self.call("GET", f"{where}/scale")
        except ApiError as error:
            if error.code == 404 and not error.absent:
                self._discovery.forget(ref)
            raise
        return found

    async def _ask_right(self, request: AccessReview) -> JsonObject:
        """Ask whether we may change such objects; the answer's `spec` says what was asked."""
        place = await self._discovery.place(request.ref)
        review = access_reviews.self_review(
            Patch.verb,
            place.plural,
            group=request.ref.api_version.rpartition("/")[0],
            namespace=request.ref.namespace,
            subresource="scale" if request.scale else "",
        )
        return await self.call("POST", access_reviews.PATH, {}, review)

    async def _ask_node(self, request: AskNode) -> JsonObject:
        """Make a PodControl, or change the state of the one that is there; return it as it is then."""
        query = {"fieldManager": MANAGER} | _BOUNDED
        uid = request.uid
        if uid is None:
            try:
                return await self.call("POST", collection(request.ref), query, request.body)
            except ApiError as error:
                if error.code != 409:
                    raise
            found = await self.call("GET", path(request.ref))
            if found["spec"]["state"] in {request.state, KILLED}:
                return found
            uid = found["metadata"]["uid"]
        change = {"metadata": {"uid": uid}, "spec": {"state": request.state}}
        return await self._transport.call("PATCH", path(request.ref), query, change, _MERGE)

    async def _patch(self, request: Patch) -> JsonObject:
        """Carry out a change, if the object still has this UID: another one makes the API server answer 409."""
        ref = request.ref
        metadata = {**request.body.get("metadata", {}), "uid": request.uid}
        if request.resource_version is not None:
            metadata["resourceVersion"] = request.resource_version
        place = await self._discovery.place(ref)
        where = f"{place.collection(ref.namespace)}/{ref.name}{'/scale' if request.scale else ''}"
        query = {"fieldManager": _MANAGERS[request.meaning]} | _BOUNDED
        merge = _STRATEGIC_MERGE if place.strategic else _MERGE
        answer = await self._transport.call("PATCH", where, query, {**request.body, "metadata": metadata}, merge)
        # The answer of a subresource is not the object: that is looked at, after the change has taken place.
        return await self._look(ref) if request.scale else answer

    async def lighten_task(self, namespace: str, name: str, uid: str, keep: Collection[str] = ()) -> JsonObject:
        """Take the bulk off a task, but the labels to keep, if it still has this UID; return it as it is then."""
        return await self._lightener.lighten_task(namespace, name, uid, keep, MANAGER)

    async def _find_pods(self, namespace: str, uids: frozenset[str]) -> JsonObject:
        """Return the pods of a namespace with these UIDs, whatever else they are."""
        found: JsonObject = {"items": []}
        async for page in pages(self._transport, collection(ObjectRef("Pod", namespace, "")), {}):
            found["items"] += [pod_of(each) for each in page.all_items() if each["metadata"].get("uid") in uids]
        return found

    def pages(self, kind: str, namespace: str, selector: str) -> AsyncIterator[Page]:
        """Yield lists that together are all tasks, orders or pods of a namespace (empty: of all), with these labels."""
        return pages(self._transport, all_of(kind, namespace), by_label(selector))

    async def objects(self, place: APIResource, namespace: str = "") -> AsyncIterator[JsonObject]:
        """Yield all objects at a place, in one namespace or (empty) in all."""
        async for page in pages(self._transport, place.collection(namespace), {}):
            for item in page.items():
                yield item

    async def get_own(self, ref: ObjectRef) -> JsonObject:
        """Return a task or an order as it is now."""
        return await self.call("GET", own_path(ref))

    async def write_status(self, own: JsonObject) -> JsonObject:
        """Write the status of a task or an order, if it still is at the resource version given with it."""
        metadata = own["metadata"]
        where = own_path(ObjectRef(own["kind"], metadata.get("namespace", ""), metadata["name"], API_VERSION))
        return await self.call("PUT", f"{where}/status", {"fieldManager": MANAGER}, own)

    async def patch_own(self, ref: ObjectRef, body: Mapping[str, Any]) -> JsonObject:
        """Merge into a task or an order; a resource version in the body makes it conditional."""
        return await self._transport.call("PATCH", own_path(ref), {"fieldManager": MANAGER}, body, _MERGE)

    async def delete_own(self, ref: ObjectRef, uid: str, resource_version: str) -> None:
        """Delete a task or an order, if it still is what it was."""
        options = {
            "preconditions": {"uid": uid, "resourceVersion": resource_version},
            "propagationPolicy": "Background",
        }
        await self.call("DELETE", own_path(ref), {}, options)

    async def list_metadata(self, kind: str, namespace: str, selector: str = "") -> list[JsonObject]:
        """Return namespace, name and resource version of all tasks or pods."""
        found: list[JsonObject] = []
        async for page in pages(self._transport, all_of(kind, namespace), by_label(selector), _METADATA_ONLY):
            for item in page.items():
                metadata = item.get("metadata")
                if isinstance(metadata, dict) and all(isinstance(metadata.get(each), str) for each in _IDENTITY):
                    found.append({each: metadata[each] for each in _IDENTITY})
        return found

    async def post_event(self, namespace: str, body: Mapping[str, Any]) -> None:
        """Create an Event."""
        await self.call("POST", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", {}, body)

    async def patch_event(self, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """Merge into an Event."""
        where = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events/{name}"
        await self._transport.call("PATCH", where, {}, body, _MERGE)

    def watch(self, target: WatchTarget) -> AsyncIterator[tuple[str, JsonObject]]:
        """Follow one object, or the pods of a workload, as `Watches.watch` does."""
        return self._watches.watch(target)

    def events(
        self, kind: str, namespace: str, selector: str, version: str, accepted: Callable[[], None]
    ) -> AsyncIterator[tuple[str, JsonObject]]:
        """Follow tasks, orders or pods, as `Watches.events` does."""
        return self._watches.events(kind, namespace, selector, version, accepted)

    async def get_one(self, kind: str, name: NamespacedName) -> JsonObject:
        """Return a task, order or pod as it is now."""
        return await self.call("GET", f"{all_of(kind, name.namespace)}/{name.name}")

    async def call(
        self,
        method: str,
        where: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
    ) -> JsonObject:
        """Make one request and return the object that the API server answers with, within so many seconds."""
        return await self._transport.call(method, where, query, body, timeout=timeout)
