"""The whole playground, as its users have it: kubectl and what the controllers make of it."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import yaml
from tests.support.waiting import PATIENCE

from agentstop_playground.api_client import ApiClient
from agentstop_playground.controllers import sandbox_crds
from agentstop_playground.serve import Playground

from .bench import pod_spec

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

Kubectl = Callable[..., Awaitable[str]]


@pytest.fixture(scope="module")
async def kubectl(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kubectl]:
    folder = tmp_path_factory.mktemp("playground")

    async def run(*arguments: str, manifest: object = None) -> str:
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            f"--kubeconfig={folder / 'kubeconfig'}",
            f"--cache-dir={folder / 'cache'}",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        given = yaml.safe_dump(manifest).encode() if manifest else None
        output, _ = await asyncio.wait_for(process.communicate(given), PATIENCE)
        assert process.returncode == 0, output.decode()
        return output.decode()

    async with Playground(crds=[], kubeconfig=folder / "kubeconfig", data_dir=folder / "data"):
        yield run


def deployment(name: str, replicas: int) -> object:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod_spec()}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


async def test_a_deployment_is_rolled_out_scaled_and_described(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", manifest=deployment("web", 2))
    assert "successfully rolled out" in await kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    assert (await kubectl("get", "deploy", "web", "--no-headers")).split()[:4] == ["web", "2/2", "2", "2"]
    await kubectl("scale", "deploy/web", "--replicas=1")
    assert "successfully rolled out" in await kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    shown = await kubectl("get", "deploy", "web", "--subresource=scale", "--no-headers")
    assert shown.split()[:3] == ["web", "1", "1"]
    described = await kubectl("describe", "deploy", "web")
    assert "1 desired | 1 updated | 1 total | 1 available | 0 unavailable" in described
    assert "ScalingReplicaSet" in described
    await kubectl("delete", "deploy", "web")
    await kubectl("wait", "pod", "-l", "app=web", "--for=delete", "--timeout=20s")


async def test_a_job_is_waited_for_and_described(kubectl: Kubectl) -> None:
    spec = {"completions": 2, "parallelism": 2, "template": {"spec": pod_spec("exit 0", restartPolicy="Never")}}
    await kubectl("apply", "-f", "-", manifest={
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": spec
    })  # fmt: skip
    await kubectl("wait", "job/once", "--for=condition=Complete", "--timeout=20s")
    assert (await kubectl("get", "job", "once", "--no-headers")).split()[:3] == ["once", "Complete", "2/2"]
    described = await kubectl("describe", "job", "once")
    assert "0 Active (0 Ready) / 2 Succeeded / 0 Failed" in described
    assert "SuccessfulCreate" in described
    assert "deleted" in await kubectl("delete", "job", "once")


async def test_a_sandbox_is_put_to_sleep(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", manifest={
        "apiVersion": "agents.x-k8s.io/v1beta1",
        "kind": "Sandbox",
        "metadata": {"name": "box"},
        "spec": {"podTemplate": {"spec": pod_spec(restartPolicy="Never")}},
    })  # fmt: skip
    await kubectl("wait", "sandbox/box", "--for=condition=Ready", "--timeout=20s")
    assert (await kubectl("get", "sandbox", "box", "--no-headers")).split()[:3] == ["box", "True", "DependenciesReady"]
    await kubectl("patch", "sandbox", "box", "--type=merge", "-p", '{"spec":{"operatingMode":"Suspended"}}')
    await kubectl("wait", "sandbox/box", "--for=condition=Suspended", "--timeout=20s")
    assert await kubectl("get", "pods", "-l", "agents.x-k8s.io/sandbox-name-hash", "-o", "name") == ""
    assert "A place for one agent" in await kubectl("explain", "sandbox")


async def test_definitions_of_sandboxes_that_are_given_take_the_place_of_ours(tmp_path: Path) -> None:
    given = sandbox_crds()[:1]
    given[0]["spec"]["names"]["shortNames"] = ["box"]
    async with Playground(crds=given, kubeconfig=tmp_path / "kubeconfig") as playground:
        content = yaml.safe_load(playground.kubeconfig.read_text(encoding="utf-8"))
        client = ApiClient(playground.url, token=content["users"][0]["user"]["token"])
        await client.open()
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        names = [item["spec"]["names"] for item in (await client.request("GET", path))["items"]]
        await client.close()
    assert sorted(each for item in names for each in item.get("shortNames", ())) == [
        "box",
        "sandboxclaim",
        "sandboxtemplate",
        "swp",
    ]
