"""`docker build`, with folders in place of images: carries out what the Dockerfile says, and nothing of its own."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from .chroots import Root
from .dockerfile import ROOT, Stage

PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass
class Build:
    """A stage as it is built."""

    root: Root
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH, "HOME": "/root"})
    folder: str = "/"
    user: int = 0

    def carry_out(self, stage: Stage, others: Mapping[str, "Build"], extra: Mapping[str, str]) -> "Build":
        """Carry out a stage's instructions; `extra` is the environment that only the building has."""
        for instruction in stage.instructions:
            match instruction.name:
                case "ENV":
                    self.environment |= instruction.pairs
                case "WORKDIR":
                    self.folder = instruction.text
                    self._inside(self.folder).mkdir(parents=True, exist_ok=True)
                case "USER":
                    self.user = int(instruction.text.split(":")[0])
                case "COPY":
                    source = others[instruction.flags["from"]].root.path if "from" in instruction.flags else ROOT
                    *names, target = instruction.words
                    self._copy([source / name.lstrip("/") for name in names], target)
                case "RUN":
                    self.run(instruction.command, extra)
                case "LABEL" | "EXPOSE" | "ENTRYPOINT" | "CMD":
                    pass
                case name:
                    raise ValueError(f"this builder does not know {name}")
        return self

    def run(self, command: list[str], extra: Mapping[str, str]) -> str:
        """Run a command as RUN does, and return what it wrote."""
        done = subprocess.run(
            self.root.command(command, self.folder, self.user),
            env={**self.environment, **extra},
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def _copy(self, sources: list[Path], target: str) -> None:
        to = self._inside(target)
        for source in sources:
            if source.is_dir():
                ignore = shutil.ignore_patterns("__pycache__") if source.is_relative_to(ROOT) else None
                shutil.copytree(source, to, symlinks=True, dirs_exist_ok=True, ignore=ignore)
            else:
                shutil.copy2(source, to / source.name if to.is_dir() else to)

    def _inside(self, name: str) -> Path:
        return self.root.path / str(PurePosixPath(self.folder, name)).lstrip("/")
