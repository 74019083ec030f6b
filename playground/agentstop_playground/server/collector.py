"""What a cluster's controllers do behind the API: garbage collection, emptying namespaces, installing definitions.

Source: https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from .cel_rules import RuleError
from .crds import awaits_cleanup, finalizer_done
from .custom import resources_of
from .deletion import FOREGROUND, ORPHAN, DeleteOptions, Deleter
from .engine import Engine
from .errors import ApiError
from .registry import CRD_COLLECTION, definition_changed
from .resources import Resource
from .store import DELETED, MODIFIED, Change, Collection, Record
from .wire import Json, loads

_log = logging.getLogger(__name__)

_BATCH: Final = 50
"""Steps done before other work gets its turn."""


class Collector:
    """Follows every change in the store and does what it entails, a little later."""

    def __init__(self, engine: Engine, deleter: Deleter) -> None:
        self._engine = engine
        self._deleter = deleter
        self._steps: deque[Callable[[], None]] = deque()
        self._handle: asyncio.Handle | None = None
        engine.store.listeners.append(self._changed)

    def close(self) -> None:
        """Do nothing more."""
        self._engine.store.listeners.remove(self._changed)
        self._steps.clear()
        if self._handle is not None:
            self._handle.cancel()

    def _changed(self, collection: Collection, change: Change) -> None:
        self._install(collection, change)
        metadata = change.record.obj["metadata"]
        if change.type == DELETED:
            if self._engine.store.owned_by(change.record.uid):
                self._later(partial(self._release, change.record.uid))
            for owner in metadata.get("ownerReferences") or ():
                self._later(partial(self._finish_foreground, owner["uid"]))
            self._later(partial(self._after_removal, collection.name, metadata.get("namespace", "")))
            return
        if metadata.get("ownerReferences"):
            before = change.previous
            if before is None or before.obj["metadata"].get("ownerReferences") != metadata["ownerReferences"]:
                self._later(partial(self._check_owners, collection, change.record.uid))
        if "deletionTimestamp" not in metadata:
            return
        finalizers = metadata.get("finalizers") or ()
        if FOREGROUND in finalizers or ORPHAN in finalizers:
            self._later(partial(self._propagate, change.record.uid))
        if collection.name == "namespaces":
            self._later(partial(self._empty_namespace, metadata["name"]))
        if collection.name == CRD_COLLECTION and awaits_cleanup(change.record.obj):
            self._later(partial(self._empty_definition, metadata["name"]))

    def _later(self, step: Callable[[], None]) -> None:
        self._steps.append(step)
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._handle = None
        for _ in range(min(_BATCH, len(self._steps))):
            step = self._steps.popleft()
            try:
                step()
            except ApiError as error:
                _log.debug("A background step was refused: %s", error.message)
        if self._steps and self._handle is None:
            self._handle = asyncio.get_running_loop().call_soon(self._run)

    def _install(self, collection: Collection, change: Change) -> None:
        definition = definition_changed(collection, change)
        if definition is None:
            return
        name = definition["metadata"]["name"]
        if change.type == DELETED:
            for resource in self._engine.registry.remove(name):
                self._engine.store.drop(resource.collection)
            return
        try:
            self._engine.registry.install(name, resources_of(definition))
        except RuleError as error:
            _log.warning("The definition %s is not served: %s", name, error)

    def _resource(self, collection: Collection) -> Resource | None:
        return self._engine.registry.of_collection(collection.name)

    def _check_owners(self, collection: Collection, uid: str) -> None:
        """Delete an object none of whose owners exists, if all of them are of kinds that we would know of."""
        found = self._engine.store.locate(uid)
        if found is None or found[0] is not collection:
            return
        owners: list[Json] = found[1].obj["metadata"].get("ownerReferences") or []
        known = all(self._engine.registry.find_kind(owner["apiVersion"], owner["kind"]) for owner in owners)
        if owners and known and not any(self._engine.store.exists(owner["uid"]) for owner in owners):
            self._delete(*found)

    def _release(self, uid: str) -> None:
        """The object with this UID is gone: delete what it alone owned, and take it off the owners of the rest."""
        for collection, record in self._engine.store.owned_by(uid):
            owners: list[Json] = record.obj["metadata"].get("ownerReferences") or []
            if any(self._engine.store.exists(owner["uid"]) for owner in owners):
                self._disown(collection, record, uid)
            else:
                self._later(partial(self._delete_if_there, record.uid))

    def _delete_if_there(self, uid: str) -> None:
        found = self._engine.store.locate(uid)
        if found is not None:
            self._delete(*found)

    def _delete(self, collection: Collection, record: Record, policy: str = "Background") -> None:
        resource = self._resource(collection)
        if resource is not None and ("deletionTimestamp" not in record.obj["metadata"] or policy != "Background"):
            self._deleter.delete_record(resource, record, DeleteOptions(policy=policy))

    def _disown(self, collection: Collection, record: Record, uid: str) -> None:
        def change(obj: Json) -> None:
            owners = [item for item in obj["metadata"]["ownerReferences"] if item["uid"] != uid]
            if owners:
                obj["metadata"]["ownerReferences"] = owners
            else:
                del obj["metadata"]["ownerReferences"]

        self._modify(collection, record, change)

    def _modify(self, collection: Collection, record: Record, change: Callable[[Json], None]) -> None:
        resource = self._resource(collection)
        if resource is not None:
            self._engine.modify(resource, record, change)

    def _propagate(self, uid: str) -> None:
        """Carry out foreground or orphan propagation of an object that is being deleted."""
        found = self._engine.store.locate(uid)
        if found is None:
            return
        finalizers = found[1].obj["metadata"].get("finalizers") or ()
        dependents = self._engine.store.owned_by(uid)
        if ORPHAN in finalizers:
            for collection, record in dependents:
                self._disown(collection, record, uid)
            self._drop_finalizer(uid, ORPHAN)
        elif FOREGROUND in finalizers:
            for collection, record in dependents:
                if "deletionTimestamp" not in record.obj["metadata"]:
                    self._delete(collection, record, "Foreground")
            self._finish_foreground(uid)

    def _finish_foreground(self, uid: str) -> None:
        """Let an owner go once nothing is left that blocks its deletion."""
        found = self._engine.store.locate(uid)
        if found is None or FOREGROUND not in (found[1].obj["metadata"].get("finalizers") or ()):
            return
        for _, record in self._engine.store.owned_by(uid):
            owners: list[Json] = record.obj["metadata"].get("ownerReferences") or []
            if any(owner["uid"] == uid and owner.get("blockOwnerDeletion") for owner in owners):
                return
        self._drop_finalizer(uid, FOREGROUND)

    def _drop_finalizer(self, uid: str, finalizer: str) -> None:
        found = self._engine.store.locate(uid)
        if found is None:
            return

        def change(obj: Json) -> None:
            obj["metadata"]["finalizers"] = [item for item in obj["metadata"]["finalizers"] if item != finalizer]

        self._settle(found[0], found[1], change)

    def _settle(self, collection: Collection, record: Record, change: Callable[[Json], None]) -> None:
        """Change an object that is being deleted, and remove it if nothing holds it any more."""
        new: Json = loads(record.body)
        change(new)
        metadata: dict[str, Any] = new["metadata"]
        if not metadata.get("finalizers"):
            metadata.pop("finalizers", None)
        resource = self._resource(collection)
        waits = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
        if waits or (resource is not None and resource.strategy.holds_deletion(new)):
            self._engine.store.write(collection, MODIFIED, new)
        else:
            self._engine.store.write(collection, DELETED, new)

    def _after_removal(self, collection_name: str, namespace: str) -> None:
        store = self._engine.store
        home = store.collection("namespaces").get("", namespace) if namespace else None
        if home is not None and "deletionTimestamp" in home.obj["metadata"]:
            self._empty_namespace(namespace)
        definitions = store.collection(CRD_COLLECTION)
        definition = definitions.get("", collection_name)
        if definition is not None and awaits_cleanup(definition.obj):
            self._empty_definition(collection_name)

    def _empty_namespace(self, namespace: str) -> None:
        """Delete what is in a namespace; once it is empty, let the namespace itself go."""
        store = self._engine.store
        home = store.collection("namespaces").get("", namespace)
        if home is None or "deletionTimestamp" not in home.obj["metadata"]:
            return
        left = False
        for collection in list(store.collections.values()):
            for key in [key for key in collection.keys() if key[0] == namespace]:  # noqa: SIM118
                record = collection.records.get(key)
                if record is not None:
                    self._delete(collection, record)
                    left = left or key in collection.records
        if not left:
            self._settle(store.collection("namespaces"), home, lambda obj: obj["spec"].update(finalizers=[]))

    def _empty_definition(self, name: str) -> None:
        """Delete all objects of a definition; once there are none, let the definition go."""
        store = self._engine.store
        objects = store.collection(name)
        for record in list(objects.records.values()):
            self._delete(objects, record)
        definition = store.collection(CRD_COLLECTION).get("", name)
        if definition is not None and awaits_cleanup(definition.obj) and not objects.records:
            self._settle(store.collection(CRD_COLLECTION), definition, lambda obj: obj.update(finalizer_done(obj)))
