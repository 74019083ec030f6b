"""Watches of single objects and of the pods of workloads: those that no label of ours leads to."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.watching import ABSENT, LISTED
from agentstop.timings import TIMINGS, Timings
from agentstop.workloads.objects import ObjectRef, PodsOf, WatchTarget
from agentstop.workloads.requests import Get, ListPods

log = logging.getLogger(__name__)

MAX_WATCHES: Final = 1000
LOOKS_PER_SECOND: Final = 50
"""So many are watched at once, since each watch takes a connection; of the others so many are looked at in a second."""


class ObjectWatcher:
    """Follows objects by their names: tells what it sees as (ref, event type, object), and where there is nothing."""

    def __init__(
        self,
        gateway: Gateway,
        tell: Callable[[WatchTarget, str, JsonObject], None],
        tell_absent: Callable[[ObjectRef], None],
        timings: Timings = TIMINGS,
    ) -> None:
        self._timings = timings
        self._gateway = gateway
        self._tell = tell
        self._tell_absent = tell_absent
        self._tasks: dict[WatchTarget, asyncio.Task[None]] = {}
        self._watches = 0

    def follow(self, ref: WatchTarget) -> None:
        """Begin to watch the object, if that is not being done already."""
        if ref not in self._tasks:
            self._tasks[ref] = asyncio.create_task(self._follow(ref), name=f"watch {ref}")

    def unfollow(self, ref: WatchTarget) -> None:
        """End the watch of the object."""
        task = self._tasks.pop(ref, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """End all watches."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, ref: WatchTarget) -> None:
        while True:
            pause = self._timings.watch_retry_seconds
            try:
                if self._watches < MAX_WATCHES:
                    await self._watch(ref)
                else:
                    await self._look(ref)
            except ApiError as error:
                log.debug("the watch of %s broke, and is begun anew: %s", ref, error)
                if error.code == 404:
                    pause = self._timings.watch_unserved_seconds
            except Exception:
                log.exception("the watch of %s broke, and is begun anew", ref)
            if self._watches >= MAX_WATCHES:
                pause = max(self._timings.look_seconds, (len(self._tasks) - MAX_WATCHES) / LOOKS_PER_SECOND)
            await asyncio.sleep(pause)

    async def _watch(self, ref: WatchTarget) -> None:
        self._watches += 1
        try:
            async for kind, raw in self._gateway.watch(ref):
                if kind == ABSENT and isinstance(ref, ObjectRef):
                    self._tell_absent(ref)
                else:
                    self._tell(ref, kind, raw)
        finally:
            self._watches -= 1

    async def _look(self, ref: WatchTarget) -> None:
        if isinstance(ref, PodsOf):
            self._tell(ref, LISTED, await self._gateway.send(ListPods(ref)))
            return
        try:
            raw = await self._gateway.send(Get(ref))
        except ApiError as error:
            if not error.absent:
                raise
            self._tell_absent(ref)
        else:
            self._tell(ref, "MODIFIED", raw)
