"""A disk that can be held: who writes to it waits in the kernel then, where no signal and no freeze reaches it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TOOLS = ("mkfs.ext4", "mount", "umount", "fsfreeze")
MEGABYTES = 16


class Disk:
    """A file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held = False

    def hold(self) -> None:
        """Have all who write wait."""
        subprocess.run(["fsfreeze", "--freeze", self.folder], check=True)
        self._held = True

    def let_go(self) -> None:
        """Have them go on."""
        if self._held:
            subprocess.run(["fsfreeze", "--unfreeze", self.folder], check=True)
            self._held = False


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """Mount one in a folder that is there. Skips the test where none can be mounted."""
    if os.geteuid() != 0 or not all(map(shutil.which, TOOLS)):
        pytest.skip(f"a disk that can be held takes root, and {', '.join(TOOLS)}")
    image = folder.with_name(f"{folder.name}.img")
    with image.open("wb") as file:
        file.truncate(MEGABYTES * 2**20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    mounted = subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    made = Disk(folder)
    try:
        yield made
    finally:
        made.let_go()
        subprocess.run(["umount", "--lazy", folder], check=True)
