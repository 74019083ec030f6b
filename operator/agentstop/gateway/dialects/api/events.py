"""Changes of tasks and orders, as they happen.

Without Last-Event-ID, a stream begins with all that there is; with one, with what has changed since. An event is sent
at least once: each says how something is now, and none how it came to be so.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from aiohttp import web

from agentstop.api.meta import Model
from agentstop.api.order import CLUSTER_ORDER_KIND
from agentstop.api.task import KIND, PLURAL
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.large_objects import NamespacedName
from agentstop.cluster.resources import ORDERS
from agentstop.gateway.changes import Changes, Gone, Since, version_of
from agentstop.gateway.dialect import Call
from agentstop.gateway.dialects.api import requests
from agentstop.gateway.dialects.api.operation import Operation
from agentstop.gateway.dialects.api.records import order_of, task_of
from agentstop.gateway.dialects.api.requests import EventQuery
from agentstop.gateway.entry import Entry
from agentstop.gateway.errors import TooManyRequestsError, UnavailableError
from agentstop.gateway.filters import keep_by
from agentstop.gateway.order_index import uid_of
from agentstop.gateway.streams import BEAT_SECONDS, EventStream

LOOK_SECONDS: Final = 1.0
"""How often a quiet stream looks whether what it shows is old by now."""

SHARE: Final = 200
"""So many events are sent between two looks at whether they may be seen."""


class Removed(Model):
    """Something that is gone, or does not match any more."""

    kind: str
    """AgentTask, StopOrder or ClusterStopOrder."""
    id: str
    """Its UID."""
    namespace: str | None = None
    """Its namespace."""
    name: str
    """Its name."""


class Stale(Model):
    """What is shown may be old."""

    problem: str
    """Why."""


class _Event(NamedTuple):
    kind: str
    """Of the object."""
    namespace: str
    word: str
    """Type of the event."""
    data: str


class _Subscription:
    """What one client has not been sent yet: each object once, however often it has changed."""

    def __init__(self, changes: Changes, namespace: str | None, keep: Callable[[Entry], bool]) -> None:
        self._changes = changes
        self._namespace = namespace
        self._keep = keep
        self._pending: dict[str, Gone | None] = {}
        self._woken = asyncio.Event()
        self._ends = (changes.tasks.listen(self._task_changed), changes.orders.listen(self._order_changed))

    def end(self) -> None:
        """Hear of nothing any more."""
        for end in self._ends:
            end()

    def begin(self, since: Since | None) -> None:
        """Put in what there is, or what has changed since a mark."""
        for entry in self._changes.tasks.all():
            if since is None or since.newer(KIND, entry.namespace, entry.version):
                # One that does not match may have matched before.
                self._put_task(entry, matched=since is not None)
        for order in self._changes.orders.all():
            namespace = order["metadata"].get("namespace", "")
            if since is None or since.newer(order["kind"], namespace, version_of(order)):
                self._order_changed(None, order)
        for gone in since.gone() if since is not None else ():
            if self._here(gone.key.namespace):
                self._put(gone.uid, gone)

    def again(self, kind: str, namespace: str) -> None:
        """Put in all of one kind in a namespace: they were not for the client to see, and are now."""
        if kind == KIND:
            for entry in self._changes.tasks.all():
                if entry.namespace == namespace:
                    self._put_task(entry, matched=False)
            return
        for order in self._changes.orders.all():
            if order["kind"] == kind and order["metadata"].get("namespace", "") == namespace:
                self._order_changed(None, order)

    def take(self) -> list[tuple[str, Gone | None]]:
        """Return some of what is to be sent: UIDs, with what is gone."""
        self._woken.clear()
        found = [(uid, self._pending.pop(uid)) for uid in list(self._pending)[:SHARE]]
        if self._pending:
            self._woken.set()
        return found

    @property
    def empty(self) -> bool:
        """Whether there is nothing to be sent."""
        return not self._pending

    async def wait(self, seconds: float) -> None:
        """Wait until there is something to be sent, for so many seconds at most."""
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except TimeoutError:
            return

    def _here(self, namespace: str) -> bool:
        return not namespace or self._namespace in {None, namespace}

    def _task_changed(self, before: Entry | None, after: Entry | None) -> None:
        matched = before is not None and self._keep(before)
        if after is not None:
            self._put_task(after, matched=matched)
        elif before is not None and matched and self._here(before.namespace):
            self._put(before.uid, Gone(KIND, before.uid, before.key, before.version))

    def _put_task(self, entry: Entry, *, matched: bool) -> None:
        if not self._here(entry.namespace):
            return
        if self._keep(entry):
            self._put(entry.uid, None)
        elif matched:
            self._put(entry.uid, Gone(KIND, entry.uid, entry.key, entry.version))

    def _order_changed(self, before: JsonObject | None, after: JsonObject | None) -> None:
        order = after or before or {}
        metadata = order["metadata"]
        namespace = metadata.get("namespace", "")
        if self._here(namespace):
            gone = Gone(order["kind"], uid_of(order), NamespacedName(namespace, metadata["name"]), version_of(order))
            self._put(gone.uid, None if after is not None else gone)

    def _put(self, uid: str, gone: Gone | None) -> None:
        self._pending.pop(uid, None)
        self._pending[uid] = gone
        self._woken.set()


async def follow(call: Call) -> web.StreamResponse:
    """GET /events."""
    wanted = requests.query(call, EventQuery)
    keep = keep_by(wanted.agent, requests.selector(wanted.label_selector))
    # What is known must be new, and a namespace that is named must be the caller's to list.
    await call.tasks.list_visible(lambda _: False, namespace=wanted.namespace or "")
    if call.request.method == "HEAD":
        return web.Response(content_type="text/event-stream")
    changes = call.core.changes
    last = call.request.headers.get("Last-Event-ID", "").strip()
    since = changes.since(last) if last else None
    subscription = _Subscription(changes, wanted.namespace, keep)
    try:
        subscription.begin(since)
        async with call.core.streams.open(call.request) as stream:
            if last and since is None:
                await stream.send("{}", kind="reset")
            await _Following(call, stream, subscription).run()
        return stream.response
    finally:
        subscription.end()


class _Following:
    """One stream under way."""

    def __init__(self, call: Call, stream: EventStream, subscription: _Subscription) -> None:
        self._call = call
        self._changes = call.core.changes
        self._stream = stream
        self._subscription = subscription
        self._sent = ""
        """The mark that the client has."""
        self._problem: str | None = None
        self._synced = False
        self._unseen: set[tuple[str, str]] = set()
        """Kinds and namespaces that the caller may not see."""

    async def run(self) -> None:
        """Send until the client leaves or the gateway ends. Raises GatewayError where the caller is nobody any more."""
        loop = asyncio.get_running_loop()
        spoken = looked = loop.time()
        while not self._call.core.index.closing.is_set():
            # A key that was taken out of the file counts no more, on an open stream either.
            self._call.identify()
            if loop.time() - looked >= BEAT_SECONDS:
                await self._look_again()
                looked = loop.time()
            if await self._say_how_new() or await self._send_some():
                spoken = loop.time()
            elif loop.time() - spoken >= BEAT_SECONDS:
                await self._beat()
                spoken = loop.time()
            if self._subscription.empty:
                await self._subscription.wait(LOOK_SECONDS)

    async def _say_how_new(self) -> bool:
        """Say so where what was sent may be old, and again when it is not."""
        problem = self._call.core.index.problem or self._changes.orders.problem
        if (problem is None) is (self._problem is None):
            return False
        self._problem = problem
        if problem is not None:
            await self._stream.send(_text(Stale(problem=problem)), kind="stale")
        else:
            await self._stream.send("{}", kind="fresh")
        return True

    async def _send_some(self) -> bool:
        """Send a share of what there is; its last event has the mark, once all of it is sent."""
        batch = self._subscription.take()
        mark = self._changes.mark() if self._subscription.empty else None
        events = [each for uid, gone in batch if (each := self._event(uid, gone)) and await self._may_see(each)]
        if not self._synced and mark is not None:
            self._synced = True
            events.append(_Event("", "", "synced", "{}"))
        for number, each in enumerate(events, 1):
            last = number == len(events)
            await self._stream.send(each.data, kind=each.word, event_id=mark if last else None)
            if last and mark is not None:
                self._sent = mark
        return bool(events)

    async def _beat(self) -> None:
        mark = self._changes.mark() if self._subscription.empty else self._sent
        await self._stream.beat(mark if mark != self._sent else None)
        self._sent = mark

    async def _look_again(self) -> None:
        """Send what the caller was given the right to see meanwhile."""
        with suppress(UnavailableError, TooManyRequestsError):
            for kind, namespace in list(self._unseen):
                if await self._may_list(kind, namespace):
                    self._unseen.discard((kind, namespace))
                    self._subscription.again(kind, namespace)

    async def _may_see(self, event: _Event) -> bool:
        if not event.kind or await self._may_list(event.kind, event.namespace):
            return True
        self._unseen.add((event.kind, event.namespace))
        return False

    async def _may_list(self, kind: str, namespace: str) -> bool:
        resource = PLURAL if kind == KIND else ORDERS[kind].plural
        return await self._call.core.access.may(self._call.caller, "list", namespace, resource)

    def _event(self, uid: str, gone: Gone | None) -> _Event | None:
        if gone is not None:
            removed = Removed(kind=gone.kind, id=gone.uid, namespace=gone.key.namespace or None, name=gone.key.name)
            return _Event(gone.kind, gone.key.namespace, "removed", _text(removed))
        entry = self._changes.tasks.get(uid)
        if entry is not None:
            return _Event(KIND, entry.namespace, "task", _text(task_of(entry, self._call.tasks)))
        order = self._changes.orders.get(uid)
        if order is None:
            return None
        kind = order["kind"]
        word = "clusterstoporder" if kind == CLUSTER_ORDER_KIND else "stoporder"
        return _Event(kind, order["metadata"].get("namespace", ""), word, _text(order_of(order, kind)))


def _text(model: Model) -> str:
    return json.dumps(model.wire())


OPERATIONS: Final = (
    Operation(
        name="followEvents",
        summary="Follow changes of tasks and orders as server-sent events, from now or from Last-Event-ID on.",
        method="GET",
        path="/events",
        handler=follow,
        query=EventQuery,
        answers={200: None},
    ),
)
