"""Watches of single objects: those that no label of ours leads to."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import ABSENT, Gateway, JsonObject
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.requests import Look

log = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 0.5
"""Pause between two watches of one object."""

MOST_WATCHES: Final = 500
LOOK_SECONDS: Final = 10.0
"""So many objects are watched at once, since each watch takes a connection; the others are looked at so often."""


class Followers:
    """Follows objects by their names: tells what it sees as (ref, event type, object), and where there is nothing."""

    def __init__(
        self,
        gateway: Gateway,
        tell: Callable[[ObjectRef, str, JsonObject], None],
        tell_absent: Callable[[ObjectRef], None],
    ) -> None:
        self._gateway = gateway
        self._tell = tell
        self._tell_absent = tell_absent
        self._tasks: dict[ObjectRef, asyncio.Task[None]] = {}
        self._watches = 0

    def follow(self, ref: ObjectRef) -> None:
        """Begin to watch the object, if that is not being done already."""
        if ref not in self._tasks:
            self._tasks[ref] = asyncio.create_task(self._follow(ref), name=f"watch {ref}")

    def unfollow(self, ref: ObjectRef) -> None:
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

    async def _follow(self, ref: ObjectRef) -> None:
        while True:
            try:
                if self._watches < MOST_WATCHES:
                    await self._watch(ref)
                else:
                    await self._look(ref)
            except Exception as error:  # noqa: BLE001  (an end of this loop would be blindness that nobody notices)
                log.warning("the watch of %s broke, and is begun anew: %s", ref, error)
            await asyncio.sleep(PAUSE_SECONDS if self._watches < MOST_WATCHES else LOOK_SECONDS)

    async def _watch(self, ref: ObjectRef) -> None:
        self._watches += 1
        try:
            async for kind, raw in self._gateway.watch_one(ref):
                if kind == ABSENT:
                    self._tell_absent(ref)
                else:
                    self._tell(ref, kind, raw)
        finally:
            self._watches -= 1

    async def _look(self, ref: ObjectRef) -> None:
        try:
            raw = await self._gateway.send(Look(ref))
        except ApiError as error:
            if not error.absent:
                raise
            self._tell_absent(ref)
        else:
            self._tell(ref, "MODIFIED", raw)
