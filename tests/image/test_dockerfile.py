"""What the Dockerfile, what it copies, and the pinned packages have to be."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from agentstop import __version__

from .dockerfile import ROOT, Instruction, instructions, read

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PYTHON = re.compile(r"python:(3\.\d+)-")
"""How the image that the build begins with names its Python."""


def pins(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return the version and the hashes that a requirements file pins each package to."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / name).read_text()):
        if match := re.match(r"([A-Za-z0-9._-]+)==(\S+)", entry):
            found[canonicalize_name(match[1])] = match[2], frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})", entry))
    return found


def satisfies(pinned: dict[str, tuple[str, frozenset[str]]], wanted: list[str]) -> Iterator[str]:
    for requirement in map(Requirement, wanted):
        version, _ = pinned[canonicalize_name(requirement.name)]
        if version not in requirement.specifier:
            yield f"{requirement} is pinned to {version}"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-build.txt"])
def test_the_image_has_what_is_tested(name: str) -> None:
    tested = pins("requirements-dev.txt")
    pinned = pins(name)
    assert len(pinned) > 5
    assert pinned == {package: tested[package] for package in pinned}
    assert all(hashes for _, hashes in pinned.values())


def test_all_that_the_operator_needs_is_pinned() -> None:
    pinned = pins("requirements.txt")
    extras = PROJECT["project"]["optional-dependencies"]
    assert not list(satisfies(pinned, PROJECT["project"]["dependencies"] + extras["tracing"]))
    assert not list(satisfies(pins("requirements-build.txt"), PROJECT["build-system"]["requires"]))
    assert not {"rich", "cel-expr-python", "jsonschema", "pytest", "helm-python-sdk"} & pinned.keys()


def test_the_images_python_finds_a_wheel_of_each_package(tmp_path: Path) -> None:
    """On arm64, which has fewer wheels than amd64."""
    arguments, _ = read()
    version = PYTHON.search(arguments["PYTHON_IMAGE"])
    assert version is not None
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
    command += ["--ignore-installed", "--target", str(tmp_path), "--require-hashes", "--only-binary", ":all:"]
    command += ["--implementation", "cp", "--python-version", version[1], "-r", str(ROOT / "requirements.txt")]
    for glibc in ("2014", "_2_17", "_2_28", "_2_34"):
        command += ["--platform", f"manylinux{glibc}_aarch64"]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_images_python_is_one_that_is_tested() -> None:
    arguments, _ = read()
    version = PYTHON.search(arguments["PYTHON_IMAGE"])
    assert version is not None
    assert f'"{version[1]}"' in (ROOT / ".github/workflows/ci.yml").read_text()
    # Debian 13 has Python 3.13: https://github.com/GoogleContainerTools/distroless/blob/main/python3/README.md
    assert (version[1], "python3-debian13" in arguments["BASE_IMAGE"]) == ("3.13", True)


def test_every_image_is_named_by_an_argument_with_a_fixed_tag() -> None:
    arguments, (build, final) = read()
    assert [build.image, final.image] == [arguments["PYTHON_IMAGE"], arguments["BASE_IMAGE"]]
    for image in arguments.values():
        assert not image.endswith(":latest")
        assert ":" in image


def test_it_runs_as_a_numeric_user_that_is_not_root() -> None:
    _, (_, final) = read()
    assert [each.text for each in final.all("USER")][-1] == "65532:65532"
    after = [each.name for each in final.instructions[final.instructions.index(final.all("USER")[-1]) :]]
    assert "RUN" not in after
    assert final.pairs("ENV")["PYTHONDONTWRITEBYTECODE"] == "1"


def test_its_labels_say_what_it_is() -> None:
    _, (_, final) = read()
    labels = final.pairs("LABEL")
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == PROJECT["project"]["license"]
    assert labels["org.opencontainers.image.description"] == PROJECT["project"]["description"]
    documentation = labels["org.opencontainers.image.documentation"]
    source = f"{labels['org.opencontainers.image.source']}/blob/v{__version__}/"
    assert documentation.startswith(source)
    assert (ROOT / documentation.removeprefix(source)).exists()


def test_only_what_is_copied_is_sent_to_the_build() -> None:
    _, stages = read()
    copied = {
        word for stage in stages for each in stage.all("COPY") if "from" not in each.flags for word in each.words[:-1]
    }
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)


def test_packages_are_installed_by_hash_and_never_compiled() -> None:
    _, (build, final) = read()
    installs = [
        part
        for each in build.all("RUN")
        for part in each.text.split("&&")
        if re.search(r"pip .*(install|wheel) ", part)
    ]
    assert len(installs) == 4
    for install in installs:
        assert "--no-index" in install or {"--require-hashes", "--only-binary"} <= set(install.split())
    assert not [each for each in build.all("RUN") if re.search(r"\b(apt|curl|wget)\b", each.text)]
    # There is no shell in the last stage.
    assert all(each.text.startswith("[") for name in ("RUN", "ENTRYPOINT", "CMD") for each in final.all(name))


def test_the_reader_reads_what_docker_does() -> None:
    text = '# c\nRUN --mount=type=cache,target=/a \\\n  # c\n  one && \\\n  two\nENTRYPOINT ["a", "b c"]\n'
    text += 'ENV A=1 B="2 3"\n'
    run, entrypoint, environment = instructions(text)
    assert run == Instruction("RUN", {"mount": "type=cache,target=/a"}, "one &&   two")
    assert entrypoint.command == ["a", "b c"]
    assert environment.pairs == {"A": "1", "B": "2 3"}
    with pytest.raises(ValueError, match="does not know"):
        instructions("RUN <<EOF\nid\nEOF\n")
