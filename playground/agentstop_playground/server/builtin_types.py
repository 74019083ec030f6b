"""The shapes of the built-in kinds, taken from the official client's models: known fields, types and descriptions."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from .wire import Json

_MODELS: Final = "kubernetes.aio.client.models"
_SCALARS: Final[Mapping[str, tuple[str, type | tuple[type, ...]]]] = {
    "str": ("string", str),
    "int": ("integer", int),
    "bool": ("boolean", bool),
    "float": ("number", (int, float)),
    "datetime": ("string", str),
    "date": ("string", str),
    "bytearray": ("string", str),
    "bytes": ("string", str),
}
_ITEM_TYPE: Final = re.compile(r"^(List|Dict)\[(?:str, )?(.+)\]$")


@cache
def fields(model: str) -> Mapping[str, str]:
    """The JSON field names of a model (``V1PodSpec``) and their types (``int``, ``List[V1Container]``)."""
    cls = getattr(importlib.import_module(_MODELS), model)
    return {cls.attribute_map[name]: kind for name, kind in cls.openapi_types.items()}


@cache
def descriptions(model: str) -> Mapping[str, str]:
    """The description of each JSON field, as the API reference has it; and of the model itself under ``""``."""
    cls = getattr(importlib.import_module(_MODELS), model)
    texts = {info.serialization_alias or name: info.description or "" for name, info in cls.model_fields.items()}
    texts[""] = (cls.__doc__ or "").strip().split("\n\n")[0]
    return texts


@cache
def required(model: str) -> tuple[str, ...]:
    """The JSON names of the fields that a model can't be without."""
    cls = getattr(importlib.import_module(_MODELS), model)
    return tuple(info.serialization_alias or name for name, info in cls.model_fields.items() if info.is_required())


@cache
def is_model(kind: str) -> bool:
    """Whether a type name is one of the client's models with fields of its own."""
    cls = getattr(importlib.import_module(_MODELS), kind, None)
    return bool(getattr(cls, "openapi_types", None))


def inner_type(kind: str) -> tuple[str, str] | None:
    """``("List", "V1Container")`` for ``List[V1Container]``; ``None`` for a type that contains no other."""
    found = _ITEM_TYPE.match(kind)
    return (found[1], found[2]) if found else None


class WrongTypeError(ValueError):
    """A value of a JSON type that the field does not take; the message is the decoder's."""


def prune(obj: Json, model: str) -> Iterator[str]:
    """Drop the nulls and the fields that the model does not know; yields the paths of the unknown ones.

    Raises:
        WrongTypeError: a value has the wrong JSON type.
    """
    yield from _prune(obj, model, "", model)


def _prune(value: Any, kind: str, path: str, owner: str) -> Iterator[str]:
    inner = inner_type(kind)
    if inner is not None:
        container, item = inner
        if container == "List":
            _expect(value, list, "[]" + _go_name(item), path, owner)
            for index, member in enumerate(value):
                yield from _prune(member, item, f"{path}[{index}]", owner)
        else:
            _expect(value, dict, "map[string]" + _go_name(item), path, owner)
            for name, member in value.items():
                yield from _prune(member, item, f"{path}.{name}" if path else name, owner)
        return
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        expected = scalar[1]
        # Quantities are strings in the models and may be sent as plain numbers.
        if kind == "str" and isinstance(value, int | float) and not isinstance(value, bool) and "resources" in path:
            return
        _expect(value, expected, _go_name(kind), path, owner)
        return
    if not is_model(kind):
        return
    _expect(value, dict, _go_name(kind), path, owner)
    known = fields(kind)
    for name in list(value):
        inner_path = f"{path}.{name}" if path else name
        if name not in known:
            del value[name]
            yield inner_path
        elif value[name] is None:
            del value[name]
        else:
            yield from _prune(value[name], known[name], inner_path, kind)


@cache
def _go_name(kind: str) -> str:
    plain = {"str": "string", "int": "int64", "bool": "bool", "float": "float64", "datetime": "string"}
    return plain.get(kind, re.sub(r"^(?:V1|Core|Events)+(?=[A-Z])", "v1.", kind))


def _expect(value: Any, types: type | tuple[type, ...], wanted: str, path: str, owner: str) -> None:
    if isinstance(value, types) and not (isinstance(value, bool) and types is not bool):
        return
    match value:
        case bool():
            got = "bool"
        case int() | float():
            got = "number"
        case str():
            got = "string"
        case list():
            got = "array"
        case _:
            got = "object"
    plain_path = re.sub(r"\[\d+\]", "", path)
    name = re.sub(r"^(?:V1|Core|Events)+(?=[A-Z])", "", owner)
    message = f"json: cannot unmarshal {got} into Go struct field {name}.{plain_path} of type {wanted}"
    raise WrongTypeError(message)
