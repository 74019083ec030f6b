"""kubectl, the real one, against the playground."""

import asyncio
import shutil
from pathlib import Path

import pytest
import yaml

from agentstop_playground.server import ApiServer

from .api import Api
from .objects import WIDGETS, pod, widget

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


class Kubectl:
    """Runs kubectl in the test's namespace."""

    def __init__(self, config: Path, namespace: str) -> None:
        self._base = ["--kubeconfig", str(config), "--cache-dir", str(config.parent / "cache"), "-n", namespace]

    async def __call__(self, *arguments: str, code: int = 0) -> str:
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            *self._base,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == code, output.decode()
        return output.decode()


@pytest.fixture
def kubectl(playground: ApiServer, play: Api, tmp_path: Path) -> Kubectl:
    config = tmp_path / "config"
    config.write_text(yaml.safe_dump(playground.kubeconfig()), encoding="utf-8")
    return Kubectl(config, play.ns)


def manifest(tmp_path: Path, obj: object) -> str:
    path = tmp_path / "manifest.yaml"
    path.write_text(yaml.safe_dump(obj), encoding="utf-8")
    return str(path)


async def test_apply_get_patch_and_delete(kubectl: Kubectl, tmp_path: Path) -> None:
    file = manifest(tmp_path, widget("w", color="red"))
    assert "widget.tests.agentstop.dev/w created" in await kubectl("apply", "-f", file)
    assert "unchanged" in await kubectl("apply", "-f", file)
    assert "configured" in await kubectl("apply", "-f", manifest(tmp_path, widget("w", color="green")))
    assert (await kubectl("get", "wdg", "-o", "wide")).split()[:4] == ["NAME", "PHASE", "SIZE", "AGE"]
    refused = await kubectl("patch", "wdg", "w", "--type=merge", "-p", '{"spec":{"size":99}}', code=1)
    assert "spec.size in body should be less than or equal to 10" in refused
    await kubectl("patch", "wdg", "w", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Good"}}')
    assert "condition met" in await kubectl("wait", "wdg/w", "--for=jsonpath={.status.phase}=Good", "--timeout=5s")
    assert "deleted" in await kubectl("delete", "wdg", "w")
    assert "NotFound" in await kubectl("get", "wdg", "w", code=1)


async def test_unknown_fields_are_named(kubectl: Kubectl, tmp_path: Path) -> None:
    file = manifest(tmp_path, widget("w", colour="red"))
    assert 'strict decoding error: unknown field "spec.colour"' in await kubectl("apply", "-f", file, code=1)
    assert 'Warning: unknown field "spec.colour"' in await kubectl("apply", "--validate=warn", "-f", file)


async def test_server_side_apply(kubectl: Kubectl, tmp_path: Path) -> None:
    await kubectl("apply", "--server-side", "-f", manifest(tmp_path, widget("w", color="red")))
    file = manifest(tmp_path, widget("w", color="green"))
    refused = await kubectl("apply", "--server-side", "--field-manager=other", "-f", file, code=1)
    assert 'conflict with "kubectl": .spec.color' in refused
    await kubectl("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", file)
    assert await kubectl("get", "wdg", "w", "-o", "jsonpath={.spec.color}") == "green"


async def test_explain_and_discovery(kubectl: Kubectl) -> None:
    assert "Its color." in await kubectl("explain", "widget.spec.color")
    assert "Restart policy for all containers" in await kubectl("explain", "pod.spec.restartPolicy")
    assert "wdg" in await kubectl("api-resources", "--api-group=tests.agentstop.dev")


async def test_describe_shows_events(kubectl: Kubectl, play: Api) -> None:
    created = (await play.create(play.path("pods"), pod("p"))).body
    event = {
        "metadata": {"name": "e"},
        "eventTime": "2026-01-02T03:04:05.000000Z",
        "reportingController": "agentstop.dev/operator",
        "reportingInstance": "one",
        "action": "Stop",
        "reason": "StopAccepted",
        "type": "Normal",
        "note": "hello there",
        "regarding": {"kind": "Pod", "name": "p", "namespace": play.ns, "uid": created["metadata"]["uid"]},
        "series": {"count": 4, "lastObservedTime": "2026-01-02T03:05:00.000000Z"},
    }
    assert (await play.create(play.path("events.k8s.io/v1/events"), event)).status == 201
    described = await kubectl("describe", "pod", "p")
    assert "StopAccepted" in described
    assert "x4 over" in described
    assert (await kubectl("get", "events")).splitlines()[0].split() == [
        "LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE",
    ]  # fmt: skip


async def test_built_in_kinds(kubectl: Kubectl, play: Api) -> None:
    await kubectl("create", "configmap", "c", "--from-literal=a=b")
    await kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    assert (await play.get(play.path("secrets", "s"))).body["data"] == {"a": "Yg=="}
    assert await kubectl("auth", "can-i", "delete", "pods") == "yes\n"
    await kubectl("run", "p", "--image=image:1")
    assert (await kubectl("get", "pods")).split()[5:8] == ["p", "0/1", "Pending"]
    await kubectl("label", "pod", "p", "a=b")
    assert "pod/p" in await kubectl("get", "pods", "-l", "a in (b,c)", "-o", "name")
    assert "deleted" in await kubectl("delete", "pod", "p")
    assert (await play.get(play.path(WIDGETS))).body["items"] == []
