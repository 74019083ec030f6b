"""The operator's timings: each is used, and none is imported where it should have been passed down."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import agentstop
from agentstop.timings import Timings

SOURCES = {
    path: path.read_text(encoding="utf-8")
    for path in Path(agentstop.__file__).parent.rglob("*.py")
    if path.name != "timings.py"
}


@pytest.mark.parametrize("name", [each.name for each in fields(Timings)])
def test_each_is_used(name: str) -> None:
    assert any(re.search(rf"\.{name}\b", text) for text in SOURCES.values())


def test_the_defaults_are_only_defaults() -> None:
    for path, text in SOURCES.items():
        used = re.findall(r".*\bTIMINGS\b.*", text)
        assert all("import" in line or re.search(r": Timings = TIMINGS\b", line) for line in used), path


HANDED_DOWN = {"limits", "timings"}


def calls(module: str) -> Iterator[tuple[ast.Call, inspect.Signature]]:
    """Yield the calls in a module of what takes any of these."""
    names: dict[str, Any] = vars(importlib.import_module(module))
    for node in ast.walk(ast.parse(inspect.getsource(importlib.import_module(module)))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        called = names.get(node.func.id)
        ours = getattr(called, "__module__", "").startswith("agentstop.") and callable(called)
        if called is not None and ours and not (isinstance(called, type) and issubclass(called, Exception)):
            signature = inspect.signature(called)
            if HANDED_DOWN & set(signature.parameters):
                yield node, signature


CONTROLLER = sorted(path.stem for path in (Path(agentstop.__file__).parent / "controller").glob("*.py"))


@pytest.mark.parametrize("name", CONTROLLER)
def test_whoever_takes_them_or_the_limits_is_handed_the_operators_own(name: str) -> None:
    """A parameter that has a default is forgotten without a word."""
    for call, signature in calls(f"agentstop.controller.{name}"):
        handed = signature.bind_partial(*call.args, **{str(each.arg): each for each in call.keywords})
        forgotten = HANDED_DOWN & set(signature.parameters) - set(handed.arguments)
        assert not forgotten, f"{name}:{call.lineno}: {forgotten}"


def test_the_parts_of_the_operator_are_among_them() -> None:
    assert len(list(calls("agentstop.controller.wiring"))) > 10
