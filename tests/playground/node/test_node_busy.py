"""A node that is busy with the start of a container, as a kubelet is: it hears of nothing else meanwhile."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.support.registry import registry

from agentstop_playground.node import starting
from agentstop_playground.node.images import source_of
from agentstop_playground.node.volumes import needs_of

from .cluster import Cluster, alive, condition, container, main_status, phase_is, pod, terminated

PATIENT = 'trap "exit 0" TERM; echo up; while :; do sleep 0.05; done'


def _until(file: Path) -> dict[str, Any]:
    """A start hook that is done once a file is there."""
    command = ["sh", "-c", f"until [ -e {file} ]; do sleep 0.05; done"]
    return {"lifecycle": {"postStart": {"exec": {"command": command}}}}


def _marked(cluster: Cluster, script: str = PATIENT) -> tuple[str, dict[str, Any]]:
    marker = f"busy-{cluster.namespace}"
    return marker, {"command": ["sh", "-c", script, marker]}


async def test_a_container_is_called_running_when_its_start_hook_is_done(cluster: Cluster, tmp_path: Path) -> None:
    marker, command = _marked(cluster)
    await cluster.create(pod("p", {**container("", **_until(tmp_path / "done")), **command}))
    await cluster.until_true(lambda: alive(marker))
    await asyncio.sleep(0.5)
    assert all(
        "waiting" in main_status(item)["state"] for _, item in cluster.history["p"] if item["status"].get("startTime")
    )
    (tmp_path / "done").touch()
    await cluster.until("p", phase_is("Running"))


async def test_a_start_hook_that_sleeps(cluster: Cluster) -> None:
    started = asyncio.get_running_loop().time()
    await cluster.run(pod("p", container(PATIENT, lifecycle={"postStart": {"sleep": {"seconds": 1}}})))
    assert asyncio.get_running_loop().time() - started >= 1


@pytest.mark.parametrize("how", ["in place", "deletion", "force"])
async def test_nothing_ends_a_container_before_its_start_hook_is_done(
    cluster: Cluster, tmp_path: Path, how: str
) -> None:
    marker, command = _marked(cluster)
    await cluster.create(pod("p", {**container("", **_until(tmp_path / "done")), **command}))
    await cluster.until_true(lambda: alive(marker))
    if how == "in place":
        await cluster.patch("p", {"spec": {"activeDeadlineSeconds": 1}})
    else:
        await cluster.delete("p", grace=0 if how == "force" else 1)
    await asyncio.sleep(1.5)
    assert alive(marker)
    (tmp_path / "done").touch()
    await cluster.until_true(lambda: not alive(marker))
    if how == "in place":
        assert terminated(await cluster.until("p", phase_is("Failed")))["exitCode"] == 0


async def test_the_next_container_waits_for_the_start_hook_of_the_one_before(cluster: Cluster, tmp_path: Path) -> None:
    marker, command = _marked(cluster)
    first = container(PATIENT, name="first", **_until(tmp_path / "done"))
    await cluster.create(pod("p", first, {**container(""), **command}))
    await cluster.until_true(lambda: "p" in cluster.history)
    await asyncio.sleep(0.5)
    assert not alive(marker)
    (tmp_path / "done").touch()
    await cluster.until("p", phase_is("Running"))
    assert alive(marker)


async def test_a_start_hook_that_fails_ends_its_container(cluster: Cluster) -> None:
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "exit 3"]}}}
    await cluster.create(pod("p", container(PATIENT.replace("exit 0", "exit 7"), lifecycle=hook)))
    item = await cluster.until("p", phase_is("Failed"))
    assert terminated(item)["exitCode"] in {7, 143}
    await cluster.until_true(lambda: _told(cluster, "FailedPostStartHook"))


async def test_a_container_that_ends_takes_its_start_hook_with_it(cluster: Cluster) -> None:
    hook = {"postStart": {"exec": {"command": ["sleep", "1000"]}}}
    await cluster.create(pod("p", container("sleep 0.3; exit 4", lifecycle=hook)))
    assert terminated(await cluster.until("p", phase_is("Failed")))["exitCode"] == 4


async def _told(cluster: Cluster, reason: str) -> bool:
    return reason in await cluster.events("p")


async def test_a_container_is_started_when_its_image_is_there(cluster: Cluster) -> None:
    async with registry() as served:
        await cluster.create(pod("p", container(PATIENT, image=served.image())))
        await served.asked.wait()
        item = await cluster.until("p", lambda item: "waiting" in main_status(item)["state"])
        assert main_status(item)["state"]["waiting"]["reason"] == "ContainerCreating"
        served.open.set()
        await cluster.until("p", phase_is("Running"))
        await cluster.run(pod("q", container(PATIENT, image=served.image())))
        assert served.pulls == 1, "an image that is present is pulled again"
        await cluster.run(pod("r", container(PATIENT, image=served.image(), imagePullPolicy="Always")))
        assert served.pulls == 2


async def test_a_pod_that_is_removed_by_force_during_a_pull_is_started_and_then_ended(cluster: Cluster) -> None:
    marker, command = _marked(cluster, 'trap "" TERM; while :; do sleep 0.05; done')
    async with registry() as served:
        await cluster.create(pod("p", {**container("", image=served.image()), **command}))
        await served.asked.wait()
        await cluster.delete("p", grace=0)
        await cluster.until_gone("p")
        await asyncio.sleep(0.3)
        assert not alive(marker)
        served.open.set()
        await cluster.until_true(lambda: alive(marker))
        await cluster.until_true(lambda: not alive(marker))


async def test_a_pull_that_fails_is_tried_again(cluster: Cluster) -> None:
    async with registry() as served:
        served.status = 404
        served.open.set()
        await cluster.create(pod("p", container(PATIENT, image=served.image())))
        item = await cluster.until(
            "p", lambda item: main_status(item)["state"].get("waiting", {}).get("reason") == "ErrImagePull"
        )
        assert "404" in main_status(item)["state"]["waiting"]["message"]
        served.status = 200
        await cluster.until("p", phase_is("Running"))


CONFIG = {"name": "v", "configMap": {"name": "late"}}
SECRET = {"name": "v", "projected": {"sources": [{"secret": {"name": "late", "items": [{"key": "k", "path": "k"}]}}]}}
MOUNTS: dict[str, Any] = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}


@pytest.mark.parametrize(("volume", "resource"), [(CONFIG, "configmaps"), (SECRET, "secrets")])
async def test_a_pod_waits_for_what_its_volumes_are_made_of(
    cluster: Cluster, volume: dict[str, Any], resource: str
) -> None:
    await cluster.create(pod("p", container(PATIENT, **MOUNTS), volumes=[volume]))
    await cluster.until_true(lambda: _told(cluster, "FailedMount"))
    assert "not found" in (await cluster.events("p"))["FailedMount"]
    await cluster.until("p", lambda item: bool(main_status(item)["state"]))
    states = [main_status(item)["state"] for _, item in cluster.history["p"] if main_status(item)["state"]]
    assert all(state["waiting"]["reason"] == "ContainerCreating" for state in states)
    await cluster.put(resource, {"metadata": {"name": "late"}, "data": {"k": "eA=="}})
    await cluster.until("p", phase_is("Running"))


async def test_a_deletion_breaks_off_the_wait_for_a_volume(cluster: Cluster) -> None:
    await cluster.create(pod("p", container(PATIENT, **MOUNTS), volumes=[CONFIG]))
    await cluster.until_true(lambda: _told(cluster, "FailedMount"))
    await cluster.delete("p")
    last = await cluster.until_gone("p")
    await cluster.put("configmaps", {"metadata": {"name": "late"}})
    assert "startedAt" not in terminated(last) or terminated(last)["startedAt"] is None


async def test_a_deadline_waits_for_the_volume_and_the_container_starts_before_it_is_ended(cluster: Cluster) -> None:
    await cluster.create(pod("p", container(PATIENT, **MOUNTS), volumes=[CONFIG], terminationGracePeriodSeconds=1))
    await cluster.until_true(lambda: _told(cluster, "FailedMount"))
    await cluster.patch("p", {"spec": {"activeDeadlineSeconds": 1}})
    await asyncio.sleep(1.5)
    assert not [item for _, item in cluster.history["p"] if phase_is("Failed")(item)]
    await cluster.put("configmaps", {"metadata": {"name": "late"}})
    item = await cluster.until("p", phase_is("Failed"))
    assert terminated(item)["startedAt"] is not None


async def test_a_deadline_ends_the_wait_for_a_volume_in_the_end(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "MOUNT_PATIENCE", 1.0)
    await cluster.create(pod("p", container(PATIENT, **MOUNTS), volumes=[CONFIG], activeDeadlineSeconds=1))
    item = await cluster.until("p", phase_is("Failed"))
    assert item["status"]["reason"] == "DeadlineExceeded"


async def test_a_container_is_started_again_by_its_own_rules_alone(cluster: Cluster) -> None:
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    script = 'n=$(cat "$HOME/n" 2>/dev/null || echo 0); echo $((n+1)) >"$HOME/n"; [ $n -ge 2 ] || exit 42; exit 43'
    own: dict[str, Any] = {"restartPolicy": "Never", "restartPolicyRules": rules}
    await cluster.create(pod("p", container(script, **own), container(PATIENT, name="helper")))
    item = await cluster.until("p", lambda item: terminated(item).get("exitCode") == 43)
    assert main_status(item)["restartCount"] == 2
    assert main_status(item, "helper")["restartCount"] == 0
    assert item["status"]["phase"] == "Running"


async def test_a_debug_container_is_started_in_a_pod_that_runs_and_ends_with_it(cluster: Cluster) -> None:
    await cluster.run(pod("p", container(PATIENT)))
    await cluster.until_logged("p", "up")
    debug = container('trap "" TERM; echo here; while :; do sleep 0.05; done', name="debug")
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/p/ephemeralcontainers"
    content = "application/strategic-merge-patch+json"
    await cluster.api.request("PATCH", path, {"spec": {"ephemeralContainers": [debug]}}, content_type=content)
    item = await cluster.until("p", lambda item: bool(item["status"].get("ephemeralContainerStatuses")))
    await cluster.until_logged("p", "here", "debug")
    assert condition(item, "Ready")["status"] == "True"
    await cluster.delete("p", grace=1)
    last = await cluster.until_gone("p")
    ends = {item["name"]: item["state"]["terminated"]["exitCode"] for item in _all_statuses(last)}
    assert ends == {"agent": 0, "debug": 137}


def _all_statuses(item: dict[str, Any]) -> list[dict[str, Any]]:
    return [*item["status"]["containerStatuses"], *item["status"]["ephemeralContainerStatuses"]]


@pytest.mark.parametrize(
    ("image", "path"),
    [
        ("127.0.0.1:5000/a/b:1", "/v2/a/b/manifests/1"),
        ("localhost:5000/a", "/v2/a/manifests/latest"),
        ("localhost:5000/a@sha256:0f", "/v2/a/manifests/sha256:0f"),
        ("localhost/a:1", None),
        ("busybox:1.36", None),
        ("127.0.0.1:5000", None),
        ("10.0.0.1:5000/a", None),
    ],
)
def test_images_are_pulled_from_registries_of_this_machine_alone(image: str, path: str | None) -> None:
    source = source_of(image)
    assert (source.path if source else None) == path


def test_a_pod_waits_for_volumes_that_are_mounted_and_are_not_optional() -> None:
    volumes = [
        CONFIG,
        {"name": "o", "configMap": {"name": "o", "optional": True}},
        {"name": "unused", "secret": {"secretName": "u"}},
        {"name": "s", "secret": {"secretName": "mine"}},
        {"name": "e", "emptyDir": {}},
        {"name": "kube-api-access-x", "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}},
    ]
    names = ["v", "o", "s", "e", "kube-api-access-x"]
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in names]
    needs = needs_of(pod("p", container("", volumeMounts=mounts), volumes=volumes))
    assert [(need.volume, need.resource, need.name) for need in needs] == [
        ("v", "configmaps", "late"),
        ("s", "secrets", "mine"),
    ]
