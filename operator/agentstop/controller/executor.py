"""The executor of requests: it sends them, and takes in what the API server answers."""

import logging
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import datetime
from typing import Final

from agentstop.api.pod_control import CONTROL_KIND
from agentstop.cluster import access_reviews
from agentstop.cluster.cache import Cache
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.queue import Enqueuer
from agentstop.cluster.resources import pod_of
from agentstop.controller.event_handler import priority_of
from agentstop.controller.retry import BUSY, RetryError
from agentstop.workloads.controlled.rejections import NO_SCALE, NOT_SERVED
from agentstop.workloads.lightening import TOO_LARGE
from agentstop.workloads.objects import ObjectRef, Rejection, Right
from agentstop.workloads.requests import (
    AccessReview,
    AskNode,
    Create,
    Delete,
    FindPods,
    Get,
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

log = logging.getLogger(__name__)

TIMED_OUT: Final = 504
"""The HTTP status of a request that took too long, and of which nobody knows what became."""

MAX_CREATES: Final = 4
"""So many objects are created at once."""


class Executor:
    """Carries requests out. What comes of each is in the cache afterwards, an error that says something of it, too."""

    def __init__(self, cache: Cache, gateway: Gateway, queue: Enqueuer[TaskKey], clock: Callable[[], datetime]) -> None:
        self._cache = cache
        self._gateway = gateway
        self._queue = queue
        self._clock = clock
        self._making = 0

    async def carry_out(self, requests: Sequence[Request]) -> list[ApiError]:
        """Send requests, side by side; return the errors that say nothing about the objects."""
        errors: list[ApiError] = []
        if len(requests) == 1:
            try:
                await self._send(requests[0])
            except ApiError as error:
                errors.append(error)
        elif requests:
            for request, answer in zip(requests, await self._gateway.send_all(requests), strict=True):
                try:
                    await self._take(request, answer)
                except ApiError as error:
                    errors.append(error)
        return errors

    def take_in_task(self, raw: JsonObject) -> None:
        """Take in a task, and have it decided on: its own event may come later, and bring nothing new."""
        taken = self._cache.tasks.put_answer(raw, self._clock())
        if taken is not None:
            self._queue.add(taken, priority=priority_of(self._cache.tasks.get(taken)))

    async def _send(self, request: Request) -> None:
        """Send a request, and take in what the answer says. Raises ApiError where none came."""
        try:
            making = isinstance(request, Create | GetTemplate)
            answer = await self._make(request) if making else await self._gateway.send(request)
        except ApiError as error:
            await self._take(request, error)
        else:
            await self._take(request, answer)

    async def _take(self, request: Request, answer: JsonObject | ApiError) -> None:
        """Take in what came of a request. Raises ApiError where that says nothing."""
        if isinstance(answer, ApiError):
            await self._failed(request, answer)
        else:
            self._cache.objects.allow(request.ref, request.verb)
            if isinstance(request, Lighten):
                for verb in (Patch.verb, Delete.verb):
                    self._cache.objects.allow(request.ref, verb)
            self._answered(request, answer)

    async def _failed(self, request: Request, error: ApiError) -> None:
        """Take in what an error says about the object. Raises it where it says nothing."""
        ref = request.ref
        if isinstance(request, Recall) and (error.refused or error.code == 410):
            self._answered(request, {"items": []})
        elif isinstance(request, GetTemplate):
            if not error.absent:
                raise error
            self._cache.tasks.mark_gone(TaskKey(request.ref.namespace, request.ref.name))
        elif _changes_control(request) and (error.absent or error.code == 409):
            self._drop_control(request)  # it is another one by now, or none
        elif isinstance(request, AskNode) and request.uid is not None and error.code in {0, TIMED_OUT}:
            # Nobody knows whether it was carried out: what is known of it counts for nothing, until it is read again.
            self._drop_control(request)
            raise error
        elif error.absent and isinstance(request, GetPod):
            self._cache.objects.mark_pod_deleted(request.group, request.uid, self._clock())
        elif error.absent and isinstance(request, Delete | Patch | Lighten):
            self._cache.objects.mark_deleted(request.ref, request.uid, self._clock())
        elif error.absent and isinstance(request, Get):
            self._cache.objects.see_absent(request.ref, self._clock())
        elif error.code == 409 and isinstance(request, Create | Patch | Lighten | Delete):
            # Another object has that name, or another UID or version: what is known of it is out of date.
            await self._send(Get(request.ref))
            if self._is_open(request):
                raise error
        elif isinstance(request, Create) and error.reason != BUSY and not error.refused:
            self._cache.objects.mark_stale(request.ref)  # nobody knows whether it was carried out
            raise error
        elif error.refused or error.reason in {NOT_SERVED, NO_SCALE} or _no_kind(request, error):
            if error.reason == NOT_SERVED and isinstance(ref, ObjectRef) and self._cache.objects.knows(ref):
                self._cache.objects.see_absent(ref, self._clock())  # its kind was removed, and it with it
            reason = TOO_LARGE if error.too_large else error.reason
            self._cache.objects.refuse(ref, request.verb, Rejection(error.code, reason, error.message, self._clock()))
            if error.refused:
                log.warning("%s of %s was refused: %s", request.verb, ref, error)
            if error.code == TIMED_OUT and isinstance(request, Create | Patch | Lighten | Delete):
                # It may have been carried out all the same: nothing else is to be done in its place, then.
                await self._send(Get(request.ref))
        else:
            raise error

    def _drop_control(self, request: Request) -> None:
        """Forget a PodControl of which something else may be true by now."""
        if isinstance(request, AskNode | Delete) and isinstance(request.ref, ObjectRef) and request.uid is not None:
            self._cache.controls.drop(request.ref.namespace, request.ref.name, request.uid)

    def _is_open(self, request: Create | Patch | Lighten | Delete) -> bool:
        """Whether a request that met another state than it was made for is to be made again, now that it was looked."""
        if isinstance(request, Create):
            # Who had the name has gone meanwhile, or it was a quota that others counted up in the same moment.
            return not self._cache.objects.is_there(request.ref)
        if isinstance(request, Delete) and request.resource_version is not None:
            return False  # it is decided on anew
        return self._cache.objects.is_there(request.ref, request.uid)

    def _answered(self, request: Request, answer: JsonObject) -> None:
        """Take in the object as it is after a request."""
        now = self._clock()
        match request:
            case Suspend(job=job):
                self._cache.objects.note_schedule(job, answer["schedule"])
            case AskNode():
                self._cache.controls.put(answer, now)
            case AccessReview(ref):
                self._cache.objects.note_right(ref, Right(_missing(answer), now))
            case ListPods(pods):
                self._cache.objects.list_pods(pods, answer["items"], now)
            case FindPods(pods, uids):
                found = {each.uid: each for each in answer["items"]}
                for uid in uids:
                    if uid in found:
                        self._cache.objects.find_member(pods, found[uid], now)
                    else:
                        self._cache.objects.mark_pod_deleted(pods, uid, now)
            case Recall(target, uids):
                self._cache.objects.recalled(target, uids, answer["items"], now)
            case GetPod(ref, uid, pods):
                if answer["metadata"]["uid"] == uid:
                    self._cache.objects.find_member(pods, pod_of(answer), now)
                else:
                    self._cache.objects.mark_pod_deleted(pods, uid, now)
            case GetTemplate(ref, uid):
                self.take_in_task(answer)
                if answer["metadata"]["uid"] == uid:
                    self._cache.objects.lend_template(uid, answer["spec"].get("podTemplate") or {})
            case Delete() if _changes_control(request):
                self._drop_control(request)
            case Delete(ref, uid) if "resourceVersion" not in answer.get("metadata", {}):
                # Gone: the answer is a Status, or the last state of an object that somebody else removed just now.
                self._cache.objects.mark_deleted(ref, uid, now)
            case Get(ref, link):
                self._cache.objects.see(ref, answer, now, link=link)
            case Patch(ref):
                signal = None if request.meaning is Meaning.UNTRACK else request.meaning is not Meaning.RESUME
                self._cache.objects.see(ref, answer, now, signal=signal)
            case Lighten(ref):
                self._cache.objects.see(ref, answer, now, signal=True if request.spec else None)
            case Create(ref) | Delete(ref) if answer.get("kind") == ref.kind:
                signal = True if isinstance(request, Delete) and request.ends_processes else None
                self._cache.objects.see(ref, answer, now, signal=signal)

    async def _make(self, request: Request) -> JsonObject:
        """Create an object, unless too many others are being created: what hangs there must leave workers for stops.

        The same goes for what has to be read before.
        """
        if self._making >= MAX_CREATES:
            raise ApiError(0, BUSY, f"{request.ref} is made later, as others are being made")
        self._making += 1
        try:
            return await self._gateway.send(request)
        finally:
            self._making -= 1


class Pass:
    """One pass over one object: what was sent in it, and what failed. Nothing is sent twice in a pass."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._sent: set[Hashable] = set()
        self.failures: list[ApiError] = []

    async def send_new(self, requests: Iterable[Request]) -> bool:
        """Send what was not sent before in this pass; return whether there was anything."""
        new = [request for request in requests if _identity(request) not in self._sent]
        self._sent.update(map(_identity, new))
        self.failures += await self._executor.carry_out(new)
        for request in new:
            if isinstance(request, Lighten):
                # What it was too large for before may be asked for again.
                self._sent -= {each for each in self._sent if _is_of(each, request.ref)}
        return bool(new)

    def check(self) -> None:
        """Raise RetryError if anything that was sent came to nothing."""
        if self.failures:
            raise RetryError(self.failures[0])


def _identity(request: Request) -> Hashable:
    """Return what makes a request the same as another one: the verb, the object as it is known, what is asked of it."""
    named = (getattr(request, name, None) for name in ("uid", "resource_version", "grace_seconds", "state"))
    return request.verb, request.ref, *named


def _no_kind(request: Request, error: ApiError) -> bool:
    """Whether no node can be asked for anything, since there are no PodControls."""
    return isinstance(request, AskNode) and error.code == 404


def _changes_control(request: Request) -> bool:
    """Whether a request changes or deletes a PodControl that is known."""
    if isinstance(request, Delete):
        return request.ref.kind == CONTROL_KIND
    return isinstance(request, AskNode) and request.uid is not None


def _is_of(identity: Hashable, ref: ObjectRef) -> bool:
    """Whether an identity is that of a change or deletion of an object."""
    return isinstance(identity, tuple) and identity[:2] in {(Patch.verb, ref), (Delete.verb, ref)}


def _missing(review: JsonObject) -> str | None:
    """Return what a SelfSubjectAccessReview says is not granted, if so."""
    if access_reviews.allowed(review) is not False:
        return None
    asked = review["spec"]["resourceAttributes"]
    resource = "/".join(part for part in (asked["resource"], asked.get("subresource")) if part)
    group = f" of API group {asked['group']}" if asked.get("group") else ""
    return access_reviews.not_granted(asked["verb"], f"{resource}{group}", asked["namespace"])
