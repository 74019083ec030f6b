"""The lines of one watch on their way to the operator, and what may be done to one of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from tests.faults.points import Fault
from tests.faults.traffic import Traffic
from tests.faults.views import Collection
from tests.support.kube import Object

LATE_SECONDS: Final = 1.5
"""How long an event is withheld at most where no other one of its object follows, and how long a watch lags."""

GONE: Final = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": "too old resource version",
    "reason": "Expired",
    "code": 410,
}


def line(kind: str, item: Any) -> bytes:
    """Return an event as a watch brings it."""
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


def namespace_of(resource: str, item: Object) -> str:
    """Return whose event this is; a namespace is its own."""
    metadata = item.get("metadata") or {}
    return str(metadata.get("name" if resource == "namespaces" else "namespace") or "")


async def read(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield lines, however long they are."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for each in lines:
            if each:
                yield each


Passed = Callable[[str, Object], None]


@dataclass(frozen=True)
class Held:
    """An event that is withheld."""

    kind: str
    item: Object
    fault: Fault
    """Why: DROPPED ones are not brought at all."""
    until: float
    """When it is brought late, or the watch ends for its sake; by the loop's clock."""


class Breaker:
    """Passes the events of one watch on, but for those that are to be broken."""

    def __init__(
        self,
        resource: str,
        watch: Collection,
        traffic_of: Callable[[str], Traffic | None],
        send: Any,
        stale: Callable[[Fault], None],
    ) -> None:
        """`send` is a coroutine function that takes bytes.

        `stale` is called where an operator is to start, or to take over, without having been brought an event.
        """
        self._resource = resource
        self._watch = watch
        self._traffic_of = traffic_of
        self._send = send
        self._stale = stale
        self._held: dict[str, Held] = {}
        """By UID."""

    async def run(self, lines: AsyncIterator[bytes], passed: Passed) -> None:
        """Pass all lines on; `passed` is told of each event that went out. Returns where the watch is to end."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()

        async def fill() -> None:
            try:
                async for each in lines:
                    queue.put_nowait(each)
            finally:
                queue.put_nowait(None)

        filling = asyncio.create_task(fill())
        try:
            while await self._next(queue, passed):
                pass
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)

    async def _next(self, queue: asyncio.Queue[bytes | None], passed: Passed) -> bool:
        """Take the next line, or what has been withheld for long enough; return whether the watch goes on."""
        now = asyncio.get_running_loop().time()
        first = min(self._held.values(), key=lambda each: each.until, default=None)
        try:
            left = first.until - now if first is not None else None
            found = await asyncio.wait_for(queue.get(), left)
        except TimeoutError:
            assert first is not None
            return await self._release(first, passed)
        if found is None:
            for each in list(self._held.values()):
                if not await self._release(each, passed):
                    break
            return False
        event = json.loads(found)
        return await self._take(event["type"], event["object"], passed)

    async def _take(self, kind: str, item: Object, passed: Passed) -> bool:
        """Pass an event on, or not; return whether the watch goes on."""
        traffic = self._traffic_of(namespace_of(self._resource, item))
        if kind in {"BOOKMARK", "ERROR"} or traffic is None:
            if kind == "BOOKMARK" and self._held:
                return True  # who goes on from there would never hear of what is withheld
            return await self._pass_on(kind, item, passed)
        held = self._held.pop(item["metadata"]["uid"], None)
        if held is not None and held.fault is Fault.LATE:
            await self._pass_on(held.kind, held.item, passed)
        if held is not None and held.fault is Fault.MERGED and held.kind == "ADDED":
            if kind == "DELETED":
                return True
            kind = held.kind
        fault = traffic.event(self._resource, self._watch, kind, item)
        match fault:
            case Fault.DROPPED | Fault.MERGED | Fault.LATE:
                until = asyncio.get_running_loop().time() + LATE_SECONDS
                self._held[item["metadata"]["uid"]] = Held(kind, item, fault, until)
                return True
            case Fault.LAGGING:
                await asyncio.sleep(LATE_SECONDS)
            case Fault.GONE:
                await self._send(line("ERROR", GONE))
                return False
            case Fault.STALE:
                self._stale(fault)
                return False
            case Fault.LEADER_STALE:
                self._stale(fault)
            case Fault.REPEATED:
                await self._pass_on(kind, item, passed)
        return await self._pass_on(kind, item, passed)

    async def _release(self, held: Held, passed: Passed) -> bool:
        """Bring what is withheld, or say that something is missing; return whether the watch goes on."""
        del self._held[held.item["metadata"]["uid"]]
        if held.fault is Fault.DROPPED:
            await self._send(line("ERROR", GONE))
            return False
        return await self._pass_on(held.kind, held.item, passed)

    async def _pass_on(self, kind: str, item: Object, passed: Passed) -> bool:
        await self._send(line(kind, item))
        passed(kind, item)
        return True
