"""One version: of the two packages, the image, the chart, and the changelog."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import agentstop
from tests.image.dockerfile import read

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION: str = PROJECT["version"]
CHART = ROOT / "charts/agentstop"
ENTRY = re.compile(r"^## \[([^\]]+)\] - (\S+)$", re.MULTILINE)


def test_the_package() -> None:
    assert agentstop.__version__ == version("agentstop") == VERSION


def test_the_playground_and_who_brings_it() -> None:
    playground = tomllib.loads((ROOT / "playground/pyproject.toml").read_text())["project"]
    assert playground["version"] == version(playground["name"]) == VERSION
    assert f"{playground['name']}=={VERSION}" in PROJECT["optional-dependencies"]["playground"]


def test_the_image() -> None:
    _, stages = read()
    assert stages[-1].pairs("LABEL")["org.opencontainers.image.version"] == VERSION


@pytest.mark.skipif(not CHART.is_dir(), reason="the chart is not there yet")
def test_the_chart() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)
    image = yaml.safe_load((CHART / "values.yaml").read_text())["image"]
    assert image["repository"] == "ghcr.io/agentstop/agentstop"
    assert image["tag"] in {"", VERSION}


def test_the_newest_entry_of_the_changelog() -> None:
    newest = ENTRY.search((ROOT / "CHANGELOG.md").read_text())
    assert newest is not None
    assert newest[1] == VERSION
    assert re.fullmatch(r"unreleased|\d{4}-\d\d-\d\d", newest[2])


def test_the_documents_name_the_newest() -> None:
    for name in ("SECURITY.md", "docs/releasing.md"):
        named = re.findall(r"\bv?(\d+\.\d+\.\d+)\b", (ROOT / name).read_text())
        assert set(named) == {VERSION}, name
