"""Folders that stand for the two images that the Dockerfile begins with, and programs with one of them as root.

That takes no container engine, just a mount namespace and chroot (Linux, as root). The Python in them is a copy of the
one that runs the tests. What such a folder does not hold is not there: a step that needs a shell where the image has
none fails here too.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

PYTHON: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
STDLIB: Final = Path(sysconfig.get_path("stdlib"))

TOOLS: Final = ("sh", "ln", "find", "rm")
"""Programs of the image that the build begins with, as far as the Dockerfile uses them."""

DEVICES: Final = ("null", "zero", "random", "urandom")

NOT_IN_IMAGES: Final = ("site-packages", "__pycache__", "test", "tests", "idlelib", "tkinter", "lib2to3", "config-*")
"""What is left out of the standard library's copy: to save time, and __pycache__ because the images have none."""

SECONDS: Final = 300
"""After so long whatever runs in a root is killed, even where the tests were killed before it."""


def missing() -> str | None:
    """Return why no program can be run in a root here, None where one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "changing the root takes Linux, and to be its root"
    if "deb_system" in sysconfig.get_scheme_names():
        return "Debian's own Python installs elsewhere than the image's does"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        return "no mount namespace can be made here"
    return None


@dataclass(frozen=True)
class Root:
    """A folder that programs are run in."""

    path: Path

    def command(
        self, command: Sequence[str], folder: str = "/", user: int = 0, *, read_only: bool = False
    ) -> list[str]:
        """Return what runs a command in it, in one of its folders, as a user who can gain no rights."""
        steps = ["set -e", self._mount(self.path, "")]
        steps += [self._mount(source, str(source), "ro") for source in _libraries()]
        steps += [self._mount(Path("/dev", name), f"/dev/{name}") for name in DEVICES]
        if read_only:
            steps.append(f"{_host('mount')} -o remount,bind,ro {shlex.quote(str(self.path))}")
        chroot = [_host("setpriv"), "--no-new-privs", _host("chroot"), f"--userspec={user}:{user}", "--groups="]
        chroot.append(str(self.path))
        if folder != "/":
            command = ["/bin/sh", "-c", f'cd {shlex.quote(folder)} && exec "$0" "$@"', *command]
        steps.append(f"exec {shlex.join([*chroot, *command])}")
        unshare = [_host("unshare"), "--mount", "--propagation", "private", _host("sh"), "-c", "\n".join(steps)]
        return [_host("timeout"), "--signal=KILL", str(SECONDS), *unshare]

    def place(self, source: Path, target: str) -> None:
        """Copy a program, and where it is to be found in it: `/bin/sh`."""
        there = self.path / target.lstrip("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source.resolve(), there)

    def _mount(self, source: Path, target: str, *options: str) -> str:
        there = shlex.quote(f"{self.path}{target}")
        mount = _host("mount")
        steps = [f"{mount} --bind {shlex.quote(str(source))} {there}"]
        return "\n".join([*steps, *(f"{mount} -o remount,bind,{option} {there}" for option in options)])


def slim(folder: Path) -> Root:
    """Return a root like `python:slim`: Python and pip in /usr/local, a shell, and a few tools."""
    root = _bare(folder)
    _install_python(root, "/usr/local")
    # The image's Python was compiled for the place where it is, and so finds its library under any name of its own.
    compiled_for = root.path / sys.base_prefix.lstrip("/")
    if not compiled_for.exists():
        compiled_for.parent.mkdir(parents=True, exist_ok=True)
        compiled_for.symlink_to("/usr/local")
    for tool in TOOLS:
        root.place(Path(_host(tool)), f"/usr/bin/{tool}")
    pip = find_spec("pip")
    assert pip is not None
    assert pip.origin is not None
    shutil.copytree(Path(pip.origin).parent, root.path / f"usr/local/lib/{PYTHON}/site-packages/pip")
    return root


def distroless(folder: Path) -> Root:
    """Return a root like distroless' Python: Python in /usr, and nothing else that can be run."""
    root = _bare(folder)
    _install_python(root, "/usr")
    return root


def _bare(folder: Path) -> Root:
    for name in ("dev", "tmp", "usr/bin", *(str(each).lstrip("/") for each in _libraries())):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in DEVICES:
        (folder / "dev" / name).touch()
    (folder / "bin").symlink_to("usr/bin")
    for name in ("lib", "lib64"):
        if Path("/", name).is_symlink():
            (folder / name).symlink_to(Path("/", name).readlink())
    (folder / "tmp").chmod(0o1777)
    folder.chmod(0o755)
    return Root(folder)


def _install_python(root: Root, prefix: str) -> None:
    root.place(Path(sys.base_prefix, "bin", PYTHON), f"{prefix}/bin/python3")
    ignore = shutil.ignore_patterns(*NOT_IN_IMAGES)
    shutil.copytree(STDLIB, root.path / f"{prefix}/lib/{PYTHON}".lstrip("/"), ignore=ignore, symlinks=True)
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        for library in Path(sysconfig.get_config_var("LIBDIR")).glob("libpython3*.so*"):
            root.place(library, f"{prefix}/lib/{library.name}")
        configuration = root.path / "etc/ld.so.conf"
        configuration.parent.mkdir()
        configuration.write_text(f"{prefix}/lib\n", encoding="utf-8")
        subprocess.run([_host("ldconfig"), "-r", str(root.path)], check=True, capture_output=True)


def _libraries() -> list[Path]:
    """Return the folders of this machine's shared libraries, as the loader finds them."""
    architecture = sysconfig.get_config_var("MULTIARCH")
    folders = [Path("/lib64"), Path("/lib", architecture), Path("/usr/lib", architecture)]
    return sorted({folder.resolve() for folder in folders if folder.is_dir()})


def _host(program: str) -> str:
    """Return where a program of this machine is: the environment of what runs in a root does not tell."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        raise FileNotFoundError(f"{program} is not on PATH")
    return found
