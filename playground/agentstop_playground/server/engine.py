"""Reads and writes of objects: the part of the server that knows no HTTP.

Every method runs to its end without waiting, so each write is atomic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import uuid4

from agentstop_playground import times

from . import errors, managers, patches
from .admission import (
    WriteOptions,
    check_finalizers,
    check_namespace,
    debug_containers_only,
    decode,
    deep_copy,
    omit_empty,
    restore,
    status_only,
    without_status,
)
from .errors import FieldError, invalid
from .names import check_metadata, generated
from .registry import Registry
from .resources import Resource
from .store import ADDED, DELETED, MODIFIED, Collection, Record, Store
from .wire import Json, dumps, loads

_MAX_NAME_TRIES: Final = 8


class Engine:
    """The API's verbs on the store. Methods raise ``ApiError``."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self.store = store
        self.registry = registry

    def collection(self, resource: Resource) -> Collection:
        """Where a resource's objects are."""
        return self.store.collection(resource.collection)

    def get(self, resource: Resource, namespace: str, name: str) -> Record:
        """The present state of an object."""
        record = self.collection(resource).get(namespace, name)
        if record is None:
            raise errors.not_found(resource.group, resource.plural, name)
        return record

    def create(self, resource: Resource, namespace: str, body: Any, options: WriteOptions) -> Record:
        """Store a new object."""
        obj = decode(resource, body, options)
        metadata = obj["metadata"]
        check_namespace(resource, namespace, metadata)
        if metadata.pop("resourceVersion", ""):
            raise errors.ApiError(500, "InternalError", "resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = self._free_name(resource, namespace, metadata["generateName"])
        name = metadata.get("name") or ""
        if resource.namespaced:
            metadata["namespace"] = namespace
            self._check_namespace_open(resource, namespace, name)
        if name and self.collection(resource).get(namespace, name) is not None:
            raise errors.already_exists(resource.group, resource.plural, name)
        return self._insert(resource, obj, options)

    def _insert(
        self, resource: Resource, obj: Json, options: WriteOptions, *, operation: str = managers.UPDATE
    ) -> Record:
        strategy = resource.strategy
        metadata = obj["metadata"]
        for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields", "generation"):
            metadata.pop(key, None)
        omit_empty(metadata)
        metadata["uid"] = str(uuid4())
        metadata["creationTimestamp"] = times.rfc3339(times.now())
        if strategy.counts_generations:
            metadata["generation"] = 1
        if resource.to_storage is not None:
            obj = resource.to_storage(obj)
        writer = self.writer(resource, options)
        owned = {**without_status(obj, strategy.has_status), "metadata": dict(metadata)}
        if operation == managers.APPLY:
            # An applier owns what it says; anyone else owns the defaults too.
            owned = managers.apply({"metadata": {}}, owned, writer, strategy.topology, force=True)
        strategy.default(obj)
        if operation != managers.APPLY:
            owned = {**without_status(obj, strategy.has_status), "metadata": dict(obj["metadata"])}
            managers.record_update(None, owned, writer, strategy.topology)
        metadata["managedFields"] = owned["metadata"].get("managedFields") or []
        strategy.prepare_create(obj)
        problems = check_metadata(metadata, namespace=resource.collection == "namespaces")
        problems += strategy.validate_create(obj)
        problems += strategy.check_rules(obj, None, problems)
        self._refuse(resource, metadata.get("name", ""), problems)
        return self._commit(resource, ADDED, obj, options)

    def update(self, resource: Resource, namespace: str, name: str, body: Any, options: WriteOptions) -> Record:
        """Replace an object (or its status)."""
        new = decode(resource, body, options)
        metadata = new["metadata"]
        check_namespace(resource, namespace, metadata)
        if metadata.setdefault("name", name) != name:
            message = f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
            raise errors.bad_request(message)
        record = self.get(resource, namespace, name)
        if not metadata.get("resourceVersion"):
            if not resource.strategy.unconditional_update:
                problem = invalid("metadata.resourceVersion", 0, "must be specified for an update")
                raise errors.unprocessable(resource.group, resource.plural, name, [problem])
            metadata["resourceVersion"] = str(record.version)
        return self.replace(resource, record, new, options)

    def patch(
        self, resource: Resource, namespace: str, name: str, media_type: str, patch: Any, options: WriteOptions
    ) -> Record:
        """Change an object (or its status) by a patch; a server-side apply may create it."""
        record = self.collection(resource).get(namespace, name)
        if media_type == patches.APPLY_PATCH:
            return self._apply(resource, namespace, name, record, patch, options)
        if record is None:
            raise errors.not_found(resource.group, resource.plural, name)
        live = self.copy(resource, record)
        if media_type == patches.JSON_PATCH:
            patched = patches.json_patch(live, patch)
        elif not isinstance(patch, dict):
            raise errors.bad_request("error decoding patch: the patch has to be a JSON object")
        elif media_type == patches.MERGE_PATCH:
            patched = patches.merge_patch(live, patch)
        elif resource.schema is None:
            patched = patches.strategic_patch(live, patch)
        else:
            accepted = (patches.JSON_PATCH, patches.MERGE_PATCH, patches.APPLY_PATCH)
            raise errors.unsupported_media_type(accepted)
        if not isinstance(patched, dict) or not isinstance(patched.get("metadata"), dict):
            raise errors.bad_request("the patch does not leave an object with metadata")
        options.patching = True
        new = decode(resource, patched, options)
        if new["metadata"].get("name") != name:
            message = (
                f"the name of the object ({new['metadata'].get('name')}) does not match the name on the URL ({name})"
            )
            raise errors.bad_request(message)
        new["metadata"].setdefault("resourceVersion", str(record.version))
        return self.replace(resource, record, new, options)

    def modify(self, resource: Resource, record: Record, change: Callable[[Json], None]) -> Record:
        """Change a copy of an object as the server itself does, past the rules for clients, and store it.

        Such changes belong to no field manager.
        """
        new: Json = loads(record.body)
        change(new)
        return record if new == record.obj else self._commit(resource, MODIFIED, new, WriteOptions())

    def copy(self, resource: Resource, record: Record) -> Json:
        """A deep copy of an object in a resource's version."""
        obj: Json = loads(record.body)
        return resource.from_storage(obj) if resource.from_storage is not None else obj

    def remove(self, resource: Resource, record: Record) -> Record:
        """Take an object out of the store at once."""
        last = {**record.obj, "metadata": dict(record.obj["metadata"])}
        return self.store.write(self.collection(resource), DELETED, last)

    def _apply(
        self, resource: Resource, namespace: str, name: str, record: Record | None, patch: Any, options: WriteOptions
    ) -> Record:
        config = decode(resource, patch, options)
        metadata = config["metadata"]
        check_namespace(resource, namespace, metadata)
        if metadata.setdefault("name", name) != name:
            message = f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
            raise errors.bad_request(message)
        if metadata.get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        if record is None:
            if options.subresource:
                raise errors.not_found(resource.group, resource.plural, name)
            if resource.namespaced:
                metadata["namespace"] = namespace
                self._check_namespace_open(resource, namespace, name)
            return self._insert(resource, config, options, operation=managers.APPLY)
        strategy = resource.strategy
        if options.subresource == "status":
            config = {
                key: value for key, value in config.items() if key in ("apiVersion", "kind", "metadata", "status")
            }
        else:
            config = without_status(config, strategy.has_status)
        live = self.copy(resource, record)
        asked_version = metadata.get("resourceVersion")
        writer = self.writer(resource, options)
        new = managers.apply(live, config, writer, strategy.topology, force=options.force)
        new["metadata"]["resourceVersion"] = asked_version or str(record.version)
        return self.replace(resource, record, deep_copy(new), options, applied=True)

    def replace(
        self, resource: Resource, record: Record, new: Json, options: WriteOptions, *, applied: bool = False
    ) -> Record:
        """Store ``new`` in place of ``record``; ``applied``: its managed fields are those of a server-side apply."""
        strategy, old = resource.strategy, record.obj
        metadata, before = new["metadata"], old["metadata"]
        name = before["name"]
        if resource.to_storage is not None:
            new = resource.to_storage(new)
        if metadata.get("uid", before["uid"]) != before["uid"]:
            if options.patching:
                self._refuse(resource, name, [invalid("metadata.uid", metadata["uid"], "field is immutable")])
            why = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {before['uid']}"
            raise errors.conflict(resource.group, resource.plural, name, why)
        if metadata["resourceVersion"] != before["resourceVersion"]:
            raise errors.conflict(resource.group, resource.plural, name, errors.MODIFIED)
        restore(metadata, before)
        if not applied:
            owners = managers.rewritten(metadata.get("managedFields"), before.get("managedFields") or [])
            metadata["managedFields"] = owners
        if options.subresource == "status":
            new = status_only(new, loads(record.body), may_label=strategy.status_may_label)
            metadata = new["metadata"]
        elif options.subresource == "ephemeralcontainers":
            new = debug_containers_only(new, loads(record.body))
            metadata = new["metadata"]
        else:
            strategy.prepare_update(new, old)
        strategy.default(new)
        problems = check_metadata(metadata, namespace=resource.collection == "namespaces")
        problems += check_finalizers(metadata, before)
        problems += strategy.validate_update(new, old, options.subresource)
        problems += strategy.check_rules(new, old, problems)
        self._refuse(resource, name, problems)
        if strategy.counts_generations and not strategy.same_spec(new, old):
            metadata["generation"] = before.get("generation", 0) + 1
        if not applied:
            base = {**old, "metadata": {**before, "managedFields": metadata.get("managedFields") or []}}
            managers.record_update(base, new, self.writer(resource, options), strategy.topology)
        if new == old:
            return record
        held = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds") or strategy.holds_deletion(new)
        if "deletionTimestamp" in metadata and not held:
            return self._commit(resource, DELETED, new, options)
        return self._commit(resource, MODIFIED, new, options)

    def _commit(self, resource: Resource, kind: str, obj: Json, options: WriteOptions) -> Record:
        ordered = {"apiVersion": obj.pop("apiVersion"), "kind": obj.pop("kind"), "metadata": obj.pop("metadata"), **obj}
        if options.dry_run:
            return Record(ordered, dumps(ordered), 0)
        return self.store.write(self.collection(resource), kind, ordered)

    def writer(self, resource: Resource, options: WriteOptions) -> managers.Writer:
        """Who a write is by, for the managed fields."""
        return managers.Writer(options.manager, resource.api_version, options.subresource, times.rfc3339(times.now()))

    def _check_namespace_open(self, resource: Resource, namespace: str, name: str) -> None:
        home = self.store.collection("namespaces").get("", namespace)
        if home is None:
            raise errors.not_found("", "namespaces", namespace)
        if "deletionTimestamp" in home.obj["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            error = errors.forbidden(resource.group, resource.plural, name, why)
            error.details["causes"] = [
                {
                    "reason": "NamespaceTerminating",
                    "message": f"namespace {namespace} is being terminated",
                    "field": "metadata.namespace",
                }
            ]
            raise error

    def _free_name(self, resource: Resource, namespace: str, prefix: str) -> str:
        collection = self.collection(resource)
        for _ in range(_MAX_NAME_TRIES):
            name = generated(prefix)
            if collection.get(namespace, name) is None:
                return name
        raise errors.already_exists(resource.group, resource.plural, name)

    def _refuse(self, resource: Resource, name: str, problems: Sequence[FieldError]) -> None:
        if problems:
            raise errors.unprocessable(resource.group, resource.kind, name, problems)
