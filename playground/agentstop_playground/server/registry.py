"""The resources that are served at the moment: the built-in ones and those of the definitions in the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .resources import Resource
from .store import DELETED, Change, Collection
from .wire import Json

GroupVersion = tuple[str, str]

CRD_COLLECTION = "customresourcedefinitions.apiextensions.k8s.io"


class Registry:
    """Resources by group, version and plural name. ``generation`` grows with every change to what is served."""

    def __init__(self, builtin: Iterable[Resource]) -> None:
        self._resources: dict[tuple[str, str, str], Resource] = {}
        self._by_definition: dict[str, list[tuple[str, str, str]]] = {}
        self.generation = 1
        for resource in builtin:
            self._resources[resource.group, resource.version, resource.plural] = resource

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource at a path, if it is served."""
        return self._resources.get((group, version, plural))

    def find_kind(self, api_version: str, kind: str) -> Resource | None:
        """The resource of a kind, if it is served."""
        return next((item for item in self if item.api_version == api_version and item.kind == kind), None)

    def of_collection(self, name: str) -> Resource | None:
        """A resource whose objects are in a collection, in the version that they are stored in where it is served."""
        found = [item for item in self if item.collection == name]
        return next((item for item in found if item.to_storage is None), found[0] if found else None)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._resources.values())

    def group_versions(self) -> list[GroupVersion]:
        """All groups and versions, the core group first, then by name."""
        return sorted({(item.group, item.version) for item in self})

    def in_group_version(self, group: str, version: str) -> list[Resource]:
        """The resources of one group and version, by name."""
        found = [item for item in self if (item.group, item.version) == (group, version)]
        return sorted(found, key=lambda item: item.plural)

    def install(self, name: str, resources: list[Resource]) -> None:
        """Serve the resources of a definition, in place of those it had before."""
        self.remove(name)
        for resource in resources:
            self._resources[resource.group, resource.version, resource.plural] = resource
        self._by_definition[name] = [(item.group, item.version, item.plural) for item in resources]
        self.generation += 1

    def remove(self, name: str) -> list[Resource]:
        """Serve the resources of a definition no longer; returns them."""
        keys = self._by_definition.pop(name, [])
        self.generation += bool(keys)
        return [self._resources.pop(key) for key in keys]


def definition_changed(collection: Collection, change: Change) -> Json | None:
    """The definition that a change is about, if its specification may have changed by it."""
    if collection.name != CRD_COLLECTION:
        return None
    before = change.previous
    if change.type != DELETED and before is not None and before.obj["spec"] == change.record.obj["spec"]:
        return None
    return change.record.obj
