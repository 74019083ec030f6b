"""The cgroup of one pod, version 2: how it is frozen, thawed, closed, killed and read. Nothing else is ever written.

Source: https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

MOST_COUNTED: Final = 10_000
"""So many processes are counted; what forks without end is not to keep the component busy."""

MARK: Final = "user.agentstop.frozen"
"""Extended attribute of a pod's cgroup that the component froze: the namespace of the PodControl that asked for it.

So it knows later what is its own to thaw. It goes with the cgroup.
"""

UNMARKED: Final = frozenset({errno.ENODATA, errno.ENOTSUP, errno.ENOENT, errno.ENODEV})


def is_unified(root: Path) -> bool:
    """Whether cgroups of version 2 begin here."""
    return (root / "cgroup.controllers").is_file()


NEEDED: Final = frozenset({"memory", "pids"})
"""Controllers that a runtime needs to keep to version 2."""


def governs(root: Path) -> bool:
    """Whether what starts containers keeps to these cgroups alone, so that a closed one keeps containers from starting.

    Beside cgroups of version 1, which have the controllers then, runc starts a container all the same where the one of
    version 2 cannot be made; tried with runc 1.1 and containerd 1.6.
    """
    return set((root / "cgroup.controllers").read_text(encoding="ascii").split()) >= NEEDED


class PodCgroup:
    """The cgroup of a pod, with those of its containers and its sandbox below it.

    Raises OSError where the kernel does not do as asked; FileNotFoundError where the cgroup is gone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def killable(self) -> bool:
        """Whether the kernel can kill it as a whole, as Linux can since 5.14."""
        return (self.path / "cgroup.kill").exists()

    @property
    def freezable(self) -> bool:
        """Whether the kernel can freeze it as a whole, as Linux can since 5.2."""
        return (self.path / "cgroup.freeze").exists()

    @property
    def populated(self) -> bool:
        """Whether a process is left anywhere in it; one that has ended and is only waited for does not count."""
        return "populated 0" not in self._events()

    @property
    def frozen(self) -> bool:
        """Whether the kernel says that nothing in it runs. It says so of one without processes, too."""
        return "frozen 1" in self._events()

    @property
    def to_be_frozen(self) -> bool:
        """Whether the kernel was told to freeze it."""
        return (self.path / "cgroup.freeze").read_text(encoding="ascii").strip() == "1"

    @property
    def mark(self) -> str | None:
        """For which namespace the component froze it, if it did."""
        try:
            return os.getxattr(self.path, MARK, follow_symlinks=False).decode(errors="replace")
        except OSError as error:
            if error.errno in UNMARKED:
                return None
            raise

    def freeze(self, namespace: str) -> None:
        """Have the kernel halt all that is in it, and all that comes into it, until it is thawed."""
        try:
            os.setxattr(self.path, MARK, namespace.encode(), follow_symlinks=False)
        except OSError as error:
            # Without the mark it is frozen all the same. It is not thawed then if its PodControl goes meanwhile.
            if error.errno not in {errno.ENOTSUP, errno.EPERM, errno.EACCES}:
                raise
        _write(self.path / "cgroup.freeze", "1")

    def thaw(self) -> None:
        """Have the kernel let all that is in it go on."""
        _write(self.path / "cgroup.freeze", "0")
        try:
            os.removexattr(self.path, MARK, follow_symlinks=False)
        except OSError as error:
            if error.errno not in UNMARKED:
                raise

    def close(self) -> None:
        """Have the kernel refuse every new cgroup in it, so that no container can be started in it any more."""
        _write(self.path / "cgroup.max.descendants", "0")

    def kill(self) -> None:
        """Have the kernel send SIGKILL to all that is in it; what forks meanwhile does not get away.

        What is frozen ends without being thawed.
        """
        _write(self.path / "cgroup.kill", "1")

    def prune(self) -> None:
        """Remove the empty cgroups in it: a runtime that is about to put a process into one cannot, then."""
        for each in self._below():
            with suppress(OSError):  # it is populated, which the next look at the whole says, or gone
                each.rmdir()

    @property
    def pruned(self) -> bool:
        """Whether no cgroup is left in it."""
        return next(self._below(), None) is None

    def count(self) -> int:
        """Return how many processes are in it; not more than `MOST_COUNTED`."""
        found = 0
        for each in (*self._below(), self.path):
            with suppress(OSError):  # one of threads alone does not say, and one may go meanwhile
                found += len((each / "cgroup.procs").read_bytes().split())
            if found >= MOST_COUNTED:
                return MOST_COUNTED
        return found

    def _events(self) -> list[str]:
        return (self.path / "cgroup.events").read_text(encoding="ascii").splitlines()

    def _below(self) -> Iterator[Path]:
        """Yield the cgroups below it, the deepest first."""
        for folder, _, _ in os.walk(self.path, topdown=False):
            if (found := Path(folder)) != self.path:
                yield found


def _write(path: Path, text: str) -> None:
    # Not created where it is missing: the file system of cgroups alone makes such files.
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
