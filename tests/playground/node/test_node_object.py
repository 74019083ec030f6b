"""The Node object, scheduling, and the rehearsal of a dead kubelet."""

import asyncio
from typing import Any

import pytest

from agentstop_playground.node import registration
from agentstop_playground.node.node_object import KUBELET_ANNOTATION

from .cluster import Cluster, alive, condition, container, phase_is, pod, terminated
from .test_node_pods import PATIENT


async def ready(cluster: Cluster) -> dict[str, Any]:
    return condition(await cluster.get_node(), "Ready")


async def until_ready_is(cluster: Cluster, value: str) -> None:
    async def check() -> bool:
        nodes = await cluster.api.request("GET", "/api/v1/nodes")
        mine = [item for item in nodes["items"] if item["metadata"]["name"] == cluster.node_name]
        return bool(mine) and condition(mine[0], "Ready").get("status") == value

    await cluster.until_true(check)


async def test_node_is_registered(cluster: Cluster) -> None:
    await until_ready_is(cluster, "True")
    node = await cluster.get_node()
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == cluster.node_name
    assert {"type": "InternalIP", "address": "127.0.0.1"} in node["status"]["addresses"]
    assert node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] > 0
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("process://")


async def test_heartbeat_goes_on(empty_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = empty_cluster
    monkeypatch.setattr(registration, "HEARTBEAT", 0.5)
    node = cluster.node()
    await node.start()
    await until_ready_is(cluster, "True")
    first = str((await ready(cluster))["lastHeartbeatTime"])

    async def newer() -> bool:
        return str((await ready(cluster))["lastHeartbeatTime"]) > first

    await cluster.until_true(newer)
    await node.stop()


async def test_each_life_of_a_node_has_a_boot_id_of_its_own(empty_cluster: Cluster) -> None:
    """Its processes end with it, as with the machine that it plays."""
    seen = []
    for _ in range(2):
        node = empty_cluster.node()
        await node.start()
        await until_ready_is(empty_cluster, "True")
        seen.append((await empty_cluster.get_node())["status"]["nodeInfo"]["bootID"])
        await node.stop()
    assert "" not in seen
    assert len(set(seen)) == 2


async def test_deleted_node_registers_again(cluster: Cluster) -> None:
    await until_ready_is(cluster, "True")
    uid = (await cluster.get_node())["metadata"]["uid"]
    await cluster.api.request("DELETE", f"/api/v1/nodes/{cluster.node_name}")
    await until_ready_is(cluster, "True")
    assert (await cluster.get_node())["metadata"]["uid"] != uid
    await cluster.run(pod("p", container(PATIENT)))


async def test_stopped_node_says_so(empty_cluster: Cluster) -> None:
    node = empty_cluster.node()
    await node.start()
    await until_ready_is(empty_cluster, "True")
    await node.stop()
    assert (await ready(empty_cluster))["status"] == "False"
    assert not (empty_cluster.data_dir / "pods").exists()


async def test_unschedulable_pod_waits_until_the_node_matches(cluster: Cluster) -> None:
    await until_ready_is(cluster, "True")
    await cluster.create(pod("p", container("exit 0"), nodeSelector={"disk": "fast"}))
    item = await cluster.until("p", lambda item: condition(item, "PodScheduled").get("status") == "False")
    assert condition(item, "PodScheduled")["reason"] == "Unschedulable"
    assert "didn't match Pod's node affinity/selector" in condition(item, "PodScheduled")["message"]
    assert item["status"]["phase"] == "Pending"
    await cluster.patch_node({"metadata": {"labels": {"disk": "fast"}}})
    done = await cluster.until("p", phase_is("Succeeded"))
    assert condition(done, "PodScheduled")["status"] == "True"


async def test_too_large_cordoned_and_gated_pods_wait(cluster: Cluster) -> None:
    await until_ready_is(cluster, "True")
    large = container("exit 0", resources={"requests": {"cpu": "100000"}})
    await cluster.create(pod("large", large))
    item = await cluster.until("large", lambda item: condition(item, "PodScheduled").get("status") == "False")
    assert "Insufficient cpu" in condition(item, "PodScheduled")["message"]
    await cluster.create(pod("gated", container("exit 0"), schedulingGates=[{"name": "example.com/wait"}]))
    await cluster.patch_node({"spec": {"unschedulable": True}})
    await cluster.create(pod("late", container("exit 0")))
    await cluster.until("late", lambda item: "unschedulable" in condition(item, "PodScheduled").get("message", ""))
    await cluster.patch_node({"spec": {"unschedulable": None}})
    await cluster.until("late", phase_is("Succeeded"))
    assert not any(item["spec"].get("nodeName") for _, item in cluster.history["gated"])


async def test_other_schedulers_pods_are_left_alone(cluster: Cluster) -> None:
    await cluster.create(pod("theirs", container("exit 0"), schedulerName="other"))
    await cluster.create(pod("ours", container("exit 0")))
    await cluster.until("ours", phase_is("Succeeded"))
    assert len(cluster.history["theirs"]) == 1


async def kill_kubelet(cluster: Cluster) -> None:
    await cluster.patch_node({"metadata": {"annotations": {KUBELET_ANNOTATION: "dead"}}})
    await until_ready_is(cluster, "Unknown")


async def test_dead_kubelet_acts_on_nothing_and_catches_up(cluster: Cluster) -> None:
    marker = f"dead-{cluster.namespace}"
    script = f'exec python3 -c "import time; time.sleep(1000)" {marker}'
    await cluster.run(pod("forced", container(script)))
    await cluster.run(pod("deleted", container(PATIENT)))
    await cluster.until_logged("deleted", "up")
    await cluster.run(pod("ending", container('while [ ! -e "$HOME/go" ]; do sleep 0.05; done; exit 3')))
    await kill_kubelet(cluster)

    condition_now = await ready(cluster)
    assert (condition_now["reason"], condition_now["message"]) == (
        "NodeStatusUnknown",
        "Kubelet stopped posting node status.",
    )

    async def tainted() -> bool:
        taints = (await cluster.get_node())["spec"].get("taints") or []
        return any(item["key"] == "node.kubernetes.io/unreachable" for item in taints)

    await cluster.until_true(tainted)
    await cluster.delete("deleted", grace=1)
    await cluster.delete("forced", grace=0)
    await cluster.until_gone("forced")
    await cluster.create(pod("late", container("exit 0")))
    home = cluster.home(cluster.history["ending"][-1][1])
    (home / "go").touch()
    # Long after the grace period nothing has happened, as on a node that nobody hears of any more.
    await asyncio.sleep(2.5)
    assert alive(marker)
    assert cluster.history["deleted"][-1][0] == "MODIFIED"
    assert not terminated(cluster.history["deleted"][-1][1])
    assert cluster.history["ending"][-1][1]["status"]["phase"] == "Running"
    assert not cluster.history["late"][-1][1]["spec"].get("nodeName")

    await cluster.patch_node({"metadata": {"annotations": {KUBELET_ANNOTATION: None}}})
    await until_ready_is(cluster, "True")
    assert terminated(await cluster.until_gone("deleted"))["exitCode"] == 0
    assert terminated(await cluster.until("ending", phase_is("Failed")))["exitCode"] == 3
    await cluster.until("late", phase_is("Succeeded"))
    await cluster.until_true(lambda: not alive(marker))
    await cluster.until_true(lambda: _untainted(cluster))


async def _untainted(cluster: Cluster) -> bool:
    return not (await cluster.get_node())["spec"].get("taints")
