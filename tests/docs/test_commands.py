"""The documents as their readers follow them: every manifest applied, every command run, every status compared."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from agentstop.cli.operate import VERBS, build_parser
from agentstop.cli.plugin.app import Verbs
from tests.support.kube import TASKS
from tests.support.waiting import PATIENCE

from .agents import at_work
from .conftest import Place
from .documents import DOCUMENTS, ROOT, blocks, name_of

FOLLOWED = (
    "README.md",
    "docs/workloads.md",
    "docs/pausing.md",
    "docs/budgets.md",
    "docs/families.md",
    "docs/stop-orders.md",
    "docs/node.md",
    "docs/playground.md",
)
"""Documents with commands for kubectl, except for how the operator is installed."""

FOLLOWED_ELSEWHERE = ("docs/gateway.md", "docs/installation.md", "docs/runbooks/")
"""Documents whose commands other tests try: tests/chart/test_installation.py, tests/integration/test_runbooks.py."""

OPERATORS_OWN = {*VERBS, "--help", "--version"}

INSTALLATION = "kubectl apply -f crds/"

TASK = re.compile(r"# \.status of AgentTask (\S+)\n")
TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


def sh(place: Place, command: str, text: str | None = None) -> str:
    environment = os.environ | {"KUBECONFIG": str(place.kubeconfig), "HOME": str(place.kubeconfig.parent)}
    done = subprocess.run(
        ["sh", "-ec", command], input=text, env=environment, cwd=ROOT, text=True, capture_output=True, timeout=PATIENCE
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def differences(found: Any, wanted: Any, where: str = "") -> Iterator[str]:
    """Yield what is not as a document says. Of times and measured numbers only the kind is compared."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            if isinstance(found, dict) and name in found:
                yield from differences(found[name], value, f"{where}.{name}")
            else:
                yield f"{where}.{name} absent"
    elif isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            yield f"{where} is {found}"
            return
        for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
            yield from differences(one, other, f"{where}[{number}]")
    elif isinstance(wanted, float):
        if not isinstance(found, float | int):
            yield f"{where} is {found}"
    elif found != wanted and not (TIME.fullmatch(str(found)) and TIME.fullmatch(str(wanted))):
        yield f"{where} is {found}, not {wanted}"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")
@pytest.mark.parametrize("document", FOLLOWED)
async def test_a_reader_who_follows_it_sees_what_it_says(document: str, place: Place) -> None:
    if document == "docs/playground.md" and place.cluster.name != "playground":
        pytest.skip("it is about the playground")
    compared = 0
    for block in blocks(ROOT / document):
        if task := TASK.match(block.text):
            found = await place.cluster.kube.get(TASKS, place.namespace, task[1])
            assert not list(differences(found["status"], yaml.safe_load(block.text)))
            compared += 1
        elif block.language == "yaml":
            sh(place, "kubectl apply -f -", block.text)
            if "podTemplate" in block.text:
                await at_work(place)
        for command in block.commands:
            if command.startswith("kubectl") and command != INSTALLATION:
                sh(place, command)
            if command.startswith("kubectl apply -f examples"):
                await at_work(place)
    assert compared or document in {"docs/node.md", "docs/playground.md", "docs/stop-orders.md"}


def understand(words: list[str]) -> None:
    """Parse the words of a verb of the plugin; raises click.UsageError."""
    group = Verbs("agentstop")
    name, verb, rest = group.resolve_command(click.Context(group), words)
    assert verb is not None, name
    verb.make_context(str(name), list(rest))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_commands_of_our_own_are_understood(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["agentstop"])
    for block in blocks(document):
        for command in block.commands:
            words = shlex.split(command)
            if words[0].endswith("agentstop") and words[1] in OPERATORS_OWN:
                build_parser().parse_args(words[1:])
            elif words[0].endswith("agentstop") or words[:2] == ["kubectl", "agentstop"]:
                understand(words[2 if words[0] == "kubectl" else 1 :])
            elif words[0] == "make":
                subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, check=True, capture_output=True)
            else:
                tried = name_of(document) in FOLLOWED or name_of(document).startswith(FOLLOWED_ELSEWHERE)
                assert command == INSTALLATION or tried, f"nobody tries {command}"


def test_a_wrong_status_would_be_seen() -> None:
    found = {"phase": "Stopped", "stop": {"acceptedAt": "2026-01-01T00:00:00.000000Z"}, "pods": [{"exitCode": 1}]}
    assert not list(differences(found, {"stop": {"acceptedAt": "2025-01-01T00:00:00.5Z"}}))
    assert list(differences(found, {"phase": "Paused"})) == [".phase is Stopped, not Paused"]
    assert list(differences(found, {"pods": [{"exitCode": 0}]})) == [".pods[0].exitCode is 1, not 0"]
    assert list(differences(found, {"pods": []})) == [".pods is [{'exitCode': 1}]"]
    assert list(differences(found, {"children": {"total": 1}})) == [".children absent"]
