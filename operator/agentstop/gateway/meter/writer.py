"""Writes what is to be added into the TaskUsage of a task, as the caller who reported it.

A write counts only for the usage as it was read (compare-and-set on its resourceVersion), so that any number of
gateways add into one. Each write leaves its number there: one whose answer was lost is not made twice.
"""

from collections import OrderedDict
from typing import Final

from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.resources import USAGES
from agentstop.gateway.access import MERGE, CallerAccess
from agentstop.gateway.callers import Caller
from agentstop.gateway.entry import Entry
from agentstop.gateway.errors import ConflictError, GatewayError, InvalidError, NotFoundError, UnavailableError
from agentstop.gateway.meter.usage import (
    TALLY_ANNOTATION,
    Change,
    Spent,
    belongs_to,
    changed,
    created,
    is_written,
    patched,
    spent,
)
from agentstop.gateway.tasks import MANAGER

ATTEMPTS: Final = 5
"""So often a write is made anew at once where somebody else has written meanwhile."""

MAX_UNKNOWN: Final = 16
"""So often in a row a write is tried again where the API server does not know who reported: for some minutes."""

MAX_KNOWN: Final = 4096
"""So many usages are remembered as they were written last, and need not be read again."""


class Writer:
    """Writes usages, and knows what they were when they were written last."""

    def __init__(self, access: CallerAccess, currency: str) -> None:
        self._access = access
        self._currency = currency
        self._known: OrderedDict[str, JsonObject] = OrderedDict()

    def spent(self, uid: str) -> Spent | None:
        """Return what a task has spent; None where that is not known here."""
        known = self._known.get(uid)
        return spent(known["spec"]) if known is not None else None

    async def write(self, entry: Entry, caller: Caller, change: Change) -> None:
        """Add a change to a task's usage, once. Raises GatewayError."""
        for _ in range(ATTEMPTS):
            known = self._known.pop(entry.uid, None)
            found = known if known is not None else await self._read(entry, caller)
            if found is not None:
                self._check(found, entry)
                if is_written(found, change):
                    self._remember(entry, found)
                    return
            fields = changed(found, change, self._currency)
            try:
                self._remember(entry, await self._send(entry, caller, found, fields))
            except ConflictError:
                continue
            except NotFoundError:
                if found is None:
                    raise
                continue  # somebody has deleted it
            return
        raise ConflictError("others write this usage all the time")

    async def _read(self, entry: Entry, caller: Caller) -> JsonObject | None:
        try:
            return await self._access.call(caller, "GET", self._path(entry))
        except NotFoundError:
            return None

    async def _send(self, entry: Entry, caller: Caller, found: JsonObject | None, fields: JsonObject) -> JsonObject:
        query = {"fieldManager": MANAGER}
        if found is None:
            where = USAGES.collection(entry.namespace)
            return await self._access.call(caller, "POST", where, query, created(entry, fields))
        return await self._access.call(caller, "PATCH", self._path(entry), query, patched(found, fields), MERGE)

    def _check(self, found: JsonObject, entry: Entry) -> None:
        """Raise GatewayError where nothing can be added to a usage."""
        if not belongs_to(found, entry):
            raise UnavailableError("the TaskUsage of this name was there before the task, and does not count for it")
        currency = (found.get("spec") or {}).get("currency")
        if currency not in {None, self._currency}:
            raise InvalidError(f"its usage counts in another currency than the meter, {self._currency}")

    def _remember(self, entry: Entry, raw: JsonObject) -> None:
        metadata = raw["metadata"]
        kept = {name: metadata.get(name) for name in ("uid", "resourceVersion", "creationTimestamp", "ownerReferences")}
        tally = (metadata.get("annotations") or {}).get(TALLY_ANNOTATION)
        self._known[entry.uid] = {
            "metadata": {**kept, "annotations": {TALLY_ANNOTATION: tally}},
            "spec": raw.get("spec") or {},
        }
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def _path(self, entry: Entry) -> str:
        return f"{USAGES.collection(entry.namespace)}/{entry.name}"


def is_final(error: GatewayError, failures: int) -> bool:
    """Whether a write that failed so, and so often before, would fail each time.

    An API server that was just started may not know a token for a while. One that has run out it never knows again,
    and what was reported with it must not wait for ever.
    """
    if error.code == 401:
        return failures >= MAX_UNKNOWN
    return error.code in {403, 404, 413, 422}
