"""The manifests of `examples/`: a strict API server takes them, and they hold the agents that they say they hold."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from agentstop.api.crd import crds
from agentstop_playground.controllers import sandbox_crds
from agentstop_playground.server import ApiServer

from .verbs import ROOT

MANIFESTS = sorted((ROOT / "examples").glob("*.yaml"))
AGENTS = {path.name: path.read_text() for path in (ROOT / "examples" / "agents").glob("*.py")}

PATHS = {
    "AgentTask": "/apis/agentstop.dev/v1alpha1/namespaces/default/agenttasks",
    "StopOrder": "/apis/agentstop.dev/v1alpha1/namespaces/default/stoporders",
    "TaskUsage": "/apis/agentstop.dev/v1alpha1/namespaces/default/taskusages",
    "Pod": "/api/v1/namespaces/default/pods",
    "Job": "/apis/batch/v1/namespaces/default/jobs",
    "Deployment": "/apis/apps/v1/namespaces/default/deployments",
    "Sandbox": "/apis/agents.x-k8s.io/v1beta1/namespaces/default/sandboxes",
    "SandboxClaim": "/apis/extensions.agents.x-k8s.io/v1beta1/namespaces/default/sandboxclaims",
    "SandboxTemplate": "/apis/extensions.agents.x-k8s.io/v1beta1/namespaces/default/sandboxtemplates",
    "SandboxWarmPool": "/apis/extensions.agents.x-k8s.io/v1beta1/namespaces/default/sandboxwarmpools",
}


def manifests(file: Path) -> list[Any]:
    return list(yaml.safe_load_all(file.read_text()))


def pod_specs(file: Path) -> list[Any]:
    """The specs of all pods that come of a manifest."""
    specs = [each["spec"] for each in manifests(file)]
    templates = [spec.get("podTemplate") or spec.get("template") for spec in specs]
    return [template["spec"] for template in templates if template]


@pytest.fixture
async def server() -> AsyncIterator[str]:
    api = ApiServer(token="examples", crds=[*crds().values(), *sandbox_crds()])
    await api.start()
    yield str(api.kubeconfig()["clusters"][0]["cluster"]["server"])
    await api.stop()


async def create(server: str, path: str, body: Any) -> tuple[int, Any]:
    url = f"{server}{path}?fieldValidation=Strict"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.stem)
async def test_the_api_server_takes_it(file: Path, server: str) -> None:
    for item in manifests(file):
        code, answer = await create(server, PATHS[item["kind"]], item)
        assert code == 201, answer
    for number, spec in enumerate(pod_specs(file)):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number}"}, "spec": spec}
        code, answer = await create(server, PATHS["Pod"], pod)
        assert code == 201, answer


async def test_a_wrong_field_would_be_seen(server: str) -> None:
    (task,) = manifests(ROOT / "examples" / "deaf.yaml")
    task["spec"]["stopReqested"] = True
    code, answer = await create(server, PATHS["AgentTask"], task)
    assert code == 400
    assert "stopReqested" in answer["message"]


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.stem)
def test_it_holds_the_agents_that_it_names(file: Path) -> None:
    named = re.findall(r"# The same text as agents/(\S+)\.\n", file.read_text())
    commands = [container["command"] for spec in pod_specs(file) for container in spec["containers"]]
    assert commands == [["python3", "-u", "-c", AGENTS[name]] for name in named]


def test_every_agent_is_in_an_example() -> None:
    text = "".join(file.read_text() for file in MANIFESTS)
    assert [name for name in AGENTS if f"agents/{name}." not in text] == []


@pytest.mark.parametrize("name", AGENTS)
def test_kubernetes_leaves_an_agent_as_it_is(name: str) -> None:
    # It would take these for references to variables.
    assert "$(" not in AGENTS[name]
    assert "$$" not in AGENTS[name]
