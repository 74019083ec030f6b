"""Deletion: preconditions, grace periods, finalizers and propagation.

Source: https://kubernetes.io/docs/concepts/architecture/garbage-collection/ and the server's
``registry/rest/delete.go``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from agentstop_playground import times

from . import errors
from .engine import Engine
from .errors import invalid, not_supported
from .resources import Resource
from .selectors import Selector
from .store import MODIFIED, Record
from .wire import Json, loads

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
_POLICIES: Final = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What a DELETE asks for; ``grace`` in seconds, ``None`` for the object's own."""

    grace: int | None = None
    uid: str | None = None
    version: str | None = None
    policy: str | None = None
    dry_run: bool = False


def parse_options(body: Any, query: Mapping[str, str]) -> DeleteOptions:
    """Read DeleteOptions from a body and the query.

    Raises:
        ApiError: 400 or 422, when they can't be understood.
    """
    if body is not None and not isinstance(body, dict):
        raise errors.bad_request("the body of a DELETE has to be DeleteOptions")
    options: Json = dict(body or {})
    if options.get("kind") not in (None, "", "DeleteOptions"):
        raise errors.bad_request(f"the body of a DELETE has to be DeleteOptions, not {options['kind']}")
    grace = options.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    policy = options.get("propagationPolicy") or query.get("propagationPolicy") or None
    if policy is None and (options.get("orphanDependents") is True or query.get("orphanDependents") == "true"):
        policy = "Orphan"
    if policy is not None and policy not in _POLICIES:
        problem = not_supported("propagationPolicy", policy, [*_POLICIES, "nil"])
        raise errors.unprocessable("meta.k8s.io", "DeleteOptions", "", [problem])
    try:
        seconds = None if grace in (None, "") else int(grace)
    except (TypeError, ValueError):
        problem = invalid("gracePeriodSeconds", str(grace), "must be a number of seconds")
        raise errors.unprocessable("meta.k8s.io", "DeleteOptions", "", [problem]) from None
    preconditions: Mapping[str, Any] = options.get("preconditions") or {}
    return DeleteOptions(
        grace=1 if seconds is not None and seconds < 0 else seconds,
        uid=preconditions.get("uid"),
        version=preconditions.get("resourceVersion"),
        policy=policy,
        dry_run="All" in (options.get("dryRun") or ()) or query.get("dryRun") == "All",
    )


@dataclass(frozen=True, slots=True)
class Deleted:
    """What came of a DELETE: the object's last or present state, and whether it is gone."""

    record: Record
    gone: bool


class Deleter:
    """Deletes objects. Methods raise ``ApiError``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def delete(self, resource: Resource, namespace: str, name: str, options: DeleteOptions) -> Deleted:
        """Delete one object, or begin to."""
        record = self._engine.get(resource, namespace, name)
        check_preconditions(resource, record, options)
        return self.delete_record(resource, record, options)

    def delete_collection(
        self, resource: Resource, namespace: str, selector: Selector, options: DeleteOptions
    ) -> list[Record]:
        """Delete everything that is selected; returns what was."""
        records = list(self._engine.collection(resource).select(namespace, selector))
        for record in records:
            self.delete_record(resource, record, options)
        return records

    def delete_record(self, resource: Resource, record: Record, options: DeleteOptions) -> Deleted:
        """Delete an object whose preconditions are known to hold."""
        strategy = resource.strategy
        new: Json = loads(record.body)
        metadata = new["metadata"]
        grace = strategy.grace(new, options.grace)
        first = "deletionTimestamp" not in metadata
        if not first and grace is not None:
            have = metadata.get("deletionGracePeriodSeconds") or 0
            if have and (options.grace is None or options.grace >= have):
                return Deleted(record, gone=False)
            if have:
                grace = _shorten(metadata, options.grace or 0)
        elif grace is not None:
            _begin(metadata, grace)
        self._add_finalizer(resource, record, metadata, options.policy or strategy.default_propagation)
        waits = bool(metadata.get("finalizers")) or strategy.holds_deletion(new)
        if waits and first and grace is None:
            _begin(metadata, 0)
        if waits and first:
            strategy.mark_deleting(new)
        if options.dry_run:
            return Deleted(record, gone=not waits and not grace)
        current = record
        if new != record.obj and (waits or grace is not None):
            current = self._engine.store.write(self._engine.collection(resource), MODIFIED, new)
        if waits or grace:
            return Deleted(current, gone=False)
        return Deleted(self._engine.remove(resource, current), gone=True)

    def _add_finalizer(self, resource: Resource, record: Record, metadata: Json, policy: str | None) -> None:
        """Ask the collector to see to the dependents first, when the policy says so and there are any."""
        if policy == "Background" or policy is None:
            return
        if resource.collection == "namespaces":
            return
        wanted = FOREGROUND if policy == "Foreground" else ORPHAN
        if not self._engine.store.owned_by(record.uid):
            return
        finalizers = [item for item in metadata.get("finalizers") or () if item not in (FOREGROUND, ORPHAN)]
        metadata["finalizers"] = [*finalizers, wanted]


def check_preconditions(resource: Resource, record: Record, options: DeleteOptions) -> None:
    """Hold an object against the preconditions; raises ``ApiError`` where it is another than they name."""
    uid, version = record.uid, record.obj["metadata"]["resourceVersion"]
    name = record.obj["metadata"]["name"]
    # The real server names the kind here, not the resource.
    if options.uid is not None and options.uid != uid:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid}). "
            "The object might have been deleted and then recreated"
        )
        raise errors.conflict(resource.group, resource.kind, name, why)
    if options.version is not None and options.version != version:
        why = (
            f"the ResourceVersion in the precondition ({options.version}) does not match the ResourceVersion in record "
            f"({version}). The object might have been modified"
        )
        raise errors.conflict(resource.group, resource.kind, name, why)


def _begin(metadata: Json, grace: int) -> None:
    metadata["deletionTimestamp"] = times.rfc3339(times.now() + timedelta(seconds=grace))
    metadata["deletionGracePeriodSeconds"] = grace
    if metadata.get("generation"):
        metadata["generation"] += 1


def _shorten(metadata: Json, grace: int) -> int:
    """Move the deletion forward; a graceful one that would lie in the past gets the shortest grace there is."""
    began = times.parse(metadata["deletionTimestamp"]) or times.now()
    moved = began - timedelta(seconds=metadata["deletionGracePeriodSeconds"] - grace)
    present = times.now()
    if moved < present:
        moved = present
        grace = min(grace, 1)
    metadata["deletionTimestamp"] = times.rfc3339(moved)
    metadata["deletionGracePeriodSeconds"] = grace
    return grace
