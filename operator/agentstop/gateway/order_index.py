"""All stop orders, of both kinds. Watched with the gateway's own rights, for whoever waits for what becomes of them."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.large_objects import NamespacedName
from agentstop.gateway.sight import Sight, Watched

log = logging.getLogger(__name__)

OrderChanged = Callable[[JsonObject | None, JsonObject | None], None]
"""Is told of an order as it was and as it is: None where there was none, or is none any more."""


class OrderIndex:
    """The orders that there are, by their UIDs. Told by reflectors; nothing here waits for the API server.

    Lists and streams of orders are told from it, to whoever may list them. One order that somebody asks for is read as
    that caller, and this only wakes whoever waits for it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        self._orders: dict[str, JsonObject] = {}
        self._listeners: list[OrderChanged] = []
        self._sight = Sight(clock)

    def get(self, uid: str) -> JsonObject | None:
        """Return the order with this UID."""
        return self._orders.get(uid)

    def all(self) -> tuple[JsonObject, ...]:
        """Return all orders as they are now: whoever goes through them may wait meanwhile."""
        return tuple(self._orders.values())

    def expect(self, watches: Iterable[Watched]) -> None:
        """Count from now on, for these watches: whether there are orders is not known before they have listed them."""
        self._sight.expect(watches)

    @property
    def problem(self) -> str | None:
        """Why what is known may be old, if so."""
        return self._sight.problem

    async def until(self, uid: str, wanted: Callable[[JsonObject], bool], seconds: float) -> None:
        """Wait until an order is as wanted, for so many seconds at most."""
        loop = asyncio.get_running_loop()
        deadline, woken = loop.time() + seconds, asyncio.Event()

        def told(before: JsonObject | None, after: JsonObject | None) -> None:
            if uid_of(after or before or {}) == uid:
                woken.set()

        end = self.listen(told)
        try:
            while (left := deadline - loop.time()) > 0:
                order = self._orders.get(uid)
                if order is not None and wanted(order):
                    return
                try:
                    await asyncio.wait_for(woken.wait(), left)
                except TimeoutError:
                    return
                woken.clear()
        finally:
            end()

    def listen(self, listener: OrderChanged) -> Callable[[], None]:
        """Have somebody told of each change from now on; return what ends that. A listener must not wait."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # What is told by reflectors

    def changed(self, kind: str, event: str | None, raw: JsonObject) -> None:
        """Take in an order that was listed, or an event of a watch."""
        if event == "DELETED":
            self._remove(uid_of(raw))
            return
        metadata = {key: value for key, value in raw["metadata"].items() if key != "managedFields"}
        order = {**raw, "kind": kind, "metadata": metadata}
        before = self._orders.get(uid_of(order))
        self._orders[uid_of(order)] = order
        self._tell(before, order)

    def missing(self, _kind: str, _name: NamespacedName, uid: str) -> None:
        """Take in that an order is there no more."""
        self._remove(uid)

    def heard(self, kind: str, namespace: str) -> None:
        """Take in that a watch is alive."""
        self._sight.heard(kind, namespace)

    def failed(self, kind: str, namespace: str, problem: str) -> None:
        """Take in why a watch is not."""
        self._sight.failed(kind, namespace, problem)

    def skipped(self, kind: str, number: int = 1) -> None:
        """Take in that orders could not be read."""
        log.error("%d of kind %s cannot be read", number, kind)

    def _remove(self, uid: str) -> None:
        before = self._orders.pop(uid, None)
        if before is not None:
            self._tell(before, None)

    def _tell(self, before: JsonObject | None, after: JsonObject | None) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(before, after)
            except Exception:
                log.exception("a listener stumbled over an order")


def uid_of(raw: JsonObject) -> str:
    """Return the UID of an object; empty where it is none."""
    uid = (raw.get("metadata") or {}).get("uid")
    return uid if isinstance(uid, str) else ""
