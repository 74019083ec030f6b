"""The documentation against the product: links, commands, tables."""

import argparse
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from agentstop.cli.main import build_parser
from agentstop.controller.metrics import Metrics
from tests.support import clusters
from tests.support.operators import Operators

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")])
SOURCE = "\n".join(path.read_text() for path in (ROOT / "operator/agentstop").rglob("*.py"))


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


def blocks(document: str, language: str) -> list[str]:
    fenced = [part.partition("\n") for part in (ROOT / document).read_text().split("```")[1::2]]
    return [text for name, _, text in fenced if name == language]


def options_of(verb: str) -> set[str]:
    actions = build_parser()._actions
    verbs = next(action for action in actions if isinstance(action, argparse._SubParsersAction))
    longest = {max(action.option_strings, key=len) for action in verbs.choices[verb]._actions if action.option_strings}
    return longest - {"--help"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
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


@pytest.mark.parametrize(
    ("document", "heading", "verb"),
    [("docs/operations.md", "# Running the operator", "run"), ("docs/playground.md", "# The playground", "playground")],
)
def test_every_option_is_documented(document: str, heading: str, verb: str) -> None:
    rows = table_below(document, heading)
    documented = {name for row in rows for name in re.findall(r"--[a-z-]+", row[0])}
    verbose = {"--verbose"}
    assert documented | verbose == options_of(verb) | verbose


def test_every_metric_is_documented() -> None:
    metrics = Metrics({}, lambda: 0, list)
    names = {
        f"{family.name}_total" if family.type == "counter" else family.name for family in metrics.registry.collect()
    }
    assert {row[0].strip("`") for row in table_below("docs/operations.md", "## Metrics")} == names


@pytest.mark.parametrize(
    ("document", "heading", "column"),
    [
        ("docs/lifecycle.md", "## Reasons", 1),
        ("docs/operations.md", "## Events", 0),
        ("docs/lifecycle.md", "## Verdicts", 0),
    ],
)
def test_documented_reasons_exist(document: str, heading: str, column: int) -> None:
    words = [word for row in table_below(document, heading) for word in re.findall(r"`([A-Z]\w+)`", row[column])]
    from_the_kubelet = {"Evicted"}
    missing = [
        word for word in words if f'"{word}"' not in SOURCE and word not in from_the_kubelet | {"Stalled", "Failed"}
    ]
    assert words
    assert not missing


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")
async def test_commands_of_the_readme_do_what_it_says(tmp_path: Path) -> None:
    manifest, status = blocks("README.md", "yaml")
    commands = next(block for block in blocks("README.md", "") if "kubectl patch" in block)
    async with clusters.playground(tmp_path) as cluster:
        operators = Operators(cluster)
        try:
            await operators.serve("default")
            environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig), "HOME": str(tmp_path)}

            def sh(command: str, text: str | None = None) -> str:
                done = subprocess.run(
                    ["sh", "-ec", command], input=text, env=environment, text=True, capture_output=True, timeout=60
                )
                assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
                return done.stdout

            sh("kubectl apply -f -", manifest)
            sh("kubectl wait --for=jsonpath='{.status.phase}'=Running atask/research-42 --timeout=30s")
            assert "research-42" in sh(commands)
            seen = yaml.safe_load(sh("kubectl get atask research-42 -o yaml"))["status"]
        finally:
            await operators.end()
    wanted = yaml.safe_load(status)
    for name in ("phase", "manuallyStopped", "reason", "message"):
        assert seen[name] == wanted[name]
    assert set(wanted["stop"]) <= set(seen["stop"])
