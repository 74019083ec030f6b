"""Objects, lists and watch events as the bytes of a response."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from . import tables
from .errors import ApiError, bad_request, expired
from .negotiation import PARTIAL, PLAIN, TABLE
from .resources import Resource
from .selectors import Selector
from .store import DELETED, Change, Collection, Key, Record
from .wire import Json, dumps, loads

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
_OPENING: Final = b"{"


def body_of(resource: Resource, record: Record) -> bytes:
    """An object's JSON in a resource's version."""
    if resource.from_storage is None:
        return record.body
    return dumps(resource.from_storage(record.obj))


def object_of(resource: Resource, record: Record) -> Json:
    """An object in a resource's version; not to be changed."""
    return record.obj if resource.from_storage is None else resource.from_storage(record.obj)


def single(resource: Resource, record: Record, view: str, include: str) -> bytes:
    """One object in the asked-for form."""
    if view == PLAIN:
        return body_of(resource, record)
    obj = object_of(resource, record)
    if view == PARTIAL:
        return dumps(tables.partial(obj))
    metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
    return dumps(tables.table(resource, [obj], metadata, include=include))


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: its objects, the version it is of, and where the next page begins."""

    records: Sequence[Record]
    version: int
    token: str = ""
    remaining: int | None = None

    def metadata(self) -> Json:
        """The list's metadata."""
        metadata: Json = {"resourceVersion": str(self.version)}
        if self.token:
            metadata["continue"] = self.token
        if self.remaining is not None:
            metadata["remainingItemCount"] = self.remaining
        return metadata


def listing(resource: Resource, page: Page, view: str, include: str) -> bytes:
    """A list in the asked-for form; the objects' own bytes are used as they are."""
    metadata = page.metadata()
    if view == TABLE:
        objects = (object_of(resource, record) for record in page.records)
        return dumps(tables.table(resource, objects, metadata, include=include))
    if view == PARTIAL:
        items = [tables.partial(object_of(resource, record)) for record in page.records]
        head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
        return dumps({**head, "items": items})
    head_bytes = dumps({"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": metadata})
    bodies: Iterable[bytes] = (body_of(resource, record) for record in page.records)
    if resource.schema is None:
        # Items in lists of built-in kinds come without apiVersion and kind; custom resources have them.
        prefix = len(dumps({"apiVersion": resource.api_version, "kind": resource.kind}))
        bodies = (_OPENING + body[prefix:] for body in bodies)
    return head_bytes[:-1] + b',"items":[' + b",".join(bodies) + b"]}"


class Framer:
    """Makes the frames of one watch; frames of the plain form are shared with the other watches of a resource."""

    def __init__(self, resource: Resource, view: str, include: str) -> None:
        self._resource = resource
        self._view = view
        self._include = include
        self._header = True

    def change(self, change: Change, kind: str) -> bytes:
        """The frame for a change; ``kind`` is what it means to this watch."""
        record = change.record
        if kind == DELETED and change.type != DELETED and change.previous is not None:
            record = _ceased(change.previous, record.version)
        if self._view != PLAIN:
            return self._frame(kind, self._form(object_of(self._resource, record)))
        key = (self._resource.api_version, kind)
        frame = change.encoded.get(key)
        if frame is None:
            body = body_of(self._resource, record)
            frame = change.encoded[key] = b'{"type":"' + kind.encode() + b'","object":' + body + b"}\n"
        return frame

    def initial(self, record: Record) -> bytes:
        """The frame for an object that was there when the watch began."""
        if self._view == PLAIN:
            return b'{"type":"ADDED","object":' + body_of(self._resource, record) + b"}\n"
        return self._frame("ADDED", self._form(object_of(self._resource, record)))

    def bookmark(self, version: int, *, initial_end: bool = False) -> bytes:
        """A bookmark at a version."""
        metadata: Json = {"resourceVersion": str(version)}
        if initial_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        if self._view == TABLE:
            stub = {"kind": self._resource.kind, "apiVersion": self._resource.api_version, "metadata": metadata}
            empty = tables.table(
                self._resource, [], {"resourceVersion": str(version)}, include="None", header=self._header
            )
            self._header = False
            empty["rows"] = [{"cells": [], "object": stub}] if initial_end else []
            return self._frame("BOOKMARK", empty)
        if self._view == PARTIAL:
            return self._frame("BOOKMARK", tables.partial({"metadata": metadata}))
        stub = {"kind": self._resource.kind, "apiVersion": self._resource.api_version, "metadata": metadata}
        return self._frame("BOOKMARK", stub)

    def _form(self, obj: Json) -> Json:
        if self._view == PARTIAL:
            return tables.partial(obj)
        metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        header, self._header = self._header, False
        return tables.table(self._resource, [obj], metadata, include=self._include, header=header)

    def _frame(self, kind: str, obj: Json) -> bytes:
        return b'{"type":"' + kind.encode() + b'","object":' + dumps(obj) + b"}\n"


def _ceased(previous: Record, version: int) -> Record:
    """What a watch is shown of an object that is there and no longer matches: its last matching state, as of now."""
    metadata = {**previous.obj["metadata"], "resourceVersion": str(version)}
    obj = {**previous.obj, "metadata": metadata}
    return Record(obj, dumps(obj), version)


def error_frame(status: Json) -> bytes:
    """The last frame of a watch that can't go on."""
    return b'{"type":"ERROR","object":' + dumps(status) + b"}\n"


def encode_token(version: int, after: Key) -> str:
    """The continue token for the page that begins after a key, in the list of a version."""
    payload = dumps({"v": "meta.k8s.io/v1", "rv": version, "start": list(after)})
    return base64.urlsafe_b64encode(payload).rstrip(b"=").decode()


def decode_token(token: str) -> tuple[int, Key]:
    """The version and key of a continue token.

    Raises:
        ApiError: 400, when it is not one of ours.
    """
    try:
        payload: Any = loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, name = payload["start"]
        return int(payload["rv"]), (str(namespace), str(name))
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise bad_request(
            "invalid continue token: continue key is not valid: it was not issued by this server"
        ) from error


def page(
    collection: Collection,
    namespace: str,
    selector: Selector,
    *,
    limit: int | None,
    token: str,
    version: int | None,
) -> Page:
    """A page of a list. ``version`` asks for the list as it was then;

    Raises:
        ApiError: 410, when that state is no longer kept.
    """
    start: Key | None = None
    if token:
        version, start = decode_token(token)
    if version is None:
        records, keys = collection.records, collection.keys()
        at = collection.store.version
    else:
        try:
            records = collection.snapshot(version)
        except ApiError as error:
            if token and error.code == 410:
                message = (
                    "The provided continue parameter is too old to display a consistent list result. You can start a "
                    "new list without the continue parameter."
                )
                raise expired(message) from error
            raise
        keys = sorted(records) if records is not collection.records else collection.keys()
        at = version
    chosen: list[Record] = []
    for position, key in enumerate(keys):
        if (namespace and key[0] != namespace) or (start is not None and key <= start):
            continue
        record = records[key]
        if selector and not selector.matches(record.obj):
            continue
        if limit and len(chosen) == limit:
            remaining = (
                None if selector else sum(1 for later in keys[position:] if not namespace or later[0] == namespace)
            )
            return Page(chosen, at, encode_token(at, chosen[-1].key), remaining)
        chosen.append(record)
    return Page(chosen, at)
