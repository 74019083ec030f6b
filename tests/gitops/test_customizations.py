"""Argo CD's resource customizations: their own test files, run as Argo CD's test run does, and the ConfigMap."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from agentstop.api.crd import UNSEEN
from agentstop.api.order import ClusterStopOrder, StopOrder
from agentstop.api.task import AgentTask
from tests.gitops import lua
from tests.gitops.files import ACTIONS, ARGO, GROUP, KINDS, customization, load

HEALTH = [
    pytest.param(kind, test, id=f"{kind} {Path(test['inputPath']).stem}")
    for kind in KINDS
    for test in load(customization(kind) / "health_test.yaml")["tests"]
]
FOLDER = customization("AgentTask") / ACTIONS
TESTS = load(FOLDER / "action_test.yaml")
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/action.lua"))
MODELS: dict[str, Any] = {"AgentTask": AgentTask, "StopOrder": StopOrder, "ClusterStopOrder": ClusterStopOrder}


@pytest.mark.parametrize(("kind", "test"), HEALTH)
def test_health(kind: str, test: dict[str, Any]) -> None:
    folder = customization(kind)
    item = load(folder / test["inputPath"])
    assert item["kind"] == kind
    assert lua.run((folder / "health.lua").read_text(), item) == test["healthStatus"]


@pytest.mark.parametrize("test", TESTS["discoveryTests"], ids=lambda test: Path(test["inputPath"]).stem)
def test_which_actions_there_are(test: dict[str, Any]) -> None:
    found = lua.run((FOLDER / "discovery.lua").read_text(), load(FOLDER / test["inputPath"]))
    wanted = {each.pop("name"): {"disabled": False, **each} for each in test["result"]}
    assert found == wanted


@pytest.mark.parametrize("test", TESTS["actionTests"], ids=lambda test: test["action"])
def test_actions(test: dict[str, Any]) -> None:
    script = (FOLDER / test["action"] / "action.lua").read_text()
    assert lua.act(script, load(FOLDER / test["inputPath"])) == load(FOLDER / test["expectedOutputPath"])


def test_every_action_is_tested_and_offered() -> None:
    assert {test["action"] for test in TESTS["actionTests"]} == set(NAMES)
    for test in load(FOLDER / "action_test.yaml")["discoveryTests"]:
        assert {each["name"] for each in test["result"]} == set(NAMES)


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_the_test_data_is_used_and_is_what_the_operator_writes(kind: str) -> None:
    folder = customization(kind)
    used = {(folder / test["inputPath"]).resolve() for test in load(folder / "health_test.yaml")["tests"]}
    assert used == {path.resolve() for path in (folder / "testdata").glob("*.yaml")}
    for path in used:
        item = load(path)
        read = MODELS[kind].model_validate(item)
        assert item["status"] in (read.status.wire(), UNSEEN), path


def test_the_kinds_share_one_script() -> None:
    assert len({(customization(kind) / "health.lua").read_text() for kind in KINDS}) == 1


def test_the_config_map_has_the_same_scripts() -> None:
    data = load(ARGO / "argocd-cm.yaml")["data"]
    prefix = "resource.customizations"
    health = {f"{prefix}.health.{GROUP}_{kind}": (customization(kind) / "health.lua").read_text() for kind in KINDS}
    actions = yaml.safe_load(data.pop(f"{prefix}.actions.{GROUP}_AgentTask"))
    assert data == health
    assert actions["discovery.lua"] == (FOLDER / "discovery.lua").read_text()
    assert {each["name"]: each["action.lua"] for each in actions["definitions"]} == {
        name: (FOLDER / name / "action.lua").read_text() for name in NAMES
    }
