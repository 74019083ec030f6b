"""Prints the reference of the chart's values, made from the comments in its values.yaml.

The comment above a key is its documentation. A line `## Title` begins a section. A map whose keys have comments is
described key by key; one whose keys have none is described as a whole.

    python -m tools.chart_values charts/agentstop/values.yaml > docs/chart-values.md
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

SECTION = "## "

HEAD = """\
# Values of the chart

Made from the comments in `charts/agentstop/values.yaml` by `make chart`. `helm install` refuses a value that is not
listed here, or is of the wrong type. How to use them: [installation](installation.md).
"""


class UndocumentedError(Exception):
    """A value has no comment; the message names it and its line."""


@dataclass(frozen=True)
class Value:
    """One value."""

    section: str
    path: str
    """Its keys, joined by dots."""
    default: str
    """As YAML in one line."""
    text: str


def values(text: str) -> Iterator[Value]:
    """Yield the values of a values.yaml in their order. Raises UndocumentedError."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if isinstance(root, yaml.MappingNode):
        yield from _values(root, text.splitlines(), "")


def reference(text: str) -> str:
    """Return the reference of a values.yaml as Markdown. Raises UndocumentedError."""
    parts, section = [HEAD], None
    for value in values(text):
        if value.section != section:
            section = value.section
            parts.append(f"\n## {section}\n\n| value | default | meaning |\n|---|---|---|\n")
        parts.append(f"| `{value.path}` | `{_cell(value.default)}` | {_cell(value.text)} |\n")
    return "".join(parts)


def _values(node: yaml.MappingNode, lines: list[str], prefix: str) -> Iterator[Value]:
    for key, value in node.value:
        path, line = f"{prefix}{key.value}", key.start_mark.line
        if isinstance(value, yaml.MappingNode) and any(
            _comment(lines, each.start_mark.line) for each, _ in value.value
        ):
            yield from _values(value, lines, f"{path}.")
            continue
        text = _comment(lines, line)
        if not text:
            raise UndocumentedError(f"line {line + 1}: {path} has no comment that says what it means")
        yield Value(_section(lines, line), path, _default(value), text)


def _comment(lines: list[str], line: int) -> str:
    """Return the comment right above a line, in one line."""
    found: list[str] = []
    while line and lines[line - 1].lstrip().startswith("# "):
        line -= 1
        found.insert(0, lines[line].strip().removeprefix("# "))
    return " ".join(found)


def _section(lines: list[str], line: int) -> str:
    titles = [each.removeprefix(SECTION) for each in lines[:line] if each.startswith(SECTION)]
    return titles[-1] if titles else "Values"


def _default(node: yaml.Node) -> str:
    value = yaml.safe_load(yaml.serialize(node, Dumper=yaml.SafeDumper))
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...").replace("''", '""') if value != "" else '""'


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: Sequence[str]) -> int:
    """Print the reference of the file that is named."""
    try:
        sys.stdout.write(reference(Path(arguments[0]).read_text(encoding="utf-8")))
    except UndocumentedError as error:
        print(f"{arguments[0]}, {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
