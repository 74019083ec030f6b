"""The documents, and what stands in them: commands, manifests, tables."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md"), *ROOT.glob("playground/*.md")]
)

PROGRAMS = {"kubectl", "make", "agentstop", ".venv/bin/agentstop"}
"""What a block of commands begins with; other blocks are drawings and output."""


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Its commands, one of them on one line each; none if it holds no commands."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return lines if not self.language and lines and lines[0].split()[0] in PROGRAMS else []


def blocks(document: Path) -> Iterator[Block]:
    """Yield a document's fenced blocks."""
    yield from blocks_in(document.read_text())


def blocks_in(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a part of a document."""
    for fenced in text.split("```")[1::2]:
        language, _, content = fenced.partition("\n")
        yield Block(language, content)


def name_of(document: Path) -> str:
    """Return what a document is called in a test's name."""
    return str(document.relative_to(ROOT))


def table_below(document: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its head."""
    text = (ROOT / document).read_text()
    below = text[text.index(heading) :].splitlines()
    start = next(number for number, line in enumerate(below) if line.startswith("|"))
    rows = []
    for line in below[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows
