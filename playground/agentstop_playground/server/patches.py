"""JSON patch, JSON merge patch and strategic merge patch.

Source: RFC 6902, RFC 7386, and
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from __future__ import annotations

from typing import Any, Final

import jsonpatch
import jsonpointer

from .errors import ApiError, bad_request
from .topology import Path, builtin, item_key
from .wire import Json

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"

_ORDER: Final = "$setElementOrder/"
_DELETE: Final = "$deleteFromPrimitiveList/"
_RETAIN: Final = "$retainKeys"
_DIRECTIVE: Final = "$patch"
_MAX_OPERATIONS: Final = 10_000


def json_patch(obj: Json, operations: Any) -> Any:
    """Apply a list of RFC 6902 operations to a copy of ``obj``.

    Raises:
        ApiError: 400 when the patch is malformed, 413 when it is too long, 422 when it does not fit the object.
    """
    if not isinstance(operations, list):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        )
    if len(operations) > _MAX_OPERATIONS:
        message = f"The allowed maximum operations in a JSON patch is {_MAX_OPERATIONS}, got {len(operations)}"
        raise ApiError(413, "RequestEntityTooLarge", message)
    try:
        return jsonpatch.JsonPatch(operations).apply(obj)
    except jsonpatch.JsonPatchTestFailed as error:
        raise _unfit() from error
    except jsonpatch.InvalidJsonPatch as error:
        raise bad_request(f"error decoding patch: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError) as error:
        raise _unfit() from error


def _unfit() -> ApiError:
    return ApiError(422, "Invalid", "the server rejected our request due to an error in our request")


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply an RFC 7386 patch; what it does not touch is shared with ``target``, which is left as it was."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            merged[name] = merge_patch(merged.get(name), value)
        else:
            merged[name] = value
    return merged


def strategic_patch(target: Any, patch: Json, path: Path = ()) -> Json:
    """Apply a strategic merge patch to an object of a built-in kind; ``target`` is left as it was.

    Raises:
        ApiError: 400, for a list item without its merge key or an unknown directive.
    """
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return {name: value for name, value in patch.items() if name != _DIRECTIVE}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"Unknown patch type: {directive}")
    merged = dict(target) if isinstance(target, dict) else {}
    if _RETAIN in patch:
        retained = set(patch[_RETAIN])
        merged = {name: value for name, value in merged.items() if name in retained}
    for name, value in patch.items():
        if name in (_DIRECTIVE, _RETAIN) or name.startswith(_ORDER):
            continue
        if name.startswith(_DELETE):
            field = name.removeprefix(_DELETE)
            if isinstance(merged.get(field), list):
                merged[field] = [item for item in merged[field] if item not in value]
            continue
        merged_value = _strategic_value(merged.get(name), value, (*path, name))
        if merged_value is None:
            merged.pop(name, None)
        else:
            merged[name] = merged_value
    for name, order in patch.items():
        if name.startswith(_ORDER):
            field = name.removeprefix(_ORDER)
            if isinstance(merged.get(field), list):
                merged[field] = _ordered(merged[field], order, _keys((*path, field)))
    return merged


def _keys(path: Path) -> tuple[str, ...] | None:
    """The merge key of a list; ``None`` when it is replaced, empty when it is a list of scalars that merges."""
    rule = builtin(path, [])
    if rule == "set":
        return ()
    # The patch merge key of container ports is the port alone, where apply goes by port and protocol.
    return rule[:1] if isinstance(rule, tuple) else None


def _strategic_value(have: Any, value: Any, path: Path) -> Any:
    if value is None:
        return None
    if isinstance(value, dict):
        if value.get(_DIRECTIVE) == "delete":
            return None
        return strategic_patch(have, value, path)
    if isinstance(value, list):
        keys = _keys(path)
        if keys is not None:
            return _strategic_list(have if isinstance(have, list) else [], value, keys, path)
    return value


def _strategic_list(have: list[Any], patch: list[Any], keys: tuple[str, ...], path: Path) -> list[Any]:
    if any(isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" and len(item) == 1 for item in patch):
        return [item for item in patch if not (isinstance(item, dict) and _DIRECTIVE in item)]
    if not keys:
        return [*have, *(item for item in patch if item not in have)]
    merged = list(have)
    touched = []
    for item in patch:
        if not isinstance(item, dict):
            raise bad_request("the patch has an item that is not an object in a list of objects")
        key = item_key(keys, item)
        if any(part is None for part in key or ()):
            raise bad_request(f"map: {item} does not contain declared merge key: {keys[0]}")
        at = next((index for index, old in enumerate(merged) if item_key(keys, old) == key), None)
        if item.get(_DIRECTIVE) == "delete":
            if at is not None:
                del merged[at]
        else:
            touched.append(key)
            changed = strategic_patch({} if at is None else merged[at], item, path)
            merged[at if at is not None else len(merged) :] = [changed, *(merged[at + 1 :] if at is not None else ())]
    return _patched_first(merged, touched, [item_key(keys, item) for item in have], keys)


def _patched_first(items: list[Any], touched: list[Any], before: list[Any], keys: tuple[str, ...]) -> list[Any]:
    """The order of the real server: new items go before those that the patch does not mention, others keep theirs."""
    by_key = {item_key(keys, item): item for item in items}
    left = [key for key in touched if key in by_key]
    right = [key for key in by_key if key not in touched]
    ordered = []
    while left and right:
        known = left[0] in before
        take_right = known and before.index(right[0]) < before.index(left[0])
        ordered.append((right if take_right else left).pop(0))
    return [by_key[key] for key in [*ordered, *left, *right]]


def _ordered(items: list[Any], order: list[Any], keys: tuple[str, ...] | None) -> list[Any]:
    if keys is None:
        return items
    ranks = {item_key(keys, item) if keys else (item,): rank for rank, item in enumerate(order)}
    last = len(ranks)
    return sorted(items, key=lambda item: ranks.get(item_key(keys, item) if keys else (item,), last))
