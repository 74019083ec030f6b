"""What the operator has been brought of each collection: from it, a list as it was before an event."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.support.kube import Object

SELECTORS: Final = ("labelSelector", "fieldSelector")


@dataclass(frozen=True)
class Collection:
    """What a list or a watch is of."""

    path: str
    selectors: tuple[str, ...]

    @classmethod
    def of(cls, path: str, query: Mapping[str, str]) -> "Collection":
        """Read a request."""
        return cls(path, tuple(query.get(name, "") for name in SELECTORS))


@dataclass
class View:
    """A collection as the operator was last told of it."""

    head: Object
    version: str = ""
    items: dict[str, Object] = field(default_factory=dict)

    def take_list(self, answer: Object, *, first: bool) -> None:
        """Take in a list's page."""
        if first:
            self.items = {}
        self.version = answer["metadata"].get("resourceVersion", "")
        # In a list the objects do not say what they are; in an event they do.
        self.items |= {each["metadata"]["uid"]: each for each in answer.get("items") or ()}

    def take_event(self, kind: str, item: Object) -> None:
        """Take in an event, or a bookmark."""
        if kind == "ERROR":
            return
        self.version = item["metadata"]["resourceVersion"]
        if kind == "DELETED":
            self.items.pop(item["metadata"]["uid"], None)
        elif kind != "BOOKMARK":
            self.items[item["metadata"]["uid"]] = item

    def as_list(self) -> bytes:
        """Return it as the API server would list it."""
        listed = {**self.head, "metadata": {"resourceVersion": self.version}, "items": list(self.items.values())}
        return json.dumps(listed).encode()


class Views:
    """All collections that one operator process follows, and what the process before it was told of them."""

    def __init__(self) -> None:
        self._now: dict[Collection, View] = {}
        self._before: dict[Collection, bytes] = {}

    def listed(self, collection: Collection, answer: Object, *, first: bool) -> None:
        """Take in a page of a list."""
        head = {name: value for name, value in answer.items() if name not in {"items", "metadata"}}
        self._now.setdefault(collection, View(head)).take_list(answer, first=first)

    def brought(self, collection: Collection, kind: str, item: Object) -> None:
        """Take in an event."""
        view = self._now.get(collection)
        if view is not None:
            view.take_event(kind, item)

    def begin(self, *, stale: bool) -> None:
        """Begin with another operator process, which is to be told what the one before it was told if it is stale."""
        self._before = {collection: view.as_list() for collection, view in self._now.items()} if stale else {}
        self._now = {}

    def forget(self) -> None:
        """Have lists be true again: who has written something since finds it in them."""
        self._before = {}

    def before(self, collection: Collection) -> bytes | None:
        """Return a collection as it was told of to the process before; None where the list is to be a true one."""
        return self._before.get(collection)
