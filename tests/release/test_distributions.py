"""The two packages as pip installs them: what is in which, and that each says what it needs."""

import ast
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .test_versions import ROOT, VERSION

OPERATOR, PLAYGROUND = "agentstop", "agentstop_playground"
FOLDERS = {OPERATOR: ROOT, PLAYGROUND: ROOT / "playground"}
SOURCES = {OPERATOR: ROOT / "operator/agentstop", PLAYGROUND: ROOT / "playground/agentstop_playground"}
NOT_FOR_USERS = {"dev"}


def project(package: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((FOLDERS[package] / "pyproject.toml").read_text())["project"]
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels and the source distributions."""
    folder = tmp_path_factory.mktemp("built")
    for source in FOLDERS.values():
        command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
        subprocess.run(command, cwd=source, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheels(built: Path) -> dict[str, set[str]]:
    """The files of each wheel."""
    found = {}
    for package in FOLDERS:
        with ZipFile(built / f"{package}-{VERSION}-py3-none-any.whl") as wheel:
            found[package] = set(wheel.namelist())
    return found


@pytest.mark.parametrize("package", [OPERATOR, PLAYGROUND])
def test_a_wheel_holds_its_package_and_the_license(wheels: dict[str, set[str]], package: str) -> None:
    source = SOURCES[package]
    about = f"{package}-{VERSION}.dist-info"
    assert {name for name in wheels[package] if not name.startswith(f"{about}/")} == {
        str(path.relative_to(source.parent))
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert f"{about}/licenses/LICENSE" in wheels[package]


def test_the_operators_wheel_is_without_the_playground(wheels: dict[str, set[str]]) -> None:
    assert {name for name in wheels[OPERATOR] if PLAYGROUND in name or "/playground/" in name} == set()
    assert not wheels[OPERATOR] & wheels[PLAYGROUND]


@pytest.mark.parametrize("package", [OPERATOR, PLAYGROUND])
def test_a_source_distribution_holds_what_its_wheel_is_built_from(built: Path, package: str) -> None:
    with tarfile.open(built / f"{package}-{VERSION}.tar.gz") as archive:
        members = {member.name.partition("/")[2]: member for member in archive}
        assert all(member.isfile() for member in members.values())
        about = archive.extractfile(members["LICENSE"])
        assert about is not None
        assert about.read() == (ROOT / "LICENSE").read_bytes()
    sources = {str(path.relative_to(FOLDERS[package])) for path in SOURCES[package].rglob("*.py")}
    assert sources <= members.keys()
    assert {name for name in members if "playground/" in name} <= sources


def imported(package: str) -> Iterator[str]:
    """Yield what its modules import from elsewhere than the standard library."""
    for path in SOURCES[package].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            else:
                continue
            yield from {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {package}


@pytest.mark.parametrize(("package", "by_name"), [(OPERATOR, set()), (PLAYGROUND, {"kubernetes"})])
def test_a_package_needs_what_it_imports_and_nothing_else(package: str, by_name: set[str]) -> None:
    """`by_name`: what it loads by a name in a text."""
    extras = project(package).get("optional-dependencies", {})
    users = [each for name in extras.keys() - NOT_FOR_USERS for each in extras[name]]
    wanted = {canonicalize_name(Requirement(each).name) for each in [*project(package)["dependencies"], *users]}
    # A package that many distributions share; and the core that pydantic brings, in just the version that it needs.
    known = {**packages_distributions(), "google": ["protobuf"], "pydantic_core": ["pydantic"]}
    found = {canonicalize_name(name) for module in imported(package) for name in known.get(module, [module])}
    assert plain(found | by_name) == plain(wanted)


def plain(names: Iterable[str]) -> set[str]:
    """Have all of OpenTelemetry's distributions be one: they share a package, and bring each other."""
    return {"opentelemetry" if name.startswith("opentelemetry") else name for name in names}


def test_the_playgrounds_needs_are_pinned_for_tests() -> None:
    pins = dict(
        line.split()[0].split("==") for line in (ROOT / "requirements-dev.txt").read_text().splitlines() if "==" in line
    )
    for requirement in map(Requirement, project(PLAYGROUND)["dependencies"]):
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_whoever_asks_for_the_playground_gets_what_the_demo_shows_itself_with() -> None:
    assert [Requirement(each).name for each in project(OPERATOR)["optional-dependencies"]["playground"]] == [
        "agentstop-playground",
        "rich",
    ]


def test_no_folder_of_the_checkout_is_a_package_in_the_way() -> None:
    """`operator` is a module of Python's own, and `playground` might be anybody's."""
    assert not (ROOT / "operator/__init__.py").exists()
    assert not (ROOT / "playground/__init__.py").exists()
