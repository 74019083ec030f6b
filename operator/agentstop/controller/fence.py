"""Keeps the Fence: the object by which an admission policy knows whose tokens may write nothing any more.

It is written beside the stops, in batches: no stop waits for it. What it says follows from the tasks, so that an
operator that starts has it complete once each of them was decided on.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Set
from contextlib import suppress
from typing import Any, Final

from agentstop.api.fence import FENCE_KIND, MAX_FENCED
from agentstop.api.meta import API_VERSION
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.resources import own_path
from agentstop.timings import TIMINGS, Timings
from agentstop.workloads.objects import ObjectRef

log = logging.getLogger(__name__)

NOTHING: Final[Set[str]] = frozenset()

LINGER_SECONDS: Final = 15.0
"""How long a pod stays fenced when it is gone: the API server remembers for 10 seconds that a token was good.

Source: TokenSuccessCacheTTL in https://github.com/kubernetes/kubernetes/blob/v1.36.2/pkg/kubeapiserver/options/authentication.go
"""


class FenceKeeper:
    """Writes down which pods are fenced. `leads` is whether this process may act."""

    def __init__(self, gateway: Gateway, name: str, leads: Callable[[], bool], timings: Timings = TIMINGS) -> None:
        self._gateway = gateway
        self._ref = ObjectRef(FENCE_KIND, "", name, API_VERSION)
        self._leads = leads
        self._timings = timings
        self._uids: dict[TaskKey, Set[str]] = {}
        self._wanted: dict[str, str] = {}
        """By UID: whose pod it is. The oldest come first."""
        self._written: dict[str, str] | None = None
        """What the object says; None where that has to be read first."""
        self._leaving: dict[str, float] = {}
        """By UID of a pod that is to be fenced no more: when it leaves, by the loop's clock."""
        self._gone: set[str] = set()
        """UIDs of those that have left."""
        self._noted: set[TaskKey] = set()
        """Tasks of which it is known what is to be fenced, since this process acts."""
        self._changed = asyncio.Event()
        self._complete = False
        self._full = False
        self._told = ""

    def note(self, key: TaskKey, uids: Set[str] | None) -> None:
        """Have these pods of a task fenced, and no others of it; None where that is not known. Nothing here waits."""
        if uids is None:
            return
        self._noted.add(key)
        before = self._uids.get(key, NOTHING)
        if uids == before:
            return
        if uids:
            self._uids[key] = uids
        else:
            self._uids.pop(key, None)
        now = asyncio.get_running_loop().time()
        self._leaving |= dict.fromkeys(before - uids, now + LINGER_SECONDS)
        for uid in uids:
            self._leaving.pop(uid, None)
        self._gone -= uids
        self._wanted |= dict.fromkeys(sorted(uids - before), f"{key.namespace}/{key.name}")
        self._changed.set()

    def forget(self, key: TaskKey) -> None:
        """Have nothing of a task fenced any more: its object is gone."""
        self.note(key, NOTHING)
        self._noted.discard(key)

    def look_again(self, tasks: Iterable[TaskKey]) -> None:
        """Have the object read anew, since somebody may have changed it.

        Once of all `tasks` is known what is to be fenced, what is fenced besides has gone while nobody looked.
        """
        self._complete = self._noted.issuperset(tasks)
        self._written = None
        self._changed.set()

    def begin(self) -> None:
        """Begin to act: another replica may have kept the object until now, and knew more."""
        self._noted.clear()
        self._complete, self._written = False, None
        self._changed.set()

    async def run(self) -> None:
        """Write what has changed, for as long as the operator runs."""
        while True:
            await self._wait()
            pause = self._timings.fence_rest_seconds
            if self._leads():
                try:
                    await self._write()
                except ApiError as error:
                    self._tell(error)
                    self._written = None
                    self._changed.set()
                    pause = self._timings.fence_retry_seconds
            await asyncio.sleep(pause)

    def _tell(self, error: ApiError) -> None:
        """Say that the object could not be written, once for as long as the reason is the same."""
        if str(error) != self._told:
            log.warning("Fence %s is not up to date, and is written again: %s", self._ref.name, error)
        self._told = str(error)

    async def _wait(self) -> None:
        """Wait until there is something to be written."""
        first = min(self._leaving.values(), default=None)
        left = None if first is None else max(0.0, first - asyncio.get_running_loop().time())
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), left)
        self._changed.clear()
        now = asyncio.get_running_loop().time()
        for uid in [uid for uid, due in self._leaving.items() if due <= now]:
            del self._leaving[uid]
            self._wanted.pop(uid, None)
            self._gone.add(uid)

    async def _write(self) -> None:
        if self._written is None:
            self._written = await self._read()
        changes = self._changes(self._written)
        if changes:
            body = {"spec": {"pods": changes}}
            self._written = _pods_of(await self._gateway.patch_own(self._ref, body))
        self._gone &= self._written.keys()
        self._told = ""

    def _changes(self, written: dict[str, str]) -> dict[str, str | None]:
        """Return what has to be merged into the object."""
        wanted = self._wanted
        if len(wanted) > MAX_FENCED:
            wanted = dict(list(wanted.items())[-MAX_FENCED:])
            if not self._full:
                log.error("more than %d pods are to be fenced; those stopped longest ago are not", MAX_FENCED)
        self._full = len(self._wanted) > MAX_FENCED
        left = written.keys() - wanted.keys()
        gone = left if self._complete or self._full else left & self._gone
        return dict.fromkeys(gone) | {uid: task for uid, task in wanted.items() if written.get(uid) != task}

    async def _read(self) -> dict[str, str]:
        try:
            return _pods_of(await self._gateway.get_own(self._ref))
        except ApiError as error:
            if not error.absent:
                raise
        body = {"apiVersion": API_VERSION, "kind": FENCE_KIND, "metadata": {"name": self._ref.name}}
        where = own_path(self._ref).rpartition("/")[0]
        return _pods_of(await self._gateway.call("POST", where, {}, body))


def _pods_of(fence: dict[str, Any]) -> dict[str, str]:
    return dict((fence.get("spec") or {}).get("pods") or {})
