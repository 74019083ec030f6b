"""The Dockerfile, read as far as these tests need it: instructions, stages, flags, values of ARG.

Source: https://docs.docker.com/reference/dockerfile/. Here documents are refused.
"""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"


@dataclass(frozen=True)
class Instruction:
    """One instruction, its flags (`--from=build`) apart from the rest."""

    name: str
    flags: dict[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        """What it says, as words: those of a JSON list, or as a shell would split it."""
        if self.text.startswith("["):
            words: list[str] = json.loads(self.text)
            return words
        return shlex.split(self.text)

    @property
    def command(self) -> list[str]:
        """The command of a RUN, ENTRYPOINT or CMD."""
        return self.words if self.text.startswith("[") else ["/bin/sh", "-c", self.text]

    @property
    def pairs(self) -> dict[str, str]:
        """The names and values of an ENV, LABEL or ARG; an ARG without a value has none."""
        return {name: value for name, mark, value in (word.partition("=") for word in self.words) if mark}


@dataclass
class Stage:
    """What follows a FROM."""

    image: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        """Return the instructions of one name."""
        return [each for each in self.instructions if each.name == name]

    def pairs(self, name: str) -> dict[str, str]:
        """Return all pairs of all instructions of one name."""
        return {key: value for each in self.all(name) for key, value in each.pairs.items()}


def read(path: Path = DOCKERFILE) -> tuple[dict[str, str], list[Stage]]:
    """Return the global ARGs and the stages, with the ARGs put into each FROM."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for instruction in instructions(path.read_text(encoding="utf-8")):
        if instruction.name == "FROM":
            image, *rest = Template(instruction.text).substitute(arguments).split()
            stages.append(Stage(image, rest[1] if rest else ""))
        elif stages:
            stages[-1].instructions.append(instruction)
        else:
            assert instruction.name == "ARG", f"{instruction.name} before FROM"
            arguments |= instruction.pairs
    return arguments, stages


def instructions(text: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile; raises ValueError for what this reader does not know."""
    found = []
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for whole in re.split(r"(?<!\\)\n", "\n".join(lines)):
        line = whole.replace("\\\n", "").strip()
        if not line:
            continue
        name, _, rest = line.partition(" ")
        flags: dict[str, str] = {}
        while flag := re.match(r"--([a-z-]+)=(\S+)\s+", rest := rest.strip()):
            flags[flag[1]] = flag[2]
            rest = rest[flag.end() :]
        if "<<" in rest or not re.fullmatch("[A-Z]+", name):
            raise ValueError(f"this reader does not know: {line}")
        found.append(Instruction(name, flags, rest))
    return found
