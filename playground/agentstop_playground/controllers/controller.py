"""What all controllers have in common: they listen, they queue, they reconcile."""

from abc import ABC, abstractmethod
from typing import ClassVar

from agentstop_playground.api_client import Object
from agentstop_playground.controllers.hub import Hub
from agentstop_playground.controllers.kinds import Kind
from agentstop_playground.controllers.objects import controller_of, uid
from agentstop_playground.controllers.queue import Queue


class Controller(ABC):
    """Looks after the objects of one kind. Make it before its hub is started, start it after."""

    kind: ClassVar[Kind]

    def __init__(self, hub: Hub, *children: Kind) -> None:
        self.hub = hub
        self.objects = hub.cache(self.kind)
        self.queue = Queue(f"{self.kind.name} controller", self.reconcile)
        self.objects.subscribe(self._changed)
        for child in children:
            hub.cache(child).subscribe(self.child_changed)

    async def start(self) -> None:
        """Begin to act on what the hub has seen and will see."""
        self.queue.open()

    async def stop(self) -> None:
        """Do nothing more."""
        await self.queue.close()

    @abstractmethod
    async def reconcile(self, key: str) -> float | None:
        """Bring what the object with this UID stands for closer to what it asks for.

        Returns in how many seconds to look again, if not only when something changes. Raises ApiError.
        """

    def child_changed(self, change: str, obj: Object, old: Object | None) -> None:  # noqa: ARG002
        """An object that one of ours may control has changed."""
        for item in (obj, old):
            owner = controller_of(item) if item is not None else None
            if owner is not None and owner["kind"] == self.kind.name:
                self.queue.add(owner["uid"])

    def record(self, obj: Object, reason: str, message: str, kind: str = "Normal") -> None:
        """Tell of something in an Event about one of our objects."""
        self.hub.events.record(obj, kind, reason, message, of=(self.kind.api_version, self.kind.name))

    def _changed(self, change: str, obj: Object, old: Object | None) -> None:  # noqa: ARG002
        self.queue.add(uid(obj))
