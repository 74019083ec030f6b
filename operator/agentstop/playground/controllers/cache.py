"""Objects of one kind as last seen, found by UID, by name and by their controller."""

from collections.abc import Callable, Iterable

from agentstop.playground.api_client import Object
from agentstop.playground.controllers.objects import controller_of, uid

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
            owner = controller_of(obj)
            if owner is not None:
                self._controlled.setdefault(owner["uid"], {})[key] = None
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

    def all(self) -> Iterable[Object]:
        """Every object."""
        return self._objects.values()

    def _forget(self, key: str, old: Object) -> None:
        del self._objects[key]
        if self._names.get(_name(old)) == key:
            del self._names[_name(old)]
        owner = controller_of(old)
        if owner is not None:
            owned = self._controlled[owner["uid"]]
            del owned[key]
            if not owned:
                del self._controlled[owner["uid"]]


def _name(obj: Object) -> tuple[str, str]:
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
