"""The documentation against the product: links, options, tables."""

import argparse
import re
from pathlib import Path

import pytest

from agentstop.cli.operate import build_parser

from .documents import DOCUMENTS, ROOT, name_of, table_below

PACKAGE = ROOT / "operator/agentstop"
SOURCE = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
DECIDING = "\n".join(
    path.read_text() for layer in ("lifecycle", "workloads") for path in (PACKAGE / layer).rglob("*.py")
)

REASONS = (
    ("docs/lifecycle.md", "## Reasons", 1),
    ("docs/workloads.md", "## Reasons", 1),
    ("docs/families.md", "## What does not work", 0),
    ("docs/tethers.md", "## Reasons", 0),
    ("docs/stop-orders.md", "## Reasons", 0),
    ("docs/budgets.md", "## Reasons", 1),
)
"""The tables of reasons: document, heading, column."""

TABLES = (*REASONS, ("docs/operations.md", "## Events", 0), ("docs/lifecycle.md", "## Verdicts", 0))

OF_OTHERS = {
    "DeletionByTaintManager",
    "ErrImagePull",
    "Evicted",
    "EvictionByEvictionAPI",
    "PreemptionByScheduler",
    "StartError",
}
"""Reasons that the cluster gives."""

ORDINARY = {
    "Starting",
    "Running",
    "Pausing",
    "Paused",
    "Resuming",
    "Freezing",
    "Frozen",
    "Thawing",
    "Completed",
    "UserRequested",
    "StopOrdered",
    "Pending",
    "Stopping",
    "Complete",
    "Holding",
    "Lifted",
    "Drilled",
    "ParentStopped",
    "DeadlineExceeded",
    "TaskDeleted",
    "BudgetExceeded",
    "TetherLost",
    "Stopped",
}
"""Reasons of a task that goes its way: nothing is to be done."""


def options_of(verb: str) -> set[str]:
    actions = build_parser()._actions
    verbs = next(action for action in actions if isinstance(action, argparse._SubParsersAction))
    longest = {max(action.option_strings, key=len) for action in verbs.choices[verb]._actions if action.option_strings}
    return longest - {"--help"}


def words_in(table: tuple[str, str, int]) -> set[str]:
    document, heading, column = table
    return {word for row in table_below(document, heading) for word in re.findall(r"`([A-Z]\w+)`", row[column])}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), f"{document.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_modules_that_are_named_are_there(document: Path) -> None:
    """Such as `workloads/kinds/pod.py`; what begins with another folder is no module of the operator's."""
    folders = "|".join(sorted(path.name for path in PACKAGE.iterdir() if path.is_dir()))
    for name in re.findall(rf"`((?:{folders})/[\w/]+(?:\.py)?)`", document.read_text()):
        assert (PACKAGE / name).exists(), f"{document.name} names {name}"


@pytest.mark.parametrize(
    ("document", "heading", "verb"),
    [
        ("docs/operations.md", "# Running the operator", "run"),
        ("docs/node.md", "## Options", "node"),
        ("docs/playground.md", "# The playground", "playground"),
        ("docs/gateway.md", "## Options", "gateway"),
    ],
)
def test_every_option_is_documented(document: str, heading: str, verb: str) -> None:
    rows = table_below(document, heading)
    documented = {name for row in rows for name in re.findall(r"--[a-z-]+", row[0])}
    verbose = {"--verbose"}
    assert documented | verbose == options_of(verb) | verbose


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{table[0]} {table[1]}")
def test_documented_reasons_exist(table: tuple[str, str, int]) -> None:
    words = words_in(table) - OF_OTHERS - {"Stalled", "Failed"}
    assert words
    assert not {word for word in words if f'"{word}"' not in SOURCE}


def test_reasons_are_documented() -> None:
    given = set(re.findall(r'Reason\(\s*"([A-Z]\w+)"', DECIDING))
    assert len(given) > 30
    documented = set[str]().union(*(words_in(table) for table in REASONS))
    assert not given - documented - ORDINARY
