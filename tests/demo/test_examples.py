"""The manifests of `examples/`: a strict API server takes them, and they hold the agents that they say they hold."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from agentstop.api.crd import crds
from agentstop.playground.server import ApiServer

from .verbs import ROOT

MANIFESTS = sorted((ROOT / "examples").glob("*.yaml"))
TASKS = "/apis/agentstop.dev/v1alpha1/namespaces/default/agenttasks"
PODS = "/api/v1/namespaces/default/pods"


def manifest(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


@pytest.fixture
async def server() -> AsyncIterator[str]:
    api = ApiServer(token="examples", crds=list(crds().values()))
    await api.start()
    yield str(api.kubeconfig()["clusters"][0]["cluster"]["server"])
    await api.stop()


async def create(server: str, path: str, body: Any) -> tuple[int, Any]:
    url = f"{server}{path}?fieldValidation=Strict"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
        return answer.status, await answer.json()


def test_there_are_manifests() -> None:
    assert [file.stem for file in MANIFESTS] == ["deaf", "quick", "researcher"]


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.stem)
async def test_the_api_server_takes_it(file: Path, server: str) -> None:
    task = manifest(file)
    code, answer = await create(server, TASKS, task)
    assert code == 201, answer
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": task["metadata"], **task["spec"]["podTemplate"]}
    code, answer = await create(server, PODS, pod)
    assert code == 201, answer


async def test_a_wrong_field_would_be_seen(server: str) -> None:
    task = manifest(MANIFESTS[0])
    task["spec"]["stopReqested"] = True
    code, answer = await create(server, TASKS, task)
    assert code == 400
    assert "stopReqested" in answer["message"]


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.stem)
def test_it_holds_its_agent(file: Path) -> None:
    task = manifest(file)
    assert task["metadata"]["name"] == file.stem
    (container,) = task["spec"]["podTemplate"]["spec"]["containers"]
    script = (ROOT / "examples" / "agents" / f"{file.stem}.py").read_text()
    assert container["command"] == ["python3", "-u", "-c", script]
    # Kubernetes would take these for references to variables.
    assert "$(" not in script
    assert "$$" not in script
