"""Discovery: which groups, versions and resources there are, in the old form and the aggregated one.

Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from .builtin_kinds import REVIEWS
from .registry import Registry
from .resources import Resource
from .wire import Json

VERSION: Final[Mapping[str, str]] = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+agentstop.playground",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "python",
    "platform": "linux/amd64",
}
"""The API version that the playground follows; the suffix says what it is."""

AGGREGATED: Final = re.compile(r"g=apidiscovery\.k8s\.io;v=(v2(?:beta1)?);as=APIGroupDiscoveryList")

_SUBRESOURCES: Final[Mapping[str, tuple[str, str, str, tuple[str, ...]]]] = {
    "status": ("", "", "", ("get", "patch", "update")),
    "finalize": ("", "", "", ("update",)),
    "log": ("", "", "", ("get",)),
    "binding": ("", "v1", "Binding", ("create",)),
    "ephemeralcontainers": ("", "", "", ("get", "patch", "update")),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch")),
}
"""Group, version and kind (empty: those of the resource) and verbs of each subresource."""


def _groups(registry: Registry) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    versions = {*registry.group_versions(), *((group, "v1") for group, _ in REVIEWS)}
    for group, version in sorted(versions, key=lambda item: (item[0], version_rank(item[1]))):
        groups.setdefault(group, []).append(version)
    return groups


def version_rank(version: str) -> tuple[int, int, int, str]:
    """The sorting key that puts the preferred version first: v2, v1, v1beta1, v1alpha1, other names."""
    found = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if found is None:
        return 3, 0, 0, version
    stage = {None: 0, "beta": 1, "alpha": 2}[found[2]]
    return stage, -int(found[1]), -int(found[3] or 0), version


def core_versions(server: str) -> Json:
    """``/api``."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server}],
    }


def _group(name: str, versions: list[str]) -> Json:
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def group_list(registry: Registry) -> Json:
    """``/apis``."""
    groups = [_group(name, versions) for name, versions in _groups(registry).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(registry: Registry, name: str) -> Json | None:
    """``/apis/GROUP``."""
    versions = _groups(registry).get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if name and versions else None


def resource_list(registry: Registry, name: str, version: str) -> Json | None:
    """``/api/v1`` and ``/apis/GROUP/VERSION``."""
    if version not in _groups(registry).get(name, ()):
        return None
    entries: list[Json] = []
    for resource in registry.in_group_version(name, version):
        entries.append(_entry(resource))
        for subresource in resource.subresources:
            sub_group, sub_version, kind, verbs = _SUBRESOURCES[subresource]
            entry: Json = {
                "name": f"{resource.plural}/{subresource}",
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": kind or resource.kind,
                "verbs": list(verbs),
            }
            if kind and (sub_group, sub_version) != (resource.group, resource.version):
                entry |= {"group": sub_group, "version": sub_version}
            entries.append(entry)
    for (review_group, plural), kind in REVIEWS.items():
        if review_group == name:
            entries.append({"name": plural, "singularName": "", "namespaced": False, "kind": kind, "verbs": ["create"]})
    group_version = f"{name}/{version}" if name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}


def _entry(resource: Resource) -> Json:
    entry: Json = {
        "name": resource.plural,
        "singularName": resource.singular_name,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return entry


def aggregated(registry: Registry, *, core: bool, version: str) -> Json:
    """``/api`` or ``/apis`` as an ``APIGroupDiscoveryList``: everything in one answer."""
    items = []
    for name, versions in _groups(registry).items():
        if (name == "") is not core:
            continue
        entries = [
            {"version": item, "resources": _aggregated_resources(registry, name, item), "freshness": "Current"}
            for item in versions
        ]
        items.append({"metadata": {"name": name} if name else {}, "versions": entries})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _aggregated_resources(registry: Registry, name: str, version: str) -> list[Json]:
    entries: list[Json] = []
    for resource in registry.in_group_version(name, version):
        kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        entry: Json = {
            "resource": resource.plural,
            "responseKind": kind,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "singularResource": resource.singular_name,
            "verbs": list(resource.verbs),
        }
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        if resource.categories:
            entry["categories"] = list(resource.categories)
        if resource.subresources:
            entry["subresources"] = [_aggregated_subresource(item, kind) for item in resource.subresources]
        entries.append(entry)
    for (review_group, plural), review in REVIEWS.items():
        if review_group == name:
            kind = {"group": name, "version": version, "kind": review}
            entries.append(
                {
                    "resource": plural,
                    "responseKind": kind,
                    "scope": "Cluster",
                    "singularResource": review.lower(),
                    "verbs": ["create"],
                }
            )
    return entries


def _aggregated_subresource(name: str, kind: Mapping[str, Any]) -> Json:
    sub_group, sub_version, sub_kind, verbs = _SUBRESOURCES[name]
    response = {"group": sub_group, "version": sub_version, "kind": sub_kind} if sub_kind else dict(kind)
    return {"subresource": name, "responseKind": response, "verbs": list(verbs)}
