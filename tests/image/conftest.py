"""The image, built once."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from . import chroots
from .build import Build
from .dockerfile import ROOT, read

PACKAGES = "/packages"
"""Where the build finds Python packages, in place of a registry: no network, and no settings of this machine."""


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The last stage, built from the Dockerfile in folders that stand for its two images."""
    reason = chroots.missing()
    if reason is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("image")
    slim = chroots.slim(folder / "build")
    download(slim.path / PACKAGES.lstrip("/"))
    _, (build, final) = read()
    built = Build(slim).carry_out(build, {}, {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": PACKAGES})
    image = Build(chroots.distroless(folder / "final"), {"PATH": "/usr/bin"}).carry_out(final, {build.name: built}, {})
    shutil.rmtree(slim.path)
    return image


def download(folder: Path) -> None:
    """Fetch the packages that the image and its build are pinned to, for this machine's Python."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    command += ["--only-binary", ":all:", "--dest", str(folder)]
    command += ["-r", str(ROOT / "requirements.txt"), "-r", str(ROOT / "requirements-build.txt")]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 0, f"the image's packages cannot be had: {done.stderr[-2000:]}"
