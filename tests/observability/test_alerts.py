"""The alerts: each fires when it should and only then, says what it means, and leads to a page that helps."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from .promql import mistakes

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "charts/agentstop/files/alerts.yaml"
TESTS = Path(__file__).with_name("alerts_test.yaml")
RUNBOOKS = ROOT / "docs/runbooks"

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool on PATH (Debian: apt install prometheus)")


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def promtool(*arguments: str, cwd: Path) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_each_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    for path in (ALERTS, TESTS):
        shutil.copy(path, tmp_path)
    promtool("check", "rules", ALERTS.name, cwd=tmp_path)
    promtool("test", "rules", TESTS.name, cwd=tmp_path)


def test_each_is_tested_both_ways() -> None:
    """As far as it can be told without promtool: a time when it fires, and one when it does not."""
    cases = [case for test in yaml.safe_load(TESTS.read_text())["tests"] for case in test["alert_rule_test"]]
    for fires in (True, False):
        assert {case["alertname"] for case in cases if bool(case.get("exp_alerts")) is fires} == {
            rule["alert"] for rule in rules()
        }


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_is_complete(rule: dict[str, Any]) -> None:
    assert not mistakes(rule["expr"])
    job = "agentstop-gateway" if rule["alert"].startswith("AgentstopGateway") else "agentstop"
    assert f'job="{job}"' in rule["expr"], "the chart could not tell it whose numbers to look at"
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{rule['alert']}.md")


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_has_a_runbook(rule: dict[str, Any]) -> None:
    text = (RUNBOOKS / f"{rule['alert']}.md").read_text()
    assert text.startswith(f"# {rule['alert']}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["What it means", "Impact", "Find out", "What to do"]
    assert "kubectl " in text


def test_every_runbook_has_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {rule["alert"] for rule in rules()}


@pytest.mark.parametrize(
    ("expression", "mistake"),
    [
        ("sum(agentstop_no_such)", "no metric agentstop_no_such"),
        ('agentstop_tasks{task="x"}', "agentstop_tasks has no label task"),
        ("sum by (verdict) (agentstop_tasks)", "nothing has the label verdict"),
        ("rate(agentstop_stop_signal_seconds[5m])", "no metric agentstop_stop_signal_seconds"),
        ("sum(agentstop_tasks", "unbalanced ()"),
        ("up", "no metric of ours"),
    ],
)
def test_mistakes_are_found(expression: str, mistake: str) -> None:
    assert mistake in mistakes(expression)
