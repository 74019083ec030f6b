"""Objects of one kind as last seen, found by UID, by name and by their controller."""

from collections.abc import Callable, Iterable

from agentstop_playground.api_client import Object
from agentstop_playground.controllers.objects import controller_of, uid

_NOBODY = ""
"""Stands for the UID of the controller that an object does not have."""

Listener = Callable[[str, Object, Object | None], None]
"""Called with ``ADDED``, ``MODIFIED`` or ``DELETED``, the object, and what was known of it before."""


class Cache:
    """Fill it by ``take``; the objects that it gives must not be changed."""

    def __init__(self) -> None:
        self._objects: dict[str, Object] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._controlled: dict[str, dict[str, None]] = {}
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        """Be told of every change."""
        self._listeners.append(listener)

    def take(self, kind: str, obj: Object) -> None:
        """An object was seen, or (``DELETED``) seen to be gone."""
        key = uid(obj)
        old = self._objects.get(key)
        if old is not None:
            self._forget(key, old)
        if kind != "DELETED":
            self._objects[key] = obj
            self._names[_name(obj)] = key
            self._controlled.setdefault(_controller(obj), {})[key] = None
        for listener in self._listeners:
            listener(kind, obj, old)

    def get(self, key: str) -> Object | None:
        """The object with a UID."""
        return self._objects.get(key)

    def named(self, namespace: str, name: str) -> Object | None:
        """The object with a name."""
        return self._objects.get(self._names.get((namespace, name), ""))

    def controlled_by(self, owner: str) -> list[Object]:
        """The objects whose controller has this UID, oldest first."""
        return [self._objects[key] for key in self._controlled.get(owner, ())]

    def uncontrolled(self) -> list[Object]:
        """The objects that have no controller, oldest first."""
        return self.controlled_by(_NOBODY)

    def all(self) -> Iterable[Object]:
        """Every object."""
        return self._objects.values()

    def _forget(self, key: str, old: Object) -> None:
        del self._objects[key]
        if self._names.get(_name(old)) == key:
            del self._names[_name(old)]
        owner = _controller(old)
        del self._controlled[owner][key]
        if not self._controlled[owner]:
            del self._controlled[owner]


def _controller(obj: Object) -> str:
    owner = controller_of(obj)
    return str(owner["uid"]) if owner is not None else _NOBODY


def _name(obj: Object) -> tuple[str, str]:
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
