"""Every state that the objects of a kind went through in a namespace, as a watch told them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import aiohttp

from tests.support.kube import Kind, Kube, KubeError, Object
from tests.support.waiting import PATIENCE

T = TypeVar("T")

DELETED = "DELETED"
AGAIN_SECONDS = 0.2


@dataclass(frozen=True)
class State:
    """One state of an object."""

    kind: str
    """Type of the watch event: ADDED, MODIFIED or DELETED."""
    object: Object


class History:
    """Follows one kind of object in one namespace from the moment of `start` on."""

    def __init__(self, kube: Kube, kind: Kind, namespace: str) -> None:
        self._kube = kube
        self._kind = kind
        self._namespace = namespace
        self._states: dict[str, list[State]] = {}
        self._changed = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow; returns once the first list is taken in."""
        version = await self._list()
        self._watching = asyncio.create_task(self._follow(version))

    async def stop(self) -> None:
        """Stop following; what was seen stays."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def names(self) -> list[str]:
        """Return the names of all objects that ever were."""
        return list(self._states)

    def of(self, name: str) -> list[Object]:
        """Return all states of an object, its last one before a deletion included."""
        return [state.object for state in self._states.get(name, ())]

    def gone(self, name: str) -> bool:
        """Whether the object was there and was deleted."""
        states = self._states.get(name)
        return bool(states) and states is not None and states[-1].kind == DELETED

    async def until(
        self,
        name: str,
        wanted: Callable[[Object], bool],
        seconds: float = PATIENCE,
        *,
        what: str = "as wanted",
        of: str | None = None,
    ) -> Object:
        """Wait for a state of an object, of the one with the UID `of` if that is given, and return it.

        Past states count. Raises AssertionError with the last one.
        """

        def found() -> Object | None:
            states = (each for each in self.of(name) if of is None or each["metadata"]["uid"] == of)
            return next((each for each in states if wanted(each)), None)

        return await self._until(found, seconds, lambda: f"{name} never was {what}; last: {self.of(name)[-1:]}")

    async def until_gone(self, name: str, seconds: float = PATIENCE, *, of: str | None = None) -> Object:
        """Wait until an object, the one with the UID `of` if that is given, is deleted; return its last state."""

        def found() -> Object | None:
            if of is None:
                return self.of(name)[-1] if self.gone(name) else None
            # Another object may have its name by now.
            ends = (state.object for state in self._states.get(name, ()) if state.kind == DELETED)
            return next((each for each in ends if each["metadata"]["uid"] == of), None)

        return await self._until(found, seconds, lambda: f"{name} is still there: {self.of(name)[-1:]}")

    async def _until(self, found: Callable[[], T | None], seconds: float, problem: Callable[[], str]) -> T:
        try:
            async with asyncio.timeout(seconds):
                while True:
                    value = found()
                    if value is not None:
                        return value
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"after {seconds} s: {problem()}") from None

    def _put(self, kind: str, item: Object) -> None:
        self._states.setdefault(item["metadata"]["name"], []).append(State(kind, item))
        self._changed.set()

    async def _list(self) -> str:
        answer = await self._kube.call("GET", self._kind.path(self._namespace))
        items = {item["metadata"]["name"]: item for item in answer.get("items") or ()}
        for name, item in items.items():
            known = self.of(name)
            if not known or known[-1]["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
                self._put("ADDED", item)
        for name in self.names():
            if name not in items and not self.gone(name):
                self._put(DELETED, self.of(name)[-1])
        return str(answer["metadata"]["resourceVersion"])

    async def _follow(self, version: str) -> None:
        while True:
            try:
                async for kind, item in self._kube.watch(self._kind, self._namespace, version):
                    if kind == "ERROR":
                        break
                    version = item["metadata"]["resourceVersion"]
                    if kind != "BOOKMARK":
                        self._put(kind, item)
                version = await self._list()
            except (KubeError, aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(AGAIN_SECONDS)
