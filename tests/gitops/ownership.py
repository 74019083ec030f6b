"""Who manages which fields of an object, as the tools rewrite it."""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.support.kube import Object

Entry = dict[str, Any]


def take_over(item: Object, taken: Callable[[Entry], bool], manager: str) -> list[Entry] | None:
    """Return an object's managedFields with those of other managers joined to a manager's own; None if there are none.

    Both Flux (PatchReplaceFieldsManagers in fluxcd/pkg/ssa) and Argo CD (csaupgrade of client-go) rewrite them so.
    """
    entries: list[Entry] = copy.deepcopy(item["metadata"].get("managedFields") or [])
    own = [each for each in entries if (each["manager"], each["operation"]) == (manager, "Apply")]
    others = [each for each in entries if each not in own and not each.get("subresource") and taken(each)]
    if not others:
        return None
    kept = [each for each in entries if each not in own and each not in others]
    first, *rest = [*own, *others]
    fields = first["fieldsV1"]
    for each in rest:
        fields = _union(fields, each["fieldsV1"])
    return [*kept, {**first, "manager": manager, "operation": "Apply", "fieldsV1": fields}]


def respecting(target: Object, live: Object, managers: Sequence[str]) -> Object:
    """Return what Argo CD applies with RespectIgnoreDifferences and these managedFieldsManagers.

    Where both have a field, and one of these managers owns it, the value in the cluster is taken. A field that only the
    cluster has stays out. Source: https://github.com/argoproj/argo-cd/blob/master/util/argo/managedfields/managed_fields.go
    """
    target = copy.deepcopy(target)
    for entry in live["metadata"].get("managedFields") or ():
        if entry["manager"] in managers:
            for path in _leaves(entry["fieldsV1"]):
                _copy(live, target, path)
    return target


def _union(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {name: _union(one.get(name, {}), other.get(name, {})) for name in {**one, **other}}


def _leaves(fields: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, inner in fields.items():
        if name.startswith("f:"):
            below = [each for each in inner if each != "."]
            path = (*above, name.removeprefix("f:"))
            if below:
                yield from _leaves(inner, path)
            else:
                yield path


def _copy(live: Object, target: Object, path: tuple[str, ...]) -> None:
    *above, last = path
    for name in above:
        live, target = live.get(name) or {}, target.get(name) or {}
    if last in live and last in target:
        target[last] = live[last]
