"""Cgroups of version 2 for tests: real ones where this machine lets us make some, and folders that look like some."""

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
"""Where cgroups of version 2 are: alone, or beside those of version 1."""


def missing() -> str | None:
    """Return why no cgroup of version 2 can be made here, if so."""
    for mount in MOUNTS:
        if not (mount / "cgroup.controllers").is_file():
            continue
        if not os.access(mount, os.W_OK):
            return f"cgroups cannot be made in {mount}, which takes root and a writable mount"
        return None
    return "this machine has no cgroups of version 2"


@contextmanager
def real_root() -> Iterator[Path]:
    """A cgroup of our own; what is left in it is killed in the end. Skips the test where there can be none."""
    if reason := missing():
        pytest.skip(reason)
    mount = next(each for each in MOUNTS if (each / "cgroup.controllers").is_file())
    root = mount / f"agentstop-{secrets.token_hex(4)}"
    root.mkdir()
    try:
        if not (root / "cgroup.kill").exists():
            pytest.skip("the kernel cannot kill a cgroup, which takes Linux 5.14")
        yield root
    finally:
        remove(root)


def remove(root: Path) -> None:
    """Kill all that is in a real cgroup, and remove it."""
    (root / "cgroup.kill").write_text("1", encoding="ascii")
    while "populated 1" in (root / "cgroup.events").read_text(encoding="ascii"):
        pass  # the kernel is about to end them
    for folder, _, _ in os.walk(root, topdown=False):
        Path(folder).rmdir()


def pod_path(root: Path, uid: str, qos: str = "burstable") -> Path:
    """Return where a kubelet with the driver `cgroupfs` has the cgroup of a pod."""
    return root / "kubepods" / qos / f"pod{uid}"


def hold(root: Path, uid: str, pids: Iterable[int], container: str = "c1") -> Path:
    """Put processes into a container's cgroup of a pod, as a runtime does; returns the pod's."""
    pod = pod_path(root, uid)
    (pod / container).mkdir(parents=True, exist_ok=True)
    for pid in pids:
        with suppress(ProcessLookupError):  # it has ended meanwhile
            (pod / container / "cgroup.procs").write_text(str(pid), encoding="ascii")
    return pod


class Folder:
    """A folder that looks like the cgroup of a pod with one container; what the kernel would do, the test does."""

    def __init__(self, path: Path, *, processes: int = 1) -> None:
        self.path = path
        self.container = path / "c1"
        self.container.mkdir(parents=True)
        for each in (path, self.container):
            for name in ("cgroup.kill", "cgroup.max.descendants", "cgroup.procs", "cgroup.events"):
                (each / name).write_text("", encoding="ascii")
            (each / "cgroup.freeze").write_text("0\n", encoding="ascii")
        self._frozen = False
        self.populate(processes)

    def populate(self, processes: int) -> None:
        """Have so many processes in the container."""
        (self.container / "cgroup.procs").write_text("0\n" * processes, encoding="ascii")
        self._tell(populated=processes > 0)

    def obey(self) -> None:
        """Freeze or thaw as was asked."""
        self._frozen = self.to_be_frozen
        self._tell(populated="populated 1" in (self.path / "cgroup.events").read_text(encoding="ascii"))

    @property
    def to_be_frozen(self) -> bool:
        """What was asked."""
        return (self.path / "cgroup.freeze").read_text(encoding="ascii").strip() == "1"

    def empty(self) -> None:
        """Have nothing left in it: the container's cgroup goes, too."""
        shutil.rmtree(self.container)
        self._tell(populated=False)

    def _tell(self, *, populated: bool) -> None:
        text = f"populated {int(populated)}\nfrozen {int(self._frozen)}\n"
        (self.path / "cgroup.events").write_text(text, encoding="ascii")

    def said(self) -> dict[str, str]:
        """Return what was written to it, by the names of the files."""
        names = ("cgroup.kill", "cgroup.max.descendants")
        return {each: text for each in names if (text := (self.path / each).read_text(encoding="ascii"))}


def fake_root(path: Path) -> Path:
    """A folder that looks like a root of cgroups of version 2."""
    (path / "cgroup.controllers").write_text("", encoding="ascii")
    return path.resolve()


def has_attributes(path: Path) -> bool:
    """Whether files there have extended attributes of users, as cgroups do."""
    try:
        os.setxattr(path, "user.agentstop.test", b"")
    except OSError:
        return False
    os.removexattr(path, "user.agentstop.test")
    return True
