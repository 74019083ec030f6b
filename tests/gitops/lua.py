"""Argo CD's Lua: how it runs the scripts of a resource customization.

Argo CD uses gopher-lua, which is Lua 5.1, and gives scripts from argocd-cm the base, table and package libraries and a
harmless os, but not string, math or io. Source: https://github.com/argoproj/argo-cd/blob/master/util/lua/lua.go
"""

from collections.abc import Mapping
from typing import Any

from lupa import lua51  # type: ignore[import-untyped]  # it has no types

from tests.support.kube import Object

TAKEN_AWAY = ("string", "math", "io", "debug", "coroutine", "dofile", "loadfile", "python")


def run(script: str, item: Object) -> Any:
    """Run a script on an object, and return what it returns."""
    runtime = lua51.LuaRuntime(register_eval=False, register_builtins=False)
    runtime.execute("debug.setmetatable('', nil)")
    for name in TAKEN_AWAY:
        runtime.globals()[name] = None
    runtime.globals()["obj"] = runtime.table_from(_without_nulls(item), recursive=True)
    return _read(runtime.execute(script))


def health(script: str, item: Object) -> dict[str, str]:
    """Return the health that Argo CD shows of an object: of one that is being deleted it asks no script."""
    if "deletionTimestamp" in item["metadata"]:
        return {"status": "Progressing", "message": "Pending deletion"}
    return dict(run(script, item))


def act(script: str, item: Object) -> Object:
    """Return an object as an action changes it; to Lua, an empty object and an empty list are the same."""
    changed: Object = _like(run(script, item), item)
    return changed


def merge_patch(before: Object, after: Object) -> Object:
    """Return the merge patch between two objects, which is what Argo CD sends for an action."""
    patch: Object = {name: None for name in before if name not in after}
    for name, value in after.items():
        if isinstance(value, dict) and isinstance(before.get(name), dict):
            if inner := merge_patch(before[name], value):
                patch[name] = inner
        elif before.get(name) != value:
            patch[name] = value
    return patch


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _read(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return value
    names = list(value)
    if names == list(range(1, len(names) + 1)):
        return [_read(value[name]) for name in names]
    return {name: _read(value[name]) for name in names}


def _like(value: Any, model: Any) -> Any:
    if value == [] and isinstance(model, dict):
        return {}
    if isinstance(value, dict) and isinstance(model, dict):
        return {name: _like(each, model.get(name)) for name, each in value.items()}
    if isinstance(value, list) and isinstance(model, list):
        return [_like(each, other) for each, other in zip(value, model, strict=False)] + value[len(model) :]
    return value
