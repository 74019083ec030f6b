"""The manifests of `examples/gitops`: what an API server takes, and what the tools are told."""

from pathlib import Path

import pytest

from tests.demo.test_examples import PATHS, create, server
from tests.gitops.files import ARGO, EXAMPLES, FLUX, load

__all__ = ["server"]

ORDERS = {"StopOrder": PATHS["AgentTask"].replace("agenttasks", "stoporders")}
MANIFESTS = [EXAMPLES / "tasks" / name for name in load(EXAMPLES / "tasks/kustomization.yaml")["resources"]]
MANIFESTS += sorted((EXAMPLES / "stops").glob("*.yaml"))


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.stem)
async def test_the_api_server_takes_it(file: Path, server: str) -> None:  # the fixture
    item = load(file)
    code, answer = await create(server, {**PATHS, **ORDERS}[item["kind"]], item)
    assert code == 201, answer


def test_every_task_is_in_the_kustomization() -> None:
    assert set(MANIFESTS) == {*EXAMPLES.glob("tasks/*-*.yaml"), *EXAMPLES.glob("stops/*.yaml")}


def test_git_does_not_say_that_nothing_is_stopped() -> None:
    spec = load(EXAMPLES / "tasks/research-42.yaml")["spec"]
    assert not {"stopRequested", "stop", "paused"} & set(spec)


def test_the_order_stops_the_task() -> None:
    selector = load(EXAMPLES / "stops/incident-4711.yaml")["spec"]["selector"]["matchLabels"]
    assert selector.items() <= load(EXAMPLES / "tasks/research-42.yaml")["metadata"]["labels"].items()


def test_no_tool_is_told_to_make_tasks_anew() -> None:
    options = load(ARGO / "application.yaml")["spec"]["syncPolicy"]["syncOptions"]
    assert "RespectIgnoreDifferences=true" in options
    assert not {"Replace=true", "Force=true"} & set(options)
    assert load(FLUX / "agents.yaml")["spec"]["force"] is False
