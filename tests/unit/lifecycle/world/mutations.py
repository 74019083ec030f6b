"""Deliberate breaks of the operator: each is one that the histories have to find."""

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import FunctionType
from typing import Any


@dataclass(frozen=True)
class Mutation:
    """One function of the operator, with a part of its text exchanged for another."""

    where: str
    """Module under `agentstop`, a colon, and the function's name; a method's or property's with its class."""
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.where.split(':')[1]}: {self.new}"

    def apply(self, replace: Callable[[Any, str, Any], None]) -> None:
        """Put it in force by `replace(function, name, value)`, whoever has imported the function by now."""
        module_name, _, path = self.where.partition(":")
        found: Any = import_module(f"agentstop.{module_name}")
        for name in path.split("."):
            found = getattr(found, name)
        function = found.fget if isinstance(found, property) else found
        assert isinstance(function, FunctionType)
        text = textwrap.dedent(inspect.getsource(function))
        assert text.count(self.old) == 1, f"{self.where} does not say {self.old!r} any more: break it in another way"
        lines = text.replace(self.old, self.new).splitlines()
        begin = next(number for number, line in enumerate(lines) if line.startswith("def "))
        scope: dict[str, Any] = {}
        exec(compile("\n".join(lines[begin:]), self.where, "exec"), function.__globals__, scope)  # noqa: S102
        replace(function, "__code__", scope[function.__name__].__code__)
