"""The operator's timings: each is used, and none is imported where it should have been passed down."""

import re
from dataclasses import fields
from pathlib import Path

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
